//! An attempt on its way through the dispatcher, and where it came from.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use broker::Message;
use domain::{Cause, Delivery};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::settled::Key;

/// An attempt to be made.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) delivery: Delivery,
    pub(crate) source: Source,
    /// The lease under which it came.
    pub(crate) epoch: u64,
    /// When this process got it.
    pub(crate) arrived_at: Instant,
}

/// Where it stands in JetStream until it is settled.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// In a message of DELIVERIES or RETRIES.
    Message(Arc<Held>),
    /// In this message of PARKED.
    Parked(u64),
}

impl Item {
    pub(crate) fn key(&self) -> Key {
        (self.delivery.id, self.delivery.attempt_number)
    }

    pub(crate) fn is_test(&self) -> bool {
        self.delivery.cause == Cause::Test
    }

    pub(crate) const fn is_parked(&self) -> bool {
        matches!(self.source, Source::Parked(_))
    }

    /// Nothing is left to do for it. What is dropped otherwise comes again.
    pub(crate) fn done(self) {
        if let Source::Message(held) = &self.source {
            held.left.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// It is not settled here: its message must come again. A parked one stays
    /// where it is.
    pub(crate) fn give_back(self) {}
}

/// A message whose deliveries are in work. When the last of them is dropped,
/// the message is acked if all were done, and handed back otherwise.
#[derive(Debug)]
pub(crate) struct Held {
    message: Option<Message>,
    /// Deliveries that are not done.
    left: AtomicUsize,
    ends: mpsc::UnboundedSender<End>,
    /// What it takes of the memory for messages.
    _room: Option<OwnedSemaphorePermit>,
}

/// The end of a message here.
#[derive(Debug)]
pub(crate) struct End {
    message: Message,
    is_done: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            let is_done = *self.left.get_mut() == 0;
            // The other end outlives every message.
            let _ = self.ends.send(End { message, is_done });
        }
    }
}

/// Where messages come to their end. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Ends(mpsc::UnboundedSender<End>);

impl Ends {
    /// The queue needs no bound of its own: it holds messages that were held.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<End>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Holds a message with so many deliveries, and its room.
    pub(crate) fn hold(
        &self,
        message: Message,
        deliveries: usize,
        room: OwnedSemaphorePermit,
    ) -> Arc<Held> {
        Arc::new(Held {
            message: Some(message),
            left: AtomicUsize::new(deliveries),
            ends: self.0.clone(),
            _room: Some(room),
        })
    }
}

/// Acks messages, or hands them back, until nobody can send any more.
pub(crate) async fn end_messages(mut ends: mpsc::UnboundedReceiver<End>) {
    while let Some(End { message, is_done }) = ends.recv().await {
        if is_done {
            message.ack().await;
        } else {
            message.hand_back().await;
        }
    }
}

#[cfg(test)]
impl Source {
    /// A message that nobody waits for.
    pub(crate) fn nowhere() -> Self {
        Self::Message(Arc::new(Held {
            message: None,
            left: AtomicUsize::new(usize::MAX),
            ends: mpsc::unbounded_channel().0,
            _room: None,
        }))
    }
}

//! An attempt on its way through the dispatcher, and where it came from.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use broker::Message;
use domain::{Cause, Delivery};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::sleep_until;

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

    /// It is done here, since it stands in PARKED: nobody waits for its message to be
    /// acked.
    pub(crate) fn parked(self) {
        if let Source::Message(held) = &self.source {
            held.is_parked.store(true, Ordering::Relaxed);
        }
        self.done();
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
    /// One of them stands in PARKED now.
    is_parked: AtomicBool,
    ends: mpsc::UnboundedSender<Ending>,
    /// What it takes of the memory for messages.
    room: Option<OwnedSemaphorePermit>,
}

/// What is told to whoever acks.
#[derive(Debug)]
pub(crate) enum Ending {
    Of(End),
    /// All that was told before is to be acked now; then to be answered.
    Flush(oneshot::Sender<()>),
}

/// The end of a message here.
#[derive(Debug)]
pub(crate) struct End {
    message: Message,
    is_done: bool,
    is_parked: bool,
    _room: Option<OwnedSemaphorePermit>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            let end = End {
                message,
                is_done: *self.left.get_mut() == 0,
                is_parked: *self.is_parked.get_mut(),
                _room: self.room.take(),
            };
            // The other end outlives every message.
            let _ = self.ends.send(Ending::Of(end));
        }
    }
}

/// Where messages come to their end. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Ends(mpsc::UnboundedSender<Ending>);

impl Ends {
    /// The queue needs no bound of its own: it holds messages that were held.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Ending>) {
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
            is_parked: AtomicBool::new(false),
            ends: self.0.clone(),
            room: Some(room),
        })
    }

    /// Returns when every message that has come to its end by now is acked: the next
    /// owner of its partition would get it again.
    pub(crate) async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        let _ = self.0.send(Ending::Flush(done));
        let _ = is_done.await;
    }
}

/// Between two acks, or a few, of what was parked. With `sync: always` the broker
/// writes each to disk before it takes the next delivery, so those of a whole list at
/// once would hold up everybody else's.
const LEISURE: Duration = Duration::from_millis(2);
/// The longer they are, the more of them at once: a part of so many.
const LEISURELY: usize = 64;

/// Acks messages, or hands them back, until nobody can send any more.
pub(crate) async fn end_messages(mut ends: mpsc::UnboundedReceiver<Ending>) {
    let mut parked: VecDeque<End> = VecDeque::new();
    let mut next = Instant::now();
    loop {
        let ending = tokio::select! {
            ending = ends.recv() => ending,
            () = sleep_until(next.into()), if !parked.is_empty() => {
                let now = parked.len().div_ceil(LEISURELY);
                ack_all(parked.drain(..now)).await;
                next = Instant::now() + LEISURE;
                continue;
            }
        };
        match ending {
            Some(Ending::Of(end)) if !end.is_done => end.message.hand_back().await,
            Some(Ending::Of(end)) if end.is_parked => parked.push_back(end),
            Some(Ending::Of(end)) => end.message.ack().await,
            Some(Ending::Flush(done)) => {
                ack_all(parked.drain(..)).await;
                let _ = done.send(());
            }
            None => break,
        }
    }
    ack_all(parked).await;
}

async fn ack_all(ends: impl IntoIterator<Item = End>) {
    for end in ends {
        end.message.ack().await;
    }
}

#[cfg(test)]
impl Source {
    /// Deliveries of its message that are not done.
    pub(crate) fn undone(&self) -> usize {
        match self {
            Self::Message(held) => held.left.load(Ordering::Acquire),
            Self::Parked(_) => 0,
        }
    }

    /// A message that nobody waits for.
    pub(crate) fn nowhere() -> Self {
        Self::Message(Arc::new(Held {
            message: None,
            left: AtomicUsize::new(usize::MAX),
            is_parked: AtomicBool::new(false),
            ends: mpsc::unbounded_channel().0,
            room: None,
        }))
    }
}

//! Messages in work.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_nats::Subject;
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::{self, AckKind};
use bytes::Bytes;
use domain::{AcceptedEvent, Delivery, Plan, Record, Timestamp};
use opentelemetry::metrics::Counter;
use prost::Message as _;
use proto::{DecodeError, pipeline};
use telemetry::metric;
use tracing::{debug, error, warn};

use super::Command;
use crate::topology::{
    DISABLE_ENDPOINT_SUBJECT, NOTE_AUDIT_SUBJECT, NOTE_KEY_USES_SUBJECT, RAISE_EVENT_SUBJECT,
    VERIFY_ENDPOINT_SUBJECT,
};

/// Parts in which held messages are renewed, one after the other: thousands at once
/// would hold up everything else.
const PARTS: u32 = 10;

/// Tells the server that held messages are still in work, each before it is two
/// intervals old, and then once in each interval.
pub(super) async fn renew(held: Arc<Held>, interval: Duration) {
    // The first place that was not taken, at each of the last times.
    let mut unused = VecDeque::from(vec![0; PARTS as usize]);
    for part in (0..PARTS).cycle() {
        tokio::time::sleep(interval / PARTS).await;
        // What came since an interval ago is young enough until the next.
        let first_new = unused.pop_front().unwrap_or(0);
        unused.push_back(held.next.load(Ordering::Relaxed));
        let ackers: Vec<Arc<Acker>> = {
            let ackers = held.lock();
            let is_due =
                |place: u64| place < first_new && place % u64::from(PARTS) == u64::from(part);
            let due = ackers.iter().filter(|(place, _)| is_due(**place));
            due.map(|(_, acker)| Arc::clone(acker)).collect()
        };
        for acker in ackers {
            if let Err(error) = acker.ack_with(AckKind::Progress).await {
                debug!(%error, "cannot renew a message");
            }
        }
    }
}

/// The messages that are in work.
pub(super) struct Held {
    ackers: Mutex<HashMap<u64, Arc<Acker>>>,
    next: AtomicU64,
    /// Counts those that cannot be worked on.
    dropped: Counter<u64>,
}

impl Held {
    pub(super) fn new() -> Self {
        Self {
            ackers: Mutex::default(),
            next: AtomicU64::new(0),
            dropped: metric::MESSAGES_DROPPED.counter_from_zero(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Acker>>> {
        // A map is whole after any panic.
        self.ackers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message in work: renewed until it is acked or dropped. A dropped one comes
/// again when it has not been renewed for the input's ack wait.
pub struct Message {
    subject: Subject,
    payload: Bytes,
    sequence: u64,
    published_at: Timestamp,
    delivered: u64,
    acker: Arc<Acker>,
    held: Arc<Held>,
    place: u64,
}

impl Message {
    pub(super) fn new(message: jetstream::Message, held: &Arc<Held>) -> Option<Self> {
        let (sequence, published_at, delivered) = match message.info() {
            Ok(info) => (
                info.stream_sequence,
                SystemTime::from(info.published).into(),
                u64::try_from(info.delivered).unwrap_or(1),
            ),
            Err(error) => {
                error!(%error, "a message without a JetStream reply subject is dropped");
                return None;
            }
        };
        let (message, acker) = message.split();
        let acker = Arc::new(acker);
        let place = held.next.fetch_add(1, Ordering::Relaxed);
        held.lock().insert(place, Arc::clone(&acker));
        Some(Self {
            subject: message.subject,
            payload: message.payload,
            sequence,
            published_at,
            delivered,
            acker,
            held: Arc::clone(held),
            place,
        })
    }

    /// Its place in the stream.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// When JetStream stored it.
    #[must_use]
    pub const fn published_at(&self) -> Timestamp {
        self.published_at
    }

    /// The size of what it carries.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.payload.len()
    }

    /// How often it has been delivered, this time included. Of a partition's
    /// messages: how often to this owner.
    #[must_use]
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Says that its work is done. If that does not reach the server it comes
    /// again.
    pub async fn ack(self) {
        if let Err(error) = self.acker.ack().await {
            warn!(%error, "cannot ack a message: it will come again");
        }
    }

    /// Says that it is not worked on here: it comes again at once, to whoever
    /// asks next.
    pub async fn hand_back(self) {
        if let Err(error) = self.acker.ack_with(AckKind::Nak(None)).await {
            debug!(%error, "cannot hand a message back: it will come again");
        }
    }

    /// Says that it can never be worked on, and why.
    pub async fn terminate(self, reason: &(dyn std::error::Error + Sync)) {
        self.held.dropped.add(1, &[]);
        error!(error = %reason, sequence = self.sequence, "a message cannot be worked on and is dropped");
        if let Err(error) = self.acker.ack_with(AckKind::Term).await {
            warn!(%error, "cannot drop a message: it will come again");
        }
    }

    /// Reads an event.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn event(&self) -> Result<AcceptedEvent, DecodeError> {
        pipeline::AcceptedEvent::decode(self.payload.clone())?.try_into()
    }

    /// Reads a list of deliveries.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn deliveries(&self) -> Result<Vec<Delivery>, DecodeError> {
        proto::deliveries_from_list(pipeline::DeliveryList::decode(self.payload.clone())?)
    }

    /// Reads a list of plans.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn plans(&self) -> Result<Vec<Plan>, DecodeError> {
        let list = pipeline::PlanList::decode(self.payload.clone())?;
        list.plans.into_iter().map(TryInto::try_into).collect()
    }

    /// Reads a list of records.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn records(&self) -> Result<Vec<Record>, DecodeError> {
        decode_records(self.payload.clone())
    }

    /// Reads a command; its subject says which.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn command(&self) -> Result<Command, DecodeError> {
        let payload = self.payload.clone();
        match self.subject.as_str() {
            DISABLE_ENDPOINT_SUBJECT => {
                pipeline::DisableEndpoint::decode(payload).map(Command::DisableEndpoint)
            }
            VERIFY_ENDPOINT_SUBJECT => {
                pipeline::VerifyEndpoint::decode(payload).map(Command::VerifyEndpoint)
            }
            RAISE_EVENT_SUBJECT => pipeline::RaiseEvent::decode(payload).map(Command::RaiseEvent),
            NOTE_KEY_USES_SUBJECT => {
                pipeline::NoteKeyUses::decode(payload).map(Command::NoteKeyUses)
            }
            NOTE_AUDIT_SUBJECT => pipeline::NoteAudit::decode(payload).map(Command::NoteAudit),
            _ => return Err(DecodeError::Field("subject")),
        }
        .map_err(Into::into)
    }
}

pub(crate) fn decode_records(payload: Bytes) -> Result<Vec<Record>, DecodeError> {
    let list = pipeline::RecordList::decode(payload)?;
    list.records.into_iter().map(TryInto::try_into).collect()
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("sequence", &self.sequence)
            .field("delivered", &self.delivered)
            .finish_non_exhaustive()
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.held.lock().remove(&self.place);
    }
}

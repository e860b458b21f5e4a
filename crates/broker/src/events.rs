//! Accepting events: durable and once.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::{HeaderName, NATS_MESSAGE_ID};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::publish::PublishAck;
use bytes::Bytes;
use domain::{AcceptedEvent, EventId};
use prost::Message as _;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use crate::topology::{EVENTS, event_subject};
use crate::{Broker, Error};

/// Hex of the payload's digest; tells a repeat from another event.
const FINGERPRINT: &str = "Postrider-Fingerprint";
/// Random per call; tells our own repeat of a publish from the caller's.
const ACCEPTANCE: &str = "Postrider-Acceptance";
/// The id of the event, so that a duplicate can be told without its payload.
const EVENT_ID: &str = "Postrider-Event-Id";
/// W3C's name for it; header names of NATS are case-sensitive.
const TRACEPARENT: &str = "traceparent";

/// One try; several fit into a caller's patience.
const TRY: Duration = Duration::from_millis(1_500);
/// A lost connection comes back within this, or the call is refused.
const RECONNECT_PATIENCE: Duration = Duration::from_millis(750);
const PAUSE: Duration = Duration::from_millis(50);
/// What the library calls a stream that is not found.
const NO_LEADER: &str = "no server answers for the stream: most of them are away, or their stores \
                         are full, which their logs and /healthz tell";
/// What is published for ever is spoken of after so long, each time.
const SAY_AGAIN: Duration = Duration::from_secs(30);

/// What became of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publication {
    /// Stored by this call.
    New,
    /// Stored before as this event, with the same payload.
    Duplicate(EventId),
    /// Stored before under the same key, with another payload.
    Conflict,
    /// Stored before under the same key, and removed since.
    Gone,
}

impl Broker {
    /// Stores an event, once per `key` within the duplicate window. It is
    /// durable when this returns. `budget` bounds all tries together.
    ///
    /// # Errors
    ///
    /// An outage: the event may or may not be stored; repeating is safe.
    pub async fn publish_event(
        &self,
        event: &AcceptedEvent,
        key: Uuid,
        fingerprint: &[u8; 32],
        budget: Duration,
    ) -> Result<Publication, Error> {
        let deadline = Instant::now() + budget;
        let acceptance = format!("{:032x}", rand::random::<u128>());
        let fingerprint = hex_of(fingerprint);
        let key = key.to_string();
        let id = event.id.to_string();
        // Each try takes them, and nearly always there is one: a copy would be made in vain.
        let headers = || {
            let mut headers = HeaderMap::new();
            headers.insert(NATS_MESSAGE_ID, key.as_str());
            headers.insert(HeaderName::from_static(EVENT_ID), id.as_str());
            headers.insert(HeaderName::from_static(FINGERPRINT), fingerprint.as_str());
            headers.insert(HeaderName::from_static(ACCEPTANCE), acceptance.as_str());
            if event.trace.is_sampled() {
                // For nats-server's own trace events, and people with a terminal.
                let traceparent = event.trace.traceparent();
                headers.insert(HeaderName::from_static(TRACEPARENT), traceparent);
            }
            headers
        };
        let payload = Bytes::from(proto::encode_event(event));
        let ack = self
            .publish_until(event_subject(&event.account), headers, payload, deadline)
            .await?;
        if !ack.duplicate {
            return Ok(Publication::New);
        }
        let Some(stored) = self.stored_event(ack.sequence, deadline).await? else {
            // It left the stream, not the window.
            return Ok(Publication::Gone);
        };
        if stored.acceptance == acceptance {
            return Ok(Publication::New);
        }
        let same = stored.key == key && stored.fingerprint == fingerprint;
        Ok(match stored.id {
            Some(id) if same => Publication::Duplicate(id),
            _ => Publication::Conflict,
        })
    }

    /// The event that stands at this place of EVENTS, if it is still there.
    ///
    /// # Errors
    ///
    /// An outage, or an unreadable message.
    pub async fn event_at(&self, sequence: u64) -> Result<Option<AcceptedEvent>, Error> {
        let Some(message) = self.message_at(EVENTS, sequence).await? else {
            return Ok(None);
        };
        let event = proto::pipeline::AcceptedEvent::decode(message.payload)
            .map_err(proto::DecodeError::from)?;
        Ok(Some(event.try_into()?))
    }

    /// Publishes the same message again and again until it is acked. The
    /// message id makes it one. Returns its sequence.
    pub(crate) async fn publish_for_ever(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<u64, Error> {
        let mut pause = PAUSE;
        let mut said = Instant::now();
        let mut connections = self.connections();
        connections.mark_unchanged();
        loop {
            let far = Instant::now() + 2 * TRY;
            let tried = self
                .publish_until(subject.clone(), || headers.clone(), payload.clone(), far)
                .await;
            match tried {
                Ok(ack) => return Ok(ack.sequence),
                Err(error) if error.is_outage() && said.elapsed() >= SAY_AGAIN => {
                    tracing::warn!(%error, subject, "nats-server does not take it: publishing again");
                    said = Instant::now();
                }
                Err(error) if error.is_outage() => {
                    tracing::debug!(%error, subject, "publishing again");
                }
                Err(error) => return Err(error),
            }
            // What waits for the server goes before whatever comes after its return:
            // the next owner of a partition looks there for what was sent.
            let _ = timeout(pause, connections.changed()).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn publish_until(
        &self,
        subject: String,
        headers: impl Fn() -> HeaderMap,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<PublishAck, Error> {
        loop {
            self.wait_for_connection(deadline).await?;
            let end = deadline.min(Instant::now() + TRY);
            let publish = self.publish_once(subject.clone(), headers(), payload.clone());
            let error = match timeout_at(end, publish).await {
                Ok(Ok(ack)) => return Ok(ack),
                Ok(Err(error @ Error::Refused(_))) => return Err(error),
                Ok(Err(error)) => error,
                Err(_) => Error::unavailable("the publish was not acknowledged in time"),
            };
            if Instant::now() + PAUSE >= deadline {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn publish_once(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<PublishAck, Error> {
        let classify = |error: async_nats::jetstream::context::PublishError| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => Error::Refused(error.to_string()),
            PublishErrorKind::StreamNotFound => Error::unavailable(NO_LEADER),
            _ => Error::unavailable(error),
        };
        let acked = self
            .jetstream
            .publish_with_headers(subject, headers, payload)
            .await;
        acked.map_err(classify)?.await.map_err(classify)
    }

    /// Waits a little for a lost connection to come back.
    async fn wait_for_connection(&self, deadline: Instant) -> Result<(), Error> {
        let end = deadline.min(Instant::now() + RECONNECT_PATIENCE);
        while !self.is_connected() {
            if Instant::now() >= end {
                return Err(Error::unavailable("there is no connection"));
            }
            tokio::time::sleep(PAUSE / 2).await;
        }
        Ok(())
    }

    async fn stored_event(
        &self,
        sequence: u64,
        deadline: Instant,
    ) -> Result<Option<Stored>, Error> {
        loop {
            match timeout(TRY, self.message_at(EVENTS, sequence)).await {
                Ok(Ok(message)) => return Ok(message.map(|message| Stored::new(&message.headers))),
                Ok(Err(error)) if Instant::now() >= deadline => return Err(error),
                Err(_) if Instant::now() >= deadline => {
                    return Err(Error::unavailable(
                        "the stored event cannot be read in time",
                    ));
                }
                Ok(Err(_)) | Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// Lower-case digits; `hex::encode` puts them together one by one.
fn hex_of(digest: &[u8; 32]) -> String {
    let mut digits = [0; 64];
    // There is room for all of them.
    let _ = hex::encode_to_slice(digest, &mut digits);
    String::from_utf8_lossy(&digits).into_owned()
}

/// What is needed of a stored event to judge a repeat.
#[derive(Debug)]
struct Stored {
    id: Option<EventId>,
    key: String,
    fingerprint: String,
    acceptance: String,
}

impl Stored {
    fn new(headers: &HeaderMap) -> Self {
        let text = |name: &str| {
            headers
                .get(name)
                .map(ToString::to_string)
                .unwrap_or_default()
        };
        Self {
            id: text(EVENT_ID).parse().ok(),
            key: text("Nats-Msg-Id"),
            fingerprint: text(FINGERPRINT),
            acceptance: text(ACCEPTANCE),
        }
    }
}

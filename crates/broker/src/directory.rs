//! Directories: what control publishes and every role follows, so that the
//! line works without the database.

mod endpoints;
mod erasures;
mod event_types;
mod keys;
mod uses;
mod write;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::stream::DirectGetErrorKind;
use bytes::Bytes;
use domain::{AccountId, EndpointId, EventType};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use endpoints::{Change, EndpointDirectory};
pub use erasures::ErasureDirectory;
pub use event_types::EventTypeDirectory;
pub use keys::KeyDirectory;
pub use write::{Key, Value};

use crate::follow::{Followed, Follower, Start, Step};
use crate::{Broker, Error, Lagging};

const READ: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// A bucket of JetStream's key-value store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// `<partition>.<account>.<endpoint>`
    Endpoints,
    /// `<key id>`
    Keys,
    /// `<name>`
    EventTypes,
    /// `<uuid>` of an [`domain::ErasureMark`]; kept as long as EVENTS.
    Erased,
}

impl Bucket {
    /// Every bucket.
    pub const ALL: [Self; 4] = [Self::Endpoints, Self::Keys, Self::EventTypes, Self::Erased];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Endpoints => "endpoints",
            Self::Keys => "keys",
            Self::EventTypes => "event_types",
            Self::Erased => "erased",
        }
    }

    /// How long entries stay; `None`: until they are deleted.
    pub(crate) const fn max_age(self) -> Option<Duration> {
        match self {
            Self::Endpoints | Self::Keys | Self::EventTypes => None,
            Self::Erased => Some(domain::event::RETENTION),
        }
    }

    pub(crate) fn stream(self) -> String {
        format!("KV_{}", self.name())
    }

    fn subject(self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name())
    }

    fn key(self, subject: &str) -> Option<&str> {
        subject
            .strip_prefix("$KV.")?
            .strip_prefix(self.name())?
            .strip_prefix('.')
    }
}

/// What an entry says: `None` if it was deleted.
pub(crate) fn value_of(headers: Option<&HeaderMap>, payload: Bytes) -> Option<Bytes> {
    let operation = headers.and_then(|headers| headers.get("KV-Operation"));
    operation.is_none().then_some(payload)
}

/// One change of an entry.
#[derive(Debug)]
struct Entry<'a> {
    key: &'a str,
    /// `None`: deleted.
    value: Option<Bytes>,
}

/// How far a directory has seen its bucket.
#[derive(Debug)]
struct Progress {
    revision: watch::Sender<u64>,
    current: watch::Sender<bool>,
    /// A server that knows the users of an earlier version never answers whoever
    /// looks behind what it has seen: not before then.
    look_after: Mutex<Instant>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            revision: watch::Sender::new(0),
            current: watch::Sender::new(false),
            look_after: Mutex::new(Instant::now()),
        }
    }
}

impl Progress {
    fn may_look(&self) -> bool {
        let after = self.look_after.lock();
        *after.unwrap_or_else(PoisonError::into_inner) <= Instant::now()
    }

    fn look_later(&self) {
        let after = self.look_after.lock();
        *after.unwrap_or_else(PoisonError::into_inner) = Instant::now() + LOOK_AGAIN;
    }

    async fn wait_for(&self, revision: u64, patience: Duration) -> Result<(), Lagging> {
        let mut seen = self.revision.subscribe();
        let waited = timeout(patience, seen.wait_for(|seen| *seen >= revision)).await;
        // The sender lives as long as the directory.
        waited.map(|_| ()).map_err(|_| Lagging {
            seen: *self.revision.borrow(),
        })
    }

    async fn catch_up(
        &self,
        bucket: Bucket,
        broker: &Broker,
        patience: Duration,
    ) -> Result<u64, Lagging> {
        let lagging = || Lagging {
            seen: *self.revision.borrow(),
        };
        let seen = *self.revision.borrow();
        if self.may_look() {
            match timeout(LOOK, broker.is_last(&bucket.stream(), seen)).await {
                Ok(Ok(true)) => return Ok(seen),
                Ok(Ok(false)) => {}
                Ok(Err(_)) | Err(_) => self.look_later(),
            }
        }
        let last = timeout(patience, broker.last_sequence(&bucket.stream())).await;
        let last = last.map_err(|_| lagging())?.map_err(|_| lagging())?;
        self.wait_for(last, patience).await?;
        Ok(last)
    }
}

/// Follows a bucket until `shutdown` is cancelled and hands over every change.
async fn follow(
    bucket: Bucket,
    broker: &Broker,
    progress: &Progress,
    shutdown: &CancellationToken,
    mut apply: impl FnMut(Entry<'_>),
) {
    let mut follower = Follower::new(broker, bucket.stream(), Start::LastOfEachSubject);
    let mut target = None;
    loop {
        if !*progress.current.borrow() {
            if target.is_none() {
                target = broker.last_sequence(&bucket.stream()).await.ok();
            }
            if target.is_some_and(|target| *progress.revision.borrow() >= target) {
                progress.current.send_replace(true);
            }
        }
        let waiting_for_target = target.is_none();
        let followed = tokio::select! {
            followed = follower.next() => followed,
            () = tokio::time::sleep(Duration::from_millis(200)), if waiting_for_target => continue,
            () = shutdown.cancelled() => return,
        };
        let Step::Message(followed) = followed else {
            continue;
        };
        let Followed {
            sequence,
            subject,
            headers,
            payload,
            ..
        } = followed;
        if let Some(key) = bucket.key(&subject) {
            apply(Entry {
                key,
                value: value_of(headers.as_ref(), payload),
            });
        }
        progress.revision.send_replace(sequence);
    }
}

/// The last value of an entry, read from the server, and its revision.
async fn read(broker: &Broker, bucket: Bucket, key: &str) -> Result<(u64, Option<Bytes>), Error> {
    let read = async {
        let stream = broker
            .jetstream
            .get_stream_no_info(bucket.stream())
            .await
            .map_err(Error::unavailable)?;
        // Any replica answers. What one that lags lacks was made a moment ago.
        match stream
            .direct_get_last_for_subject(bucket.subject(key))
            .await
        {
            Ok(message) => Ok((
                message.sequence,
                value_of(Some(&message.headers), message.payload),
            )),
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok((0, None)),
            Err(error) => Err(Error::unavailable(error)),
        }
    };
    timeout(READ, read)
        .await
        .map_err(|_| Error::unavailable("no answer in time"))?
}

fn endpoint_key(broker: &Broker, account: &AccountId, id: EndpointId) -> String {
    format!("{}.{account}.{id}", broker.partitions().of(id))
}

fn event_type_key(name: &EventType) -> String {
    name.to_string()
}

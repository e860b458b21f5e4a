use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use domain::{AccountId, ErasureMark, EventId, Timestamp};
use prost::Message as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::error;
use uuid::Uuid;

use super::{Bucket, Entry, Progress};
use crate::connection::CALL_TIMEOUT;
use crate::{Broker, Error};

/// The bucket forgets a mark by itself, and tells nobody: so does a follower.
const KEPT: Duration = domain::event::RETENTION;

/// What was erased lately, as history published it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ErasureDirectory(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// With when each was heard of.
    marks: RwLock<HashMap<Uuid, (ErasureMark, Instant)>>,
    progress: Progress,
}

impl ErasureDirectory {
    /// An empty directory; [`ErasureDirectory::run`] fills it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps it current until `shutdown` is cancelled, through every outage.
    pub async fn run(&self, broker: &Broker, shutdown: CancellationToken) {
        let apply = |entry: Entry<'_>| self.apply(&entry);
        super::follow(Bucket::Erased, broker, &self.0.progress, &shutdown, apply).await;
    }

    /// Waits until it has seen the whole bucket once.
    pub async fn current(&self) {
        let mut seen = self.0.progress.current.subscribe();
        // The sender lives as long as this directory.
        let _ = seen.wait_for(|current| *current).await;
    }

    /// Whether an event is known to be erased.
    #[must_use]
    pub fn covers(&self, event: EventId, account: &AccountId, accepted_at: Timestamp) -> bool {
        let marks = self.0.marks.read().unwrap_or_else(PoisonError::into_inner);
        // Nearly always: nothing is hashed then.
        if marks.is_empty() {
            return false;
        }
        let covers = |id| {
            marks
                .get(&id)
                .is_some_and(|(mark, _)| mark.covers(accepted_at))
        };
        covers(ErasureMark::of_event(event)) || covers(ErasureMark::of_account(account))
    }

    fn apply(&self, entry: &Entry<'_>) {
        let Some(mark) = entry
            .value
            .as_ref()
            .and_then(|value| decode(entry.key, value))
        else {
            return;
        };
        let now = Instant::now();
        let mut marks = self.0.marks.write().unwrap_or_else(PoisonError::into_inner);
        if marks.len() == marks.capacity() {
            marks.retain(|_, (_, heard)| now.duration_since(*heard) < KEPT);
        }
        // One that is told again may come behind a later one of its account.
        let known = marks.entry(mark.id).or_insert((mark, now));
        let latest = known.0.accepted_before.max(mark.accepted_before);
        *known = (
            ErasureMark {
                accepted_before: latest,
                ..mark
            },
            now,
        );
    }
}

impl Broker {
    /// Tells every dispatcher that something is erased. Telling it again is safe.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn mark_erased(&self, mark: ErasureMark) -> Result<(), Error> {
        let value = proto::pipeline::DirectoryErasure {
            accepted_before_ms: mark.accepted_before.unix_millis(),
        };
        let subject = Bucket::Erased.subject(&mark.id.to_string());
        let write = async {
            let acked = self
                .jetstream
                .publish(subject, value.encode_to_vec().into())
                .await
                .map_err(Error::unavailable)?;
            acked.await.map_err(Error::unavailable)
        };
        timeout(CALL_TIMEOUT, write)
            .await
            .map_err(|_| Error::unavailable("no answer in time"))?
            .map(|_| ())
    }
}

fn decode(key: &str, value: &[u8]) -> Option<ErasureMark> {
    let id = key.parse().ok()?;
    let decoded = proto::pipeline::DirectoryErasure::decode(value)
        .inspect_err(|error| error!(%error, key, "what was erased cannot be read"))
        .ok()?;
    Some(ErasureMark {
        id,
        accepted_before: Timestamp::from_unix_millis(decoded.accepted_before_ms),
    })
}

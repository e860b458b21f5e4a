use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use domain::key::{Identity, KeyRecord, Scope, invalid_key, lookup_id};
use domain::{Problem, Reason, Timestamp};
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{Bucket, Entry, Progress};
use crate::{Broker, Lagging};

/// All keys, as control last published them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct KeyDirectory(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    keys: RwLock<HashMap<String, Arc<Known>>>,
    progress: Progress,
    broker: OnceLock<Broker>,
}

/// A key, and when it was used. That is noted here and told to control now and
/// then, so a call costs nothing and the bound is that of the keys.
#[derive(Debug)]
struct Known {
    record: KeyRecord,
    /// Unix milliseconds; 0: not yet.
    used_at: AtomicI64,
    /// What was told last.
    told_at: AtomicI64,
}

impl Known {
    fn new(record: KeyRecord) -> Self {
        Self {
            record,
            used_at: AtomicI64::new(0),
            told_at: AtomicI64::new(0),
        }
    }
}

impl KeyDirectory {
    /// An empty directory; [`KeyDirectory::run`] fills it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps it current until `shutdown` is cancelled, through every outage.
    pub async fn run(&self, broker: &Broker, shutdown: CancellationToken) {
        // Set before, to the same.
        let _ = self.0.broker.set(broker.clone());
        let apply = |entry: Entry<'_>| self.apply(&entry);
        super::follow(Bucket::Keys, broker, &self.0.progress, &shutdown, apply).await;
    }

    /// Whether it has seen the whole bucket once.
    #[must_use]
    pub fn is_current(&self) -> bool {
        *self.0.progress.current.borrow()
    }

    /// Who shows this token. A key that is not known here is asked for at the
    /// server, once, so that a new key holds at once.
    ///
    /// # Errors
    ///
    /// [`Reason::KeyInvalid`], or [`Reason::BrokerUnavailable`] before the
    /// bucket was seen.
    pub async fn authenticate(&self, token: &str, now: Timestamp) -> Result<Identity, Problem> {
        let id = lookup_id(token).ok_or_else(invalid_key)?;
        let key = self.find(&id).await?;
        if !key.record.verify(token, now) {
            return Err(invalid_key());
        }
        key.used_at.store(now.unix_millis(), Ordering::Relaxed);
        Ok(key.record.identity())
    }

    /// Who showed the key of this id before, e.g. to start a session.
    ///
    /// # Errors
    ///
    /// When the key was revoked or has expired, or the broker must be asked
    /// and does not answer.
    pub async fn identity_of(&self, id: &str, now: Timestamp) -> Result<Identity, Problem> {
        let key = self.find(id).await?;
        if !key.record.holds(now) {
            return Err(invalid_key());
        }
        key.used_at.store(now.unix_millis(), Ordering::Relaxed);
        Ok(key.record.identity())
    }

    async fn find(&self, id: &str) -> Result<Arc<Known>, Problem> {
        match self.known(id) {
            Some(key) => Ok(key),
            None => self.ask(id).await?.ok_or_else(invalid_key),
        }
    }

    /// Waits until every change that was answered before this call is known
    /// here.
    ///
    /// # Errors
    ///
    /// [`Lagging`] after `patience`.
    pub async fn catch_up(&self, broker: &Broker, patience: Duration) -> Result<(), Lagging> {
        self.0
            .progress
            .catch_up(Bucket::Keys, broker, patience)
            .await
            .map(|_| ())
    }

    /// The keys that were used since they were told, each at most once per
    /// `interval`, at most `limit`. Whoever takes them tells them.
    pub(super) fn take_uses(&self, interval: Duration, limit: usize) -> Vec<(String, i64)> {
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        let used = keys.iter().filter_map(|(id, key)| {
            let used_at = key.used_at.load(Ordering::Relaxed);
            let told_at = key.told_at.load(Ordering::Relaxed);
            let due = used_at > told_at && used_at - told_at >= interval;
            (due && key.record.scope != Scope::Service).then_some((id, key, used_at))
        });
        let taken = used.take(limit).map(|(id, key, used_at)| {
            key.told_at.store(used_at, Ordering::Relaxed);
            (id.clone(), used_at)
        });
        taken.collect()
    }

    fn known(&self, id: &str) -> Option<Arc<Known>> {
        self.0
            .keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    async fn ask(&self, id: &str) -> Result<Option<Arc<Known>>, Problem> {
        let unavailable = || {
            Problem::new(
                Reason::BrokerUnavailable,
                "the keys cannot be read now; repeat the call in a moment",
            )
            .retry_after(Duration::from_secs(1))
        };
        let broker = self.0.broker.get().ok_or_else(unavailable)?;
        if !broker.is_connected() {
            return Err(unavailable());
        }
        match super::read(broker, Bucket::Keys, id).await {
            Ok((_, value)) => {
                let found = value.and_then(|value| decode(id, &value));
                Ok(found.map(|record| Arc::new(Known::new(record))))
            }
            Err(error) => {
                warn!(%error, "cannot ask for a key");
                Err(unavailable())
            }
        }
    }

    fn apply(&self, entry: &Entry<'_>) {
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        match &entry.value {
            None => {
                keys.remove(entry.key);
            }
            Some(value) => {
                let Some(key) = decode(entry.key, value) else {
                    return;
                };
                let known = keys.get(entry.key);
                if known.is_none_or(|known| known.record.version <= key.version) {
                    keys.insert(entry.key.to_owned(), Arc::new(Known::new(key)));
                }
            }
        }
    }
}

fn decode(id: &str, value: &[u8]) -> Option<KeyRecord> {
    let decoded = proto::pipeline::DirectoryKey::decode(value)
        .map_err(proto::DecodeError::from)
        .and_then(KeyRecord::try_from);
    decoded
        .inspect_err(|error| error!(%error, id, "a key cannot be read"))
        .ok()
}

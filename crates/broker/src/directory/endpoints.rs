use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use domain::{AccountId, Endpoint, EndpointId};
use prost::Message as _;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{Bucket, Entry, Progress};
use crate::{Broker, Lagging};

/// Changes that a slow listener may be behind before it must start over.
const CHANGES: usize = 4_096;

/// What happened to an endpoint.
#[derive(Debug, Clone)]
pub enum Change {
    /// It was created or changed.
    Updated(Arc<Endpoint>),
    /// It was deleted.
    Deleted { id: EndpointId, account: AccountId },
}

/// All endpoints, as control last published them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EndpointDirectory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoints: RwLock<Endpoints>,
    progress: Progress,
    changes: broadcast::Sender<Change>,
}

#[derive(Debug, Default)]
struct Endpoints {
    by_id: HashMap<EndpointId, Arc<Endpoint>>,
    by_account: HashMap<AccountId, Vec<Arc<Endpoint>>>,
}

impl Default for EndpointDirectory {
    fn default() -> Self {
        Self::new()
    }
}

impl EndpointDirectory {
    /// An empty directory; [`EndpointDirectory::run`] fills it.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            endpoints: RwLock::default(),
            progress: Progress::default(),
            changes: broadcast::Sender::new(CHANGES),
        }))
    }

    /// Keeps it current until `shutdown` is cancelled, through every outage.
    pub async fn run(&self, broker: &Broker, shutdown: CancellationToken) {
        let apply = |entry: Entry<'_>| self.apply(&entry);
        super::follow(
            Bucket::Endpoints,
            broker,
            &self.0.progress,
            &shutdown,
            apply,
        )
        .await;
    }

    /// Whether it has seen the whole bucket once.
    #[must_use]
    pub fn is_current(&self) -> bool {
        *self.0.progress.current.borrow()
    }

    /// Waits until it has seen the whole bucket once.
    pub async fn current(&self) {
        // The sender lives as long as this directory.
        let _ = self
            .0
            .progress
            .current
            .subscribe()
            .wait_for(|current| *current)
            .await;
    }

    /// One endpoint.
    #[must_use]
    pub fn get(&self, id: EndpointId) -> Option<Arc<Endpoint>> {
        self.read().by_id.get(&id).cloned()
    }

    /// The endpoints of an account.
    #[must_use]
    pub fn of_account(&self, account: &AccountId) -> Vec<Arc<Endpoint>> {
        self.read()
            .by_account
            .get(account)
            .cloned()
            .unwrap_or_default()
    }

    /// Every endpoint.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Endpoint>> {
        self.read().by_id.values().cloned().collect()
    }

    /// The last revision it has seen.
    #[must_use]
    pub fn revision(&self) -> u64 {
        *self.0.progress.revision.borrow()
    }

    /// Waits until it has seen `revision`.
    ///
    /// # Errors
    ///
    /// [`Lagging`] after `patience`.
    pub async fn wait_for(&self, revision: u64, patience: Duration) -> Result<(), Lagging> {
        self.0.progress.wait_for(revision, patience).await
    }

    /// Asks the server whether the bucket has a later revision, and waits until
    /// that is seen here: every change answered before this call is known after it.
    ///
    /// # Errors
    ///
    /// [`Lagging`] after `patience`, also when the server does not answer.
    pub async fn catch_up(&self, broker: &Broker, patience: Duration) -> Result<u64, Lagging> {
        self.0
            .progress
            .catch_up(Bucket::Endpoints, broker, patience)
            .await
    }

    /// Changes from now on. A listener that falls behind gets an error and
    /// should look at everything again.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Endpoints> {
        self.0
            .endpoints
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, entry: &Entry<'_>) {
        let change = match &entry.value {
            Some(value) => match decode(value) {
                Ok(endpoint) => self.put(Arc::new(endpoint)),
                Err(error) => {
                    error!(%error, key = entry.key, "an endpoint cannot be read");
                    None
                }
            },
            None => self.remove(entry.key),
        };
        if let Some(change) = change {
            // Nobody may be listening.
            let _ = self.0.changes.send(change);
        }
    }

    fn put(&self, endpoint: Arc<Endpoint>) -> Option<Change> {
        let mut endpoints = self
            .0
            .endpoints
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let known = endpoints.by_id.get(&endpoint.id);
        if known.is_some_and(|known| known.version >= endpoint.version) {
            return None;
        }
        endpoints.by_id.insert(endpoint.id, Arc::clone(&endpoint));
        let of_account = endpoints
            .by_account
            .entry(endpoint.account.clone())
            .or_default();
        of_account.retain(|other| other.id != endpoint.id);
        of_account.push(Arc::clone(&endpoint));
        Some(Change::Updated(endpoint))
    }

    fn remove(&self, key: &str) -> Option<Change> {
        let id: EndpointId = key.rsplit('.').next()?.parse().ok()?;
        let mut endpoints = self
            .0
            .endpoints
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let endpoint = endpoints.by_id.remove(&id)?;
        if let Some(of_account) = endpoints.by_account.get_mut(&endpoint.account) {
            of_account.retain(|other| other.id != id);
            if of_account.is_empty() {
                endpoints.by_account.remove(&endpoint.account);
            }
        }
        Some(Change::Deleted {
            id,
            account: endpoint.account.clone(),
        })
    }
}

fn decode(value: &[u8]) -> Result<Endpoint, proto::DecodeError> {
    proto::pipeline::DirectoryEndpoint::decode(value)?.try_into()
}

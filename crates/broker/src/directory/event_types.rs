use std::collections::HashSet;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use domain::EventType;
use tokio_util::sync::CancellationToken;

use super::{Bucket, Entry, Lagging, Progress};
use crate::{Broker, Error};

/// The registered event types, as control last published them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct EventTypeDirectory(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    names: RwLock<HashSet<String>>,
    progress: Progress,
    broker: OnceLock<Broker>,
}

impl EventTypeDirectory {
    /// An empty directory; [`EventTypeDirectory::run`] fills it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps it current until `shutdown` is cancelled, through every outage.
    pub async fn run(&self, broker: &Broker, shutdown: CancellationToken) {
        // Set before, to the same.
        let _ = self.0.broker.set(broker.clone());
        let apply = |entry: Entry<'_>| self.apply(&entry);
        super::follow(
            Bucket::EventTypes,
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

    /// Whether the type is registered. One that is not known here is asked for
    /// at the server, once, so that a new type holds at once.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn contains(&self, name: &EventType) -> Result<bool, Error> {
        if self.knows(name) {
            return Ok(true);
        }
        let broker = self.0.broker.get().filter(|broker| broker.is_connected());
        let broker = broker.ok_or_else(|| Error::unavailable("there is no connection"))?;
        let (_, value) =
            super::read(broker, Bucket::EventTypes, &super::event_type_key(name)).await?;
        Ok(value.is_some())
    }

    /// The same for who may not read a single entry: where the type is not known here,
    /// every change that was answered before this call is waited for.
    ///
    /// # Errors
    ///
    /// [`Lagging`] after `patience`, also when the server does not answer.
    pub async fn comes_to_contain(
        &self,
        name: &EventType,
        broker: &Broker,
        patience: Duration,
    ) -> Result<bool, Lagging> {
        if self.knows(name) {
            return Ok(true);
        }
        let progress = &self.0.progress;
        progress
            .catch_up(Bucket::EventTypes, broker, patience)
            .await?;
        Ok(self.knows(name))
    }

    fn knows(&self, name: &EventType) -> bool {
        let names = self.0.names.read().unwrap_or_else(PoisonError::into_inner);
        names.contains(name.as_str())
    }

    fn apply(&self, entry: &Entry<'_>) {
        let mut names = self.0.names.write().unwrap_or_else(PoisonError::into_inner);
        match entry.value {
            Some(_) => names.insert(entry.key.to_owned()),
            None => names.remove(entry.key),
        };
    }
}

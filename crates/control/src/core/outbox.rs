//! Telling the directories what SQL says.

use std::time::Duration;

use broker::directory::{Bucket, Key, Value};
use domain::Problem;
use store::Mark;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Control, broker_down, database};

/// A caller waits this long for its own change to be told.
const BUDGET: Duration = Duration::from_secs(12);
/// Who asks to be shown something waits this long for it to be told.
const SHOWN: Duration = Duration::from_secs(1);
/// For the question whether the broker answers at all.
const ANSWER: Duration = Duration::from_secs(4);
const ASK_AGAIN: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_secs(1);
const BATCH: u32 = 256;
/// Another writer won the race that often in a row.
const TRIES: usize = 20;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Broker(#[from] broker::Error),
}

impl Control {
    /// Tells the directory of a change that is stored, before the caller gets
    /// its answer: every event that is accepted later sees it.
    pub(super) async fn announce(&self, mark: &Mark) -> Result<(), Problem> {
        let told = timeout(BUDGET, self.patiently(|| self.drain(mark))).await;
        self.0.marked.notify_one();
        match told {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Error::Store(error))) => Err(database(&error)),
            Ok(Err(Error::Broker(error))) => {
                warn!(%error, ?mark, "a change is stored but not told yet");
                Err(broker_down())
            }
            Err(_) => Err(broker_down()),
        }
    }

    /// Tells what was stored and not told yet, e.g. that an endpoint is verified: who is
    /// shown it may ask another service for what depends on it. Without the broker it
    /// is shown all the same.
    pub(super) async fn tell_what_is_shown(&self, mark: &Mark) {
        if !self.0.deps.broker.is_connected() {
            return;
        }
        let told = timeout(SHOWN, self.drain(mark)).await;
        if !matches!(told, Ok(Ok(()))) {
            debug!(?told, ?mark, "shown before it is told");
        }
    }

    /// Does it again for as long as it takes: while another server of a cluster takes
    /// over nobody answers.
    async fn patiently<T, W: Future<Output = Result<T, Error>>>(
        &self,
        work: impl Fn() -> W,
    ) -> Result<T, Error> {
        loop {
            match work().await {
                Err(Error::Broker(error))
                    if error.is_outage() && self.0.deps.broker.is_connected() =>
                {
                    debug!(%error, "asking the broker again");
                    sleep(ASK_AGAIN).await;
                }
                done => return done,
            }
        }
    }

    /// Refuses a change that could be stored but not told: asks for the entry
    /// that it is about. A connection alone says little, a server that hangs
    /// keeps it.
    pub(super) async fn check_broker(&self, mark: &Mark) -> Result<(), Problem> {
        let broker = &self.0.deps.broker;
        if !broker.is_connected() {
            return Err(broker_down());
        }
        let key = key_of(mark);
        let answered = self.patiently(|| async { Ok(broker.directory_revision(&key).await?) });
        match timeout(ANSWER, answered).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                warn!(%error, ?mark, "a change is refused");
                Err(broker_down())
            }
            Err(_) => Err(broker_down()),
        }
    }

    /// Tells what is left in the outbox, now and whenever something is left.
    pub(super) async fn drain_for_ever(&self, shutdown: &CancellationToken) {
        loop {
            if let Err(error) = self.drain_all().await {
                debug!(%error, "the outbox waits");
            }
            tokio::select! {
                () = self.0.marked.notified() => {}
                () = sleep(PAUSE) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn drain_all(&self) -> Result<(), Error> {
        if !self.0.deps.broker.is_connected() {
            return Ok(());
        }
        loop {
            let marks = self.0.deps.registry.marks(BATCH).await?;
            if marks.is_empty() {
                return Ok(());
            }
            for (mark, _) in marks {
                self.drain(&mark).await?;
            }
        }
    }

    /// The revision is read before the row: should another write come between,
    /// this one fails and tries again with what holds then.
    async fn drain(&self, mark: &Mark) -> Result<(), Error> {
        let (registry, broker) = (&self.0.deps.registry, &self.0.deps.broker);
        for _ in 0..TRIES {
            let Some(value) = registry.mark(mark).await? else {
                return Ok(());
            };
            let key = key_of(mark);
            let (revision, present) = broker.directory_revision(&key).await?;
            let told = match self.current(mark).await? {
                Some(current) => broker.put_directory(&current, revision).await,
                None if present => broker.delete_directory(&key, revision).await,
                None => Ok(()),
            };
            match told {
                Ok(()) => return Ok(registry.unmark(mark, value).await?),
                Err(broker::Error::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(broker::Error::Conflict.into())
    }

    /// What SQL says now.
    async fn current(&self, mark: &Mark) -> Result<Option<Value>, Error> {
        let registry = &self.0.deps.registry;
        Ok(match mark {
            Mark::Endpoint(account, id) => registry
                .endpoint(account, *id)
                .await?
                .map(|row| Value::Endpoint(Box::new(row.endpoint))),
            Mark::Key(id) => registry.key(id).await?.map(|row| Value::Key(row.record)),
            Mark::EventType(name) => registry
                .event_type(name)
                .await?
                .map(|row| Value::EventType(row.name, 1)),
        })
    }

    /// Leaves a mark for everything that the directories hold differently from
    /// SQL, e.g. after either was restored from a backup.
    pub(super) async fn reconcile(&self) -> Result<(), String> {
        let (registry, broker) = (&self.0.deps.registry, &self.0.deps.broker);
        let text = |error: store::Error| error.to_string();
        let told = |error: broker::Error| error.to_string();
        let mut marks = Vec::new();
        let stored = registry.all_endpoints().await.map_err(text)?;
        self.0.deps.endpoints.current().await;
        for (account, id, version) in &stored {
            let known = self
                .0
                .deps
                .endpoints
                .get(*id)
                .map(|endpoint| endpoint.version);
            if known != Some(*version) {
                marks.push(Mark::Endpoint(account.clone(), *id));
            }
        }
        for endpoint in self.0.deps.endpoints.all() {
            if !stored.iter().any(|(_, id, _)| *id == endpoint.id) {
                marks.push(Mark::Endpoint(endpoint.account.clone(), endpoint.id));
            }
        }
        let keys = registry.all_keys().await.map_err(text)?;
        let names = registry.all_event_types().await.map_err(text)?;
        marks.extend(keys.into_iter().map(Mark::Key));
        marks.extend(names.into_iter().map(Mark::EventType));
        for bucket in [Bucket::Keys, Bucket::EventTypes] {
            let held = broker.list_directory(bucket).await.map_err(told)?;
            for mark in held.into_iter().map(mark_of) {
                if !marks.contains(&mark) {
                    marks.push(mark);
                }
            }
        }
        registry.leave_marks(&marks).await.map_err(text)?;
        self.drain_all().await.map_err(|error| error.to_string())
    }
}

fn key_of(mark: &Mark) -> Key {
    match mark.clone() {
        Mark::Endpoint(account, id) => Key::Endpoint(account, id),
        Mark::Key(id) => Key::Key(id),
        Mark::EventType(name) => Key::EventType(name),
    }
}

fn mark_of(key: Key) -> Mark {
    match key {
        Key::Endpoint(account, id) => Mark::Endpoint(account, id),
        Key::Key(id) => Mark::Key(id),
        Key::EventType(name) => Mark::EventType(name),
    }
}

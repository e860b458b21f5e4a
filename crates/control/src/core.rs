//! What may be done with endpoints, keys and event types, by whom. Both APIs
//! call this and nothing beneath it.

mod audit;
mod bootstrap;
mod commands;
mod endpoints;
mod event_types;
mod keys;
mod limits;
mod master_keys;
mod outbox;
mod sessions;
mod streams;
mod traced;
mod upstream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use domain::key::{Identity, invalid_key};
use domain::{Problem, Reason, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::error;

pub(crate) use audit::word as audit_word;
pub(crate) use domain::page::Page;
pub(crate) use endpoints::{
    CallersHeaders, EndpointChange, EndpointView, NewEndpoint, PolicyChange,
    not_found as endpoint_not_found,
};
pub(crate) use event_types::{EventTypeView, NewEventType};
pub(crate) use keys::{KeyView, NewKey};
pub(crate) use limits::LimitsView;
pub(crate) use master_keys::MasterKeysView;
pub(crate) use sessions::{Session, Started};
pub(crate) use upstream::{HistoryClient, IngestClient};

use crate::{Config, Deps, Error};
use upstream::Upstream;

const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The control role's core. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Control(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    deps: Deps,
    upstream: Upstream,
    /// Something was left in the outbox.
    marked: Notify,
    /// Another master key may seal.
    look_at_master_keys: Notify,
    /// The tables, the first keys and the catalogue are there.
    ready: AtomicBool,
    /// Ends answers that would never end by themselves.
    ending: CancellationToken,
}

impl Control {
    pub(crate) fn new(config: Config, deps: Deps) -> Result<Self, Error> {
        if let Some(key) = &config.admin_key
            && domain::key::lookup_id(key).is_none()
        {
            return Err(Error::AdminKey);
        }
        let upstream = Upstream::new(&deps);
        Ok(Self(Arc::new(Inner {
            config,
            deps,
            upstream,
            marked: Notify::new(),
            look_at_master_keys: Notify::new(),
            ready: AtomicBool::new(false),
            ending: CancellationToken::new(),
        })))
    }

    /// Who shows this token.
    pub(crate) async fn authenticate(&self, bearer: Option<&str>) -> Result<Identity, Problem> {
        let token = bearer.ok_or_else(invalid_key)?;
        self.0.deps.keys.authenticate(token, now()).await
    }

    /// Cancelled when the role is to end.
    pub(crate) fn ending(&self) -> CancellationToken {
        self.0.ending.clone()
    }

    /// History's client, as one of the roles: authorise the caller first.
    pub(crate) fn history(&self) -> HistoryClient {
        self.0.upstream.history.clone()
    }

    /// Ingest's client, as one of the roles: authorise the caller first.
    pub(crate) fn ingest(&self) -> IngestClient {
        self.0.upstream.ingest.clone()
    }

    /// What the role waits for.
    pub(crate) async fn check(&self) -> Result<(), String> {
        if !self.0.ready.load(Ordering::Relaxed) {
            Err("the database is not prepared yet".to_owned())
        } else if !self.0.deps.broker.is_connected() {
            Err("there is no connection to nats-server".to_owned())
        } else if !self.0.deps.keys.is_current() || !self.0.deps.event_types.is_current() {
            Err("the directories are not loaded yet".to_owned())
        } else {
            // Shorter than whoever asks waits, so that the reason is told.
            match timeout(Duration::from_secs(1), self.0.deps.registry.pool().ping()).await {
                Ok(Ok(())) => Ok(()),
                _ => Err("the database does not answer".to_owned()),
            }
        }
    }

    /// Prepares the database, then keeps the directories true to it and obeys
    /// commands until `shutdown` is cancelled.
    pub(crate) async fn run(&self, shutdown: &CancellationToken) {
        tokio::select! {
            () = self.prepare() => self.0.ready.store(true, Ordering::Relaxed),
            () = shutdown.cancelled() => return,
        }
        let mut tasks = JoinSet::new();
        let (ending, token) = (self.ending(), shutdown.clone());
        tasks.spawn(async move {
            token.cancelled().await;
            ending.cancel();
        });
        let (control, token) = (self.clone(), shutdown.clone());
        tasks.spawn(async move { control.drain_for_ever(&token).await });
        let (control, token) = (self.clone(), shutdown.clone());
        tasks.spawn(async move { control.obey_for_ever(&token).await });
        let (control, token) = (self.clone(), shutdown.clone());
        tasks.spawn(async move { streams::watch(&control.0.deps.broker, &token).await });
        let (control, token) = (self.clone(), shutdown.clone());
        tasks.spawn(async move { control.follow_master_keys(&token).await });
        let (control, token) = (self.clone(), shutdown.clone());
        tasks.spawn(async move { control.expire_audit_for_ever(&token).await });
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                error!(%error, "a part of control panicked");
            }
        }
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// A problem of the database in the caller's words.
fn database(error: &store::Error) -> Problem {
    if error.is_outage() {
        tracing::warn!(%error, "the database does not answer");
        let detail = "the database cannot take it now; repeat the call in a moment";
        return Problem::new(Reason::DatabaseUnavailable, detail).retry_after(RETRY_AFTER);
    }
    error!(%error, "the database refused a statement");
    Problem::new(
        Reason::Internal,
        "it cannot be stored; report it if it stays",
    )
}

/// A problem of the broker in the caller's words.
fn broker_down() -> Problem {
    let detail = "nats-server cannot take it now; repeat the call in a moment";
    Problem::new(Reason::BrokerUnavailable, detail).retry_after(RETRY_AFTER)
}

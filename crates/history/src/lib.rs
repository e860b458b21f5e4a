//! Records what happened to events, and answers for it.
//!
//! - `intake`: EVENTS, PLANS and ATTEMPTS into SQL
//! - `consequences`: what follows from that: operational events, disabling
//! - `endpoints`: what follows from endpoints that change or go
//! - `retention`: what is made ahead, and what is no longer kept
//! - `erasure`: what somebody wants to be forgotten
//! - `jobs`: work that goes on in another process if this one dies
//! - `resend`, `replay`: sending what is recorded again
//! - `sweep`: what was lost on the way
//! - `tail`: attempts as they are recorded
//! - `service`: `HistoryService`

mod again;
mod consequences;
mod convert;
mod endpoints;
mod erasure;
mod filters;
mod health;
mod intake;
mod jobs;
mod lag;
mod replay;
mod resend;
mod retention;
mod service;
mod sweep;
mod tail;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use broker::{
    Broker, DeliveryPublisher, EndpointDirectory, EventTypeDirectory, KeyDirectory, PlanPublisher,
};
use domain::Partitions;
use proto::v1::history_service_server::HistoryServiceServer;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::RoutesBuilder;
use tracing::{error, warn};

const PAUSE: Duration = Duration::from_secs(1);

/// How history works.
#[derive(Debug, Clone)]
pub struct Config {
    pub partitions: Partitions,
    /// An endpoint with nothing but failure for so long is disabled; `None`:
    /// never.
    pub disable_after: Option<Duration>,
    pub retention: Retention,
    /// An attempt that is overdue for so long is looked for.
    pub sweep_after: Duration,
    /// The limit of one attempt to an endpoint that has none of its own, as
    /// dispatchers keep it.
    pub delivery_timeout: Duration,
}

/// How long what happened is kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Events with their bodies and tags, since they were accepted.
    pub events: Duration,
    /// Deliveries, attempts and counts; not shorter than events, nor than
    /// retries may take.
    pub records: Duration,
}

/// What history needs.
#[derive(Debug, Clone)]
pub struct Deps {
    pub broker: Broker,
    pub endpoints: EndpointDirectory,
    pub keys: KeyDirectory,
    pub event_types: EventTypeDirectory,
    pub store: store::History,
}

/// Nothing that only this role can meet: outages are waited out.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

/// What the parts of the role share.
#[derive(Debug)]
struct Shared {
    config: Config,
    deps: Deps,
    /// What a resend is published with; there once the role runs.
    publishers: OnceLock<Publishers>,
    /// The tables are there.
    ready: AtomicBool,
    /// Told when a replay was started here, so that it need not be looked for.
    replay_started: Notify,
    erasure_started: Notify,
    /// Who has how many tails.
    tails: tail::Turns,
    /// Ends tails, which never end by themselves.
    ending: CancellationToken,
}

#[derive(Debug, Clone)]
struct Publishers {
    deliveries: DeliveryPublisher,
    plans: PlanPublisher,
}

/// The history role.
#[derive(Debug)]
pub struct Role(Arc<Shared>);

impl Role {
    /// Makes the role; nothing is connected or started.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn new(config: Config, deps: Deps) -> Result<Self, Error> {
        Ok(Self(Arc::new(Shared {
            config,
            deps,
            publishers: OnceLock::new(),
            ready: AtomicBool::new(false),
            replay_started: Notify::new(),
            erasure_started: Notify::new(),
            tails: tail::Turns::default(),
            ending: CancellationToken::new(),
        })))
    }

    /// Adds `HistoryService`.
    pub fn register_grpc(&self, routes: &mut RoutesBuilder) {
        let service = service::Service(Arc::clone(&self.0));
        routes.add_service(HistoryServiceServer::new(service));
    }

    /// What tells whether the role can work.
    #[must_use]
    pub fn probe(&self) -> Probe {
        Probe(Arc::clone(&self.0))
    }

    /// Runs until `shutdown` is cancelled, then finishes what is under way.
    ///
    /// # Errors
    ///
    /// None today.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let shared = self.0;
        tokio::select! {
            () = prepare(&shared) => shared.ready.store(true, Ordering::Relaxed),
            () = shutdown.cancelled() => return Ok(()),
        }
        let publishing = TaskTracker::new();
        let publishers = Publishers {
            deliveries: DeliveryPublisher::start(&shared.deps.broker, &publishing),
            plans: PlanPublisher::start(&shared.deps.broker, &publishing),
        };
        // A role runs once.
        let _ = shared.publishers.set(publishers);
        let mut tasks = JoinSet::new();
        tasks.spawn(intake::run(Arc::clone(&shared), shutdown.clone()));
        tasks.spawn(endpoints::run(Arc::clone(&shared), shutdown.clone()));
        tasks.spawn(retention::run(Arc::clone(&shared), shutdown.clone()));
        let ending = shared.ending.clone();
        let ended = shutdown.clone();
        tasks.spawn(async move {
            ended.cancelled().await;
            ending.cancel();
        });
        tasks.spawn(replay::run(Arc::clone(&shared), shutdown.clone()));
        tasks.spawn(sweep::run(Arc::clone(&shared), shutdown.clone()));
        tasks.spawn(erasure::run(Arc::clone(&shared), shutdown.clone()));
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                error!(%error, "a part of history panicked");
            }
        }
        Ok(())
    }
}

/// Brings the tables into being, for as long as it takes.
async fn prepare(shared: &Shared) {
    while let Err(error) = shared.deps.store.pool().prepare().await {
        warn!(%error, "history is not ready yet: trying again");
        sleep(PAUSE).await;
    }
}

/// Tells whether history can work.
#[derive(Debug, Clone)]
pub struct Probe(Arc<Shared>);

impl Probe {
    /// # Errors
    ///
    /// What it waits for.
    pub async fn check(&self) -> Result<(), String> {
        let deps = &self.0.deps;
        if !self.0.ready.load(Ordering::Relaxed) {
            Err("the database is not prepared yet".to_owned())
        } else if !deps.broker.is_connected() {
            Err("there is no connection to nats-server".to_owned())
        } else if !deps.endpoints.is_current() || !deps.keys.is_current() {
            Err("the directories are not loaded yet".to_owned())
        } else {
            // Shorter than whoever asks waits, so that the reason is told.
            match timeout(Duration::from_secs(1), deps.store.pool().ping()).await {
                Ok(Ok(())) => Ok(()),
                _ => Err("the database does not answer".to_owned()),
            }
        }
    }
}

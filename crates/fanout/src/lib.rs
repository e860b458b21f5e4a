//! Matches events with the endpoints that subscribe to them: deliveries to the
//! dispatchers, the plan to history.

mod plan;
mod spans;
mod work;

use std::sync::Arc;

use broker::{Broker, DeliveryPublisher, EndpointDirectory, Input, PlanPublisher};
use domain::Partitions;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

use crate::work::Worker;

/// Events looked at together: one question about the directory for all.
const BATCH: usize = 128;

/// What the events in work may carry together, in KiB: the broker lets go of a
/// few thousand, and each may have 256.
const IN_WORK_KIB: u32 = 64 * 1_024;

/// How fan-out works.
#[derive(Debug, Clone)]
pub struct Config {
    pub partitions: Partitions,
}

/// What fan-out needs.
#[derive(Debug, Clone)]
pub struct Deps {
    pub broker: Broker,
    pub endpoints: EndpointDirectory,
}

/// Nothing that only this role can meet: outages are waited out.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

/// The fan-out role.
#[derive(Debug)]
pub struct Role {
    config: Config,
    deps: Deps,
}

impl Role {
    /// Makes the role; nothing is connected or started.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn new(config: Config, deps: Deps) -> Result<Self, Error> {
        Ok(Self { config, deps })
    }

    /// What tells whether the role can work.
    #[must_use]
    pub fn probe(&self) -> Probe {
        Probe(self.deps.clone())
    }

    /// Runs until `shutdown` is cancelled, then finishes what is under way.
    ///
    /// # Errors
    ///
    /// None today.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Deps { broker, endpoints } = self.deps;
        let publishers = TaskTracker::new();
        let worker = Worker::new(
            self.config.partitions,
            DeliveryPublisher::start(&broker, &publishers),
            PlanPublisher::start(&broker, &publishers),
        );
        let mut events = broker.consume(Input::Events);
        let mut under_way = JoinSet::new();
        let room = Arc::new(Semaphore::new(IN_WORK_KIB as usize));
        'working: loop {
            let messages = tokio::select! {
                messages = events.next(BATCH) => messages,
                Some(done) = under_way.join_next() => {
                    log_panic(done);
                    continue;
                }
                () = shutdown.cancelled() => break,
            };
            let revision = tokio::select! {
                revision = work::catch_up(&broker, &endpoints) => revision,
                // The messages come again, to whoever runs then.
                () = shutdown.cancelled() => break,
            };
            for message in messages {
                let kib = u32::try_from(message.size_bytes().div_ceil(1_024));
                let kib = kib.unwrap_or(u32::MAX).min(IN_WORK_KIB);
                let taken = tokio::select! {
                    taken = Arc::clone(&room).acquire_many_owned(kib) => taken,
                    // This one and those behind it come again as well.
                    () = shutdown.cancelled() => break 'working,
                };
                // It is never closed.
                let Ok(taken) = taken else { break 'working };
                let worker = worker.clone();
                under_way.spawn(worker.work(message, endpoints.clone(), revision, taken));
            }
        }
        while let Some(done) = under_way.join_next().await {
            log_panic(done);
        }
        drop(worker);
        publishers.close();
        publishers.wait().await;
        Ok(())
    }
}

/// Its message comes again.
fn log_panic(done: Result<(), tokio::task::JoinError>) {
    if let Err(error) = done {
        error!(%error, "planning an event panicked");
    }
}

/// Tells whether fan-out can work.
#[derive(Debug, Clone)]
pub struct Probe(Deps);

impl Probe {
    /// # Errors
    ///
    /// What it waits for.
    pub async fn check(&self) -> Result<(), String> {
        if !self.0.broker.is_connected() {
            Err("there is no connection to nats-server".to_owned())
        } else if !self.0.endpoints.is_current() {
            Err("the endpoints are not loaded yet".to_owned())
        } else {
            Ok(())
        }
    }
}

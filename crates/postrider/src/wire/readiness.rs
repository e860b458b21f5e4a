//! Asks every part again and again what it waits for, and tells everyone who
//! wants to know: `/readyz`, the gRPC health service, and whoever waits for the
//! ready line.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use futures::future::join_all;
use opentelemetry::metrics::Gauge;
use telemetry::metric;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use super::doors::Addresses;
use super::parts::{Part, Probe};
use crate::admin::Readiness;
use crate::roles::Role;

const INTERVAL_AT_START: Duration = Duration::from_millis(100);
const INTERVAL: Duration = Duration::from_secs(1);
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// Where the process stands as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The streams are not there yet; no role runs.
    Topology,
    Running,
    ShuttingDown,
}

/// Tells [`Watcher`] where the process stands.
#[derive(Debug)]
pub(super) struct Stage(watch::Sender<Phase>);

impl Stage {
    pub(super) fn running(&self) {
        self.0.send_replace(Phase::Running);
    }

    pub(super) fn shutting_down(&self) {
        self.0.send_replace(Phase::ShuttingDown);
    }
}

/// Watches the parts of a process.
pub(super) struct Watcher {
    probes: Vec<(Role, Probe)>,
    phase: watch::Receiver<Phase>,
    readiness: watch::Sender<Readiness>,
    health: HealthReporter,
    addresses: Addresses,
    /// Hears of the first time that all are ready.
    ready: Option<oneshot::Sender<Addresses>>,
    gauge: Gauge<u64>,
}

impl Watcher {
    pub(super) fn new(
        parts: &[Part],
        readiness: watch::Sender<Readiness>,
        health: HealthReporter,
        addresses: Addresses,
        ready: Option<oneshot::Sender<Addresses>>,
    ) -> (Self, Stage) {
        let (stage, phase) = watch::channel(Phase::Topology);
        let probes = parts
            .iter()
            .map(|part| (part.role, part.probe.clone()))
            .collect();
        (
            Self {
                probes,
                phase,
                readiness,
                health,
                addresses,
                ready,
                gauge: metric::READY.gauge(),
            },
            Stage(stage),
        )
    }

    /// Watches until `stop` is cancelled.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut announced = false;
        loop {
            let waits_for = self.ask().await;
            let ready = waits_for.is_empty();
            self.tell(Readiness { ready, waits_for }).await;
            if ready && !announced {
                announced = true;
                self.announce();
            }
            let interval = if announced {
                INTERVAL
            } else {
                INTERVAL_AT_START
            };
            tokio::select! {
                () = stop.cancelled() => return,
                _ = self.phase.changed() => {}
                () = tokio::time::sleep(interval) => {}
            }
        }
    }

    async fn ask(&self) -> BTreeMap<String, String> {
        let phase = *self.phase.borrow();
        match phase {
            Phase::ShuttingDown => BTreeMap::from([("shutdown".into(), "is under way".into())]),
            Phase::Topology => BTreeMap::from([(
                "topology".into(),
                "nats-server has not confirmed the streams yet".into(),
            )]),
            Phase::Running => {
                let asked = self.probes.iter().map(async |(role, probe)| {
                    let answer = timeout(PROBE_LIMIT, probe()).await;
                    let answer = answer.unwrap_or_else(|_| Err("its probe does not answer".into()));
                    answer.err().map(|wait| (role.name().to_owned(), wait))
                });
                join_all(asked).await.into_iter().flatten().collect()
            }
        }
    }

    async fn tell(&self, now: Readiness) {
        self.gauge.record(u64::from(now.ready), &[]);
        let before = self.readiness.borrow().clone();
        if before == now {
            return;
        }
        let shutting_down = *self.phase.borrow() == Phase::ShuttingDown;
        if before.ready && !shutting_down {
            warn!(waits_for = ?now.waits_for, "not ready any more");
        } else if now.ready {
            info!("ready");
        }
        for (role, _) in &self.probes {
            let waits = shutting_down || now.waits_for.contains_key(role.name());
            for service in role.grpc_services() {
                self.health
                    .set_service_status(service, status(!waits))
                    .await;
            }
        }
        self.health.set_service_status("", status(now.ready)).await;
        self.readiness.send_replace(now);
    }

    fn announce(&mut self) {
        // Whoever closed our stdout does not want the line.
        let _ = writeln!(std::io::stdout().lock(), "{}", self.addresses.ready_line());
        if let Some(ready) = self.ready.take() {
            // Nobody may be listening any more.
            let _ = ready.send(self.addresses.clone());
        }
    }
}

fn status(serving: bool) -> ServingStatus {
    if serving {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}

//! The role's face.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, EndpointDirectory, ErasureDirectory, RecordPublisher};
use domain::egress::Policy;
use domain::retry::Schedule;
use domain::vault::Vault;
use domain::{Partitions, breaker};
use http::HeaderValue;
use telemetry::trace::AttemptsInTrace;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::attempt::Sender;
use crate::conductor::Conductor;
use crate::deliver::Deliver;
use crate::http::{Client, NoRoots, Settings, Way};
use crate::item::{Ends, end_messages};
use crate::lanes::{self, Lanes};
use crate::metrics::{Gauges, Metrics};
use crate::ownership::Ownership;
use crate::secrets::Keyring;
use crate::{partition, withdraw};

/// For idle connections to close and lookups to end, after everything is done.
const CLOSING: Duration = Duration::from_millis(500);

/// How deliveries are sent.
#[derive(Debug, Clone)]
pub struct Config {
    pub partitions: Partitions,
    /// The delays between attempts.
    pub schedule: Schedule,
    /// For one attempt, from the look-up to the end of the response body.
    pub timeout: Duration,
    /// Where attempts may go.
    pub egress: Policy,
    /// What lies on the way there.
    pub way: Way,
    /// The header's value, of visible ASCII.
    pub user_agent: &'static str,
    /// POSTs in flight at once.
    pub concurrency: usize,
    /// When an endpoint that keeps failing is paused.
    pub breaker: breaker::Settings,
    /// For how long a partition stays with a dispatcher that has fallen silent;
    /// whole seconds. In a cluster of nats-servers it must outlive an election.
    pub lease_duration: Duration,
    /// No other dispatcher can be at work: leases that are there are those of a
    /// process that is gone, and are void.
    pub is_alone: bool,
    /// Which attempts belong to their event's trace.
    pub attempts_in_trace: AttemptsInTrace,
}

/// What the dispatcher works with.
#[derive(Debug, Clone)]
pub struct Deps {
    pub broker: Broker,
    pub endpoints: EndpointDirectory,
    pub erasures: ErasureDirectory,
    /// Opens the endpoints' secrets.
    pub vault: Arc<Vault>,
}

/// Why a dispatcher cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// TLS has nothing to trust.
    #[error(transparent)]
    NoRootCertificates(#[from] NoRoots),
    /// A defect: one of its tasks panicked.
    #[error("a task of the dispatcher failed")]
    Task(#[source] tokio::task::JoinError),
}

/// A dispatcher.
#[derive(Debug)]
pub struct Role {
    config: Config,
    deps: Deps,
    client: Client,
    /// The client's connections and lookups.
    connections: TaskTracker,
    has_begun: watch::Sender<bool>,
}

/// Tells whether deliveries are worked on.
#[derive(Debug, Clone)]
pub struct Probe {
    broker: Broker,
    endpoints: EndpointDirectory,
    has_begun: watch::Sender<bool>,
}

impl Probe {
    /// # Errors
    ///
    /// What the dispatcher waits for.
    pub async fn check(&self) -> Result<(), String> {
        if !self.broker.is_connected() {
            return Err("jetstream is not connected".to_owned());
        }
        if !self.endpoints.is_current() {
            return Err("the endpoint directory is being read".to_owned());
        }
        if !*self.has_begun.borrow() {
            return Err("its share of the partitions is being settled".to_owned());
        }
        Ok(())
    }
}

impl Role {
    /// A dispatcher that does nothing yet.
    ///
    /// # Errors
    ///
    /// [`Error::NoRootCertificates`].
    pub fn new(config: Config, deps: Deps) -> Result<Self, Error> {
        let connections = TaskTracker::new();
        let client = Client::new(Settings {
            policy: config.egress.clone(),
            way: config.way.clone(),
            timeout: config.timeout,
            tracker: connections.clone(),
        });
        Ok(Self {
            client: client?,
            config,
            deps,
            connections,
            has_begun: watch::Sender::new(false),
        })
    }

    /// Tells whether deliveries are worked on.
    #[must_use]
    pub fn probe(&self) -> Probe {
        Probe {
            broker: self.deps.broker.clone(),
            endpoints: self.deps.endpoints.clone(),
            has_begun: self.has_begun.clone(),
        }
    }

    /// Sends until `shutdown` is cancelled; then takes nothing new, finishes
    /// what is in flight, and returns when its records are stored and its
    /// partitions are free for others.
    ///
    /// # Errors
    ///
    /// [`Error::Task`]. Outages end nothing.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Self {
            config,
            deps,
            client,
            connections,
            has_begun,
        } = self;
        let Deps {
            broker,
            endpoints,
            erasures,
            vault,
        } = deps;
        // Cancelled with `shutdown`, or when this ends for another reason.
        let shutdown = shutdown.child_token();
        let _ends_background = shutdown.clone().drop_guard();
        let metrics = Metrics::new();
        let publishing = TaskTracker::new();
        let deliver = Arc::new(Deliver {
            records: RecordPublisher::start(&broker, &publishing),
            broker: broker.clone(),
            erasures: erasures.clone(),
            keyring: Keyring::new(vault),
            sender: Sender {
                client,
                schedule: config.schedule,
                user_agent: HeaderValue::from_static(config.user_agent),
            },
            metrics: metrics.clone(),
            in_trace: config.attempts_in_trace,
        });
        let settings = lanes::Settings {
            concurrency: config.concurrency,
            breaker: config.breaker,
        };
        let directory = endpoints.clone();
        let lookup = Box::new(move |id| directory.get(id));
        let lanes = Lanes::new(settings, config.partitions, lookup);
        let attempts = TaskTracker::new();
        let (conductor, handle) =
            Conductor::new(lanes, deliver, &endpoints, attempts.clone(), Gauges::new());
        let (ends, ending) = Ends::new();
        let name = Uuid::new_v4().simple().to_string();
        let ownership = Ownership {
            leases: broker.leases(name.clone(), config.lease_duration),
            name,
            duration: config.lease_duration,
            is_alone: config.is_alone,
            partitions: config.partitions,
            shared: partition::Shared {
                broker: broker.clone(),
                endpoints: endpoints.clone(),
                erasures,
                conductor: handle,
                ends,
                room: Arc::new(Semaphore::new(partition::ROOM)),
            },
            has_begun,
            metrics,
        };

        let mut background = JoinSet::new();
        background.spawn(withdraw::run(broker.clone(), endpoints, shutdown.clone()));
        let mut conducting = JoinSet::new();
        conducting.spawn(conductor.run());
        let mut acking = JoinSet::new();
        acking.spawn(end_messages(ending));
        tokio::select! {
            () = ownership.run(shutdown) => {}
            // It never ends by itself.
            ended = join(&mut conducting) => ended?,
        }
        attempts.close();
        attempts.wait().await;
        // The last holders of publishers, connections and messages end with it.
        conducting.shutdown().await;
        join(&mut acking).await?;
        publishing.close();
        publishing.wait().await;
        broker.flush().await;
        join(&mut background).await?;
        connections.close();
        // What does not end by then is the other side's and holds nothing.
        let _ = tokio::time::timeout(CLOSING, connections.wait()).await;
        Ok(())
    }
}

/// Waits for the end of every task.
async fn join(tasks: &mut JoinSet<()>) -> Result<(), Error> {
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(Error::Task)?;
    }
    Ok(())
}

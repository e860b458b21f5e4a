//! The role's face.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::{Broker, EndpointDirectory, RecordPublisher};
use domain::Partitions;
use domain::egress::Policy;
use domain::retry::Schedule;
use domain::vault::MasterKey;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::attempt::Sender;
use crate::deliver::Dispatch;
use crate::follow::Following;
use crate::http::{Client, Settings};
use crate::metrics::Metrics;
use crate::secrets::Keyring;
use crate::settled::SettledSet;
use crate::slots::Slots;
use crate::{intake, withdraw};

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
    /// The header's value.
    pub user_agent: String,
    /// POSTs in flight at once.
    pub concurrency: usize,
}

/// What the dispatcher works with.
#[derive(Debug, Clone)]
pub struct Deps {
    pub broker: Broker,
    pub endpoints: EndpointDirectory,
    /// Opens the endpoints' secrets.
    pub master_key: Arc<MasterKey>,
}

/// Why a dispatcher cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// TLS has nothing to trust.
    #[error("no usable root certificates: install the system's CA bundle, e.g. ca-certificates")]
    NoRootCertificates,
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
    has_begun: Arc<AtomicBool>,
}

/// Tells whether deliveries are worked on.
#[derive(Debug, Clone)]
pub struct Probe {
    broker: Broker,
    endpoints: EndpointDirectory,
    has_begun: Arc<AtomicBool>,
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
        if !self.has_begun.load(Ordering::Relaxed) {
            return Err("the records of the last minutes are being read".to_owned());
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
            policy: Arc::new(config.egress.clone()),
            timeout: config.timeout,
            tracker: connections.clone(),
        });
        Ok(Self {
            client: client.map_err(|_| Error::NoRootCertificates)?,
            config,
            deps,
            connections,
            has_begun: Arc::default(),
        })
    }

    /// Tells whether deliveries are worked on.
    #[must_use]
    pub fn probe(&self) -> Probe {
        Probe {
            broker: self.deps.broker.clone(),
            endpoints: self.deps.endpoints.clone(),
            has_begun: Arc::clone(&self.has_begun),
        }
    }

    /// Sends until `shutdown` is cancelled; then takes nothing new, finishes
    /// what is in flight, and returns when its records are stored.
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
            master_key,
        } = deps;
        // Cancelled with `shutdown`, or when this ends for another reason.
        let shutdown = shutdown.child_token();
        let _ends_background = shutdown.clone().drop_guard();
        let publishing = TaskTracker::new();
        let settled = SettledSet::default();
        let following = Arc::new(Following::new(broker.clone(), settled.clone()));
        let dispatch = Arc::new(Dispatch {
            records: RecordPublisher::start(&broker, &publishing),
            broker: broker.clone(),
            endpoints: endpoints.clone(),
            settled,
            slots: Slots::new(config.concurrency),
            keyring: Keyring::new(master_key),
            sender: Sender {
                client,
                schedule: config.schedule,
                user_agent: config.user_agent,
            },
            metrics: Metrics::new(),
            shutdown: shutdown.clone(),
        });

        let mut background = JoinSet::new();
        background.spawn(withdraw::run(
            broker.clone(),
            endpoints.clone(),
            shutdown.clone(),
        ));
        background.spawn({
            let (following, shutdown) = (Arc::clone(&following), shutdown.clone());
            async move { following.run(shutdown).await }
        });
        let mut intakes = JoinSet::new();
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = begin(&endpoints, &following) => {
                for partition in config.partitions.iter() {
                    let (dispatch, following) = (Arc::clone(&dispatch), Arc::clone(&following));
                    intakes.spawn(intake::run(dispatch, following, partition));
                }
                has_begun.store(true, Ordering::Relaxed);
                info!(partitions = config.partitions.count(), "the dispatcher takes deliveries");
            }
        }

        join(&mut intakes).await?;
        // The last clones: publishers and connections end with it.
        drop(dispatch);
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

/// Waits until this process knows what the others know.
async fn begin(endpoints: &EndpointDirectory, following: &Following) {
    endpoints.current().await;
    following.catch_up().await;
}

/// Waits for the end of every task.
async fn join(tasks: &mut JoinSet<()>) -> Result<(), Error> {
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(Error::Task)?;
    }
    Ok(())
}

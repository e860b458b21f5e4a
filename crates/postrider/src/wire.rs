//! The roles of a process, put together, run and drained.
//!
//! - [`doors`]: the listeners; [`accept`]: their connections
//! - [`foundation`]: broker, directories, database
//! - [`parts`]: a role and what it needs, for each role
//! - [`servers`], [`http`]: gRPC, HTTP, admin
//! - [`slow`]: who does not take the answer
//! - [`gate`]: their answer until the streams are there
//! - [`requests`]: the spans and durations of what they answer
//! - [`readiness`]: what each part waits for

mod accept;
pub(crate) mod doors;
mod foundation;
mod gate;
mod http;
mod parts;
mod peer;
mod readiness;
mod requests;
mod servers;
mod slow;
mod unread;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use broker::topology::Differing;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use accept::Speaks;
pub(crate) use doors::Addresses;
use doors::Doors;
use foundation::Foundation;
use gate::Gate;
use parts::{Part, Parts};
use readiness::{Stage, Watcher};
use servers::Servers;

use crate::admin;
use crate::config::{self, Config};
use crate::logs::Logs;
use crate::otlp::Sending;
use crate::roles::Role;
use crate::streams;
use crate::tls::{Certificates, Current};

/// The end of the grace period that is left for what comes after the drain.
const AFTER_DRAIN: Duration = Duration::from_secs(3);
const ADMIN_LIMIT: Duration = Duration::from_millis(500);
/// Probes and scrapes at once.
const ADMIN_CONNECTIONS: usize = 256;

/// What is to run in this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process<'a> {
    /// For logs, metrics and the broker's list of connections.
    pub(crate) name: &'a str,
    pub(crate) roles: &'a [Role],
    pub(crate) config: &'a Config,
    /// Whether no other process works on the same data. Then the database is
    /// brought to this version's schema first, which `postrider migrate` does
    /// otherwise, streams are changed to what is set, and what a predecessor held
    /// is free at once.
    pub(crate) is_alone: bool,
    pub(crate) logs: &'a Logs,
}

/// Runs the roles until `shutdown` is cancelled, then drains.
///
/// # Errors
///
/// When a part cannot be started as configured, or ends before it was asked to.
pub(crate) async fn run(
    process: Process<'_>,
    doors: Doors,
    shutdown: CancellationToken,
    ready: Option<oneshot::Sender<Addresses>>,
) -> Result<()> {
    let sending = Sending::start(process.name)?;
    let (readiness, readiness_seen) = watch::channel(admin::Readiness::default());
    let addresses = doors.addresses().clone();
    let stop_admin = CancellationToken::new();
    let mut admin_server = JoinSet::new();
    let health = HealthReporter::new();
    let admin_incoming = accept::accept(
        vec![(doors.admin, accept::plain())],
        Speaks::Http,
        ADMIN_CONNECTIONS,
        &stop_admin,
        &mut admin_server,
    );
    admin_server.spawn(http::serve(
        admin_incoming,
        admin::router(
            readiness_seen,
            sending.metrics.clone(),
            process.logs.clone(),
            health.clone(),
        ),
        Arc::default(),
        stop_admin.clone(),
    ));
    let certificates = Certificates::read(process.config.tls.clone())
        .map_err(|error| config::Error::Refused(format!("TLS: {error}")))?;
    let foundation = Foundation::open(&process, certificates).await?;
    let Parts {
        parts,
        routes,
        http,
    } = parts::assemble(&process, &foundation, &addresses)?;
    let certificates = &foundation.certificates;
    let grpc = doors.grpc.map(|listener| {
        let mut listeners = vec![secured(listener, certificates, |now| now.grpc.clone())];
        listeners.extend(doors.inner.map(|inner| (inner, accept::plain())));
        (listeners, routes)
    });
    let http = doors.http.zip(http).map(|(listener, router)| {
        let secured = secured(listener, certificates, |now| now.http.clone());
        (vec![secured], router)
    });
    let (open, is_open) = watch::channel(false);
    let gate = Gate::new(is_open);
    let most = process.config.max_connections;
    let proxies = Arc::from(process.config.trusted_proxies.clone());
    let limits = servers::Limits { most, proxies };
    let servers = Servers::start(process.roles, grpc, http, &health, &gate, limits)?;
    let (watcher, stage) = Watcher::new(&parts, readiness, health, addresses, ready);
    let line = Line {
        process,
        foundation,
        stage,
        open,
        servers,
    };
    let ended = line.run(parts, watcher, &shutdown).await;
    stop_admin.cancel();
    // A scrape under way at the very end may be cut off.
    let _ = tokio::time::timeout(ADMIN_LIMIT, admin_server.join_next()).await;
    sending.stop().await;
    ended
}

/// A listener, and the certificate that it shows from time to time.
fn secured(
    listener: TcpListener,
    certificates: &Certificates,
    pick: fn(&Current) -> Option<Arc<ServerConfig>>,
) -> (TcpListener, accept::Tls) {
    (listener, accept::secure(certificates.subscribe(), pick))
}

/// Everything that is started, until it is stopped.
#[derive(Debug)]
struct Line<'a> {
    process: Process<'a>,
    foundation: Foundation,
    stage: Stage,
    /// Whether public calls may pass.
    open: watch::Sender<bool>,
    servers: Servers,
}

impl Line<'_> {
    async fn run(
        mut self,
        parts: Vec<Part>,
        watcher: Watcher,
        shutdown: &CancellationToken,
    ) -> Result<()> {
        let stop_watching = CancellationToken::new();
        let mut watching = JoinSet::new();
        let mut roles = JoinSet::new();
        watching.spawn(watcher.run(stop_watching.clone()));
        let differing = match self.process.is_alone {
            true => Differing::Changed,
            false => Differing::Left,
        };
        let ended = tokio::select! {
            biased;
            () = shutdown.cancelled() => Ok(()),
            started = streams::ensure(&self.foundation.broker, self.process.config, differing) => {
                started.map_err(Into::into)
            }
            ended = self.servers.ended_early() => ended,
        };
        let ended = match ended {
            Ok(()) if !shutdown.is_cancelled() => {
                self.stage.running();
                self.open.send_replace(true);
                self.foundation.watch(&mut watching, &stop_watching);
                for part in parts {
                    roles.spawn(part.run(shutdown.clone()));
                }
                tokio::select! {
                    // First: a role may have ended by the time this looks.
                    biased;
                    () = shutdown.cancelled() => Ok(()),
                    ended = ended_early(&mut roles) => ended,
                    ended = self.servers.ended_early() => ended,
                    Some(Err(panic)) = watching.join_next() => Err(anyhow!("a watch: {panic}")),
                }
            }
            other => other,
        };
        if let Err(error) = &ended {
            tracing::error!(
                error = format!("{error:#}"),
                "a part has failed: stopping all"
            );
        }
        self.drain(shutdown, roles, (watching, stop_watching)).await;
        ended
    }

    /// Stops in the order in which work flows: doors first, watches last.
    async fn drain(
        mut self,
        shutdown: &CancellationToken,
        mut roles: JoinSet<Result<()>>,
        (mut watching, stop_watching): (JoinSet<()>, CancellationToken),
    ) {
        let grace = self.process.config.shutdown_grace;
        let deadline = Instant::now() + grace - AFTER_DRAIN.min(grace / 4);
        self.stage.shutting_down();
        shutdown.cancel();
        let drained = timeout_at(deadline, async {
            self.servers.stop_http().await;
            self.servers.stop_grpc().await;
            while let Some(ended) = roles.join_next().await {
                if let Err(error) = flatten(ended) {
                    warn!(error = format!("{error:#}"), "a role did not end well");
                }
            }
            stop_watching.cancel();
            while watching.join_next().await.is_some() {}
            self.foundation.flush().await;
        });
        match drained.await {
            Ok(()) => info!("drained: nothing is under way any more"),
            Err(_) => warn!("the grace period is over: what is under way is cut off"),
        }
    }
}

/// Waits for a role to end, which none does by itself.
async fn ended_early(roles: &mut JoinSet<Result<()>>) -> Result<()> {
    match roles.join_next().await {
        Some(ended) => {
            flatten(ended)?;
            Err(anyhow!("a role ended though nothing asked it to"))
        }
        // No role: the process has nothing to wait for but its end.
        None => std::future::pending().await,
    }
}

fn flatten(ended: Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    ended.context("a role panicked")?
}

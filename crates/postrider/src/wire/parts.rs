//! Each role with what it needs, behind one face.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use domain::Partitions;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use resolver::Resolver;
use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::RoutesBuilder;
use tonic::transport::Channel;

use super::foundation::Foundation;
use super::{Addresses, Process};
use crate::config::{Config, Error, Setting};
use crate::roles::Role;
use crate::tls;

/// Answers what a part waits for.
pub(super) type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

type Work = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, Result<()>> + Send>;

/// A role that is ready to run.
pub(super) struct Part {
    pub(super) role: Role,
    pub(super) probe: Probe,
    work: Work,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Part {
    fn new<P, E, W>(
        role: Role,
        probe: P,
        work: impl FnOnce(CancellationToken) -> W + Send + 'static,
    ) -> Self
    where
        P: Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
        E: std::error::Error + Send + Sync + 'static,
        W: Future<Output = Result<(), E>> + Send + 'static,
    {
        let work = move |shutdown| {
            let run = work(shutdown);
            async move { run.await.with_context(|| format!("{} failed", role.name())) }.boxed()
        };
        Self {
            role,
            probe: Arc::new(probe),
            work: Box::new(work),
        }
    }

    /// Runs the role until `shutdown` is cancelled and it has drained.
    pub(super) fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, Result<()>> {
        (self.work)(shutdown)
    }
}

/// The roles of a process and what they answer.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) parts: Vec<Part>,
    pub(super) routes: RoutesBuilder,
    pub(super) http: Option<axum::Router>,
}

/// A part of a role that has the common face.
macro_rules! part {
    ($role:expr, $made:expr) => {{
        let made = $made;
        let probe = made.probe();
        let probe = move || {
            let probe = probe.clone();
            async move { probe.check().await }.boxed()
        };
        Part::new($role, probe, move |shutdown| made.run(shutdown))
    }};
}

/// Makes every role of the process.
///
/// # Errors
///
/// When a role refuses its configuration.
pub(super) fn assemble(
    process: &Process<'_>,
    foundation: &Foundation,
    addresses: &Addresses,
) -> Result<Parts> {
    let mut parts = Parts {
        parts: Vec::new(),
        routes: RoutesBuilder::default(),
        http: None,
    };
    for role in process.roles {
        let part = match role {
            Role::Ingest => parts.ingest(process.config, foundation)?,
            Role::Fanout => fanout(process.config, foundation)?,
            Role::Dispatcher => dispatcher(process, foundation)?,
            Role::History => parts.history(process.config, foundation)?,
            Role::Control => parts.control(process.config, foundation, addresses)?,
        };
        parts.parts.push(part);
    }
    Ok(parts)
}

impl Parts {
    fn ingest(&mut self, config: &Config, foundation: &Foundation) -> Result<Part> {
        let deps = ingest::Deps {
            broker: foundation.broker.clone(),
            keys: foundation.keys.clone(),
            event_types: foundation.event_types.clone(),
        };
        let config = ingest::Config {
            rates: ingest::Rates {
                per_key: config.limits.events_per_key,
                per_account: config.limits.events_per_account,
            },
            ..ingest::Config::default()
        };
        let role = ingest::Role::new(config, deps)?;
        role.register_grpc(&mut self.routes);
        Ok(part!(Role::Ingest, role))
    }

    fn history(&mut self, config: &Config, foundation: &Foundation) -> Result<Part> {
        let deps = history::Deps {
            broker: foundation.broker.clone(),
            endpoints: foundation.endpoints.clone(),
            keys: foundation.keys.clone(),
            event_types: foundation.event_types.clone(),
            store: store::History::new(foundation.pool(Role::History)?.clone()),
        };
        let config = history::Config {
            partitions: Partitions::new(config.partitions),
            disable_after: config.disable_after,
            retention: history::Retention {
                events: config.event_retention,
                records: config.record_retention,
            },
            sweep_after: config.sweep_after,
            delivery_timeout: config.delivery_timeout,
        };
        let role = history::Role::new(config, deps)?;
        role.register_grpc(&mut self.routes);
        Ok(part!(Role::History, role))
    }

    fn control(
        &mut self,
        config: &Config,
        foundation: &Foundation,
        addresses: &Addresses,
    ) -> Result<Part> {
        let deps = control::Deps {
            broker: foundation.broker.clone(),
            endpoints: foundation.endpoints.clone(),
            keys: foundation.keys.clone(),
            event_types: foundation.event_types.clone(),
            registry: store::Registry::new(foundation.pool(Role::Control)?.clone()),
            vault: foundation.vault(Role::Control)?,
            // A lookup that goes on at the end of the process is cut off with it.
            resolver: Resolver::new(TaskTracker::new(), &config.way.name_servers),
            ingest: channel(config.ingest_url.as_deref(), Setting::IngestUrl, foundation)?,
            history: channel(
                config.history_url.as_deref(),
                Setting::HistoryUrl,
                foundation,
            )?,
        };
        let http_url = addresses.http.clone().unwrap_or_default();
        let config = control::Config {
            limits: config.limits,
            verify_endpoints: config.verify_endpoints,
            egress: config.egress.clone(),
            admin_key: config
                .admin_key
                .as_ref()
                .map(|key| key.expose_secret().to_owned()),
            public_url: config.public_url.clone().unwrap_or(http_url),
            branding: config.branding.clone(),
        };
        let role = control::Role::new(config, deps)?;
        role.register_grpc(&mut self.routes);
        self.http = Some(role.http());
        Ok(part!(Role::Control, role))
    }
}

/// A way to another role.
fn channel(url: Option<&str>, setting: Setting, foundation: &Foundation) -> Result<Channel> {
    let url = url.ok_or(Error::Missing {
        setting,
        what: Role::Control.name(),
    })?;
    let opened = tls::channel::open(url, foundation.certificates.subscribe());
    Ok(opened.map_err(|error| Error::Refused(format!("{setting}: {error}")))?)
}

fn fanout(config: &Config, foundation: &Foundation) -> Result<Part> {
    let deps = fanout::Deps {
        broker: foundation.broker.clone(),
        endpoints: foundation.endpoints.clone(),
    };
    let config = fanout::Config {
        partitions: Partitions::new(config.partitions),
    };
    Ok(part!(Role::Fanout, fanout::Role::new(config, deps)?))
}

fn dispatcher(process: &Process<'_>, foundation: &Foundation) -> Result<Part> {
    let config = process.config;
    let deps = dispatcher::Deps {
        broker: foundation.broker.clone(),
        endpoints: foundation.endpoints.clone(),
        erasures: foundation.erasures.clone(),
        vault: foundation.vault(Role::Dispatcher)?,
    };
    let config = dispatcher::Config {
        partitions: Partitions::new(config.partitions),
        schedule: config.retry_schedule.clone(),
        timeout: config.delivery_timeout,
        egress: config.egress.clone(),
        way: config.way.clone(),
        user_agent: concat!("Postrider/", env!("CARGO_PKG_VERSION")),
        concurrency: config.delivery_concurrency,
        breaker: config.breaker,
        lease_duration: config.lease_duration,
        is_alone: process.is_alone,
        attempts_in_trace: config.trace_attempts,
    };
    Ok(part!(
        Role::Dispatcher,
        dispatcher::Role::new(config, deps)?
    ))
}

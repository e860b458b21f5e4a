//! Holds the endpoints, keys and event types: REST and `EndpointService`
//! outwards, SQL beneath, and the directories that every other role follows.
//!
//! `core` says what may be done and by whom; `grpc`, `rest` and `dashboard` are
//! its outsides.

mod core;
mod dashboard;
mod grpc;
mod rest;

use std::sync::Arc;

use broker::{Broker, EndpointDirectory, EventTypeDirectory, KeyDirectory};
use domain::egress::Policy;
use domain::vault::Vault;
use proto::v1::audit_service_server::AuditServiceServer;
use proto::v1::endpoint_service_server::EndpointServiceServer;
use resolver::Resolver;
use store::Registry;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::transport::Channel;

use crate::core::Control;
pub use dashboard::{Accent, Branding, Logo, ParseAccentError};

/// What an account may have and do; `None`: as much as it likes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    pub endpoints: Option<u32>,
    /// What ingest is told too; here to be shown.
    pub events_per_account: Option<u32>,
    /// As [`Limits::events_per_account`].
    pub events_per_key: Option<u32>,
}

/// How control works.
#[derive(Clone)]
pub struct Config {
    pub limits: Limits,
    /// Whether a URL must echo a challenge before it gets events.
    pub verify_endpoints: bool,
    /// Which URLs may be registered.
    pub egress: Policy,
    /// The operator's own admin key for all accounts.
    pub admin_key: Option<String>,
    /// Where people reach this service.
    pub public_url: String,
    /// How the dashboard presents itself.
    pub branding: Branding,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("egress", &self.egress)
            .field("public_url", &self.public_url)
            .finish_non_exhaustive()
    }
}

/// What control needs.
#[derive(Debug, Clone)]
pub struct Deps {
    pub broker: Broker,
    pub endpoints: EndpointDirectory,
    pub keys: KeyDirectory,
    pub event_types: EventTypeDirectory,
    pub registry: Registry,
    pub vault: Arc<Vault>,
    /// For the hosts of URLs that are registered.
    pub resolver: Resolver,
    /// The way to ingest's gRPC.
    pub ingest: Channel,
    /// The way to history's gRPC.
    pub history: Channel,
}

/// A configuration that control cannot work with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The admin key cannot be used.
    #[error(
        "the admin key needs 16 to 256 printable ASCII characters without spaces; one that begins with pr_ must be a whole Postrider key"
    )]
    AdminKey,
}

/// The control role.
#[derive(Debug)]
pub struct Role {
    control: Control,
    branding: Branding,
}

impl Role {
    /// Makes the role; nothing is connected or started.
    ///
    /// # Errors
    ///
    /// When an address or the admin key cannot be used.
    pub fn new(config: Config, deps: Deps) -> Result<Self, Error> {
        Ok(Self {
            branding: config.branding.clone(),
            control: Control::new(config, deps)?,
        })
    }

    /// Adds `EndpointService` and `AuditService`.
    pub fn register_grpc(&self, routes: &mut RoutesBuilder) {
        let service = grpc::Service(self.control.clone());
        routes.add_service(AuditServiceServer::new(service.clone()));
        routes.add_service(EndpointServiceServer::new(service));
    }

    /// REST with its description, and the dashboard.
    pub fn http(&self) -> axum::Router {
        let dashboard = dashboard::router(self.control.clone(), self.branding.clone());
        rest::router(self.control.clone()).merge(dashboard)
    }

    /// What tells whether the role can work.
    #[must_use]
    pub fn probe(&self) -> Probe {
        Probe(self.control.clone())
    }

    /// Runs until `shutdown` is cancelled, then finishes what is under way.
    ///
    /// # Errors
    ///
    /// None today: outages are waited out.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        self.control.run(&shutdown).await;
        Ok(())
    }
}

/// Tells whether control can work.
#[derive(Debug, Clone)]
pub struct Probe(Control);

impl Probe {
    /// # Errors
    ///
    /// What it waits for.
    pub async fn check(&self) -> Result<(), String> {
        self.0.check().await
    }
}

//! The only door for events: checks them, builds the body, and stores them in
//! JetStream before it answers.

mod accept;
mod batch;
mod limits;
mod origin;
mod own_events;
mod service;

use std::sync::Arc;

use broker::{Broker, EventTypeDirectory, KeyDirectory};
use proto::pipeline::own_event_service_server::OwnEventServiceServer;
use proto::v1::ingest_service_server::IngestServiceServer;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;

use crate::accept::Acceptor;
use crate::own_events::OwnEvents;
use crate::service::Service;

pub use crate::limits::Rates;

/// A batch may have this many bytes, with what protobuf adds.
const MAX_MESSAGE_BYTES: usize = 9 * 1_024 * 1_024;

/// How ingest works.
#[derive(Debug, Clone)]
pub struct Config {
    /// How fast callers may publish here.
    pub rates: Rates,
    /// Events of one stream or batch in work at once.
    pub stream_window: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rates: Rates::default(),
            stream_window: 256,
        }
    }
}

/// What ingest needs.
#[derive(Debug, Clone)]
pub struct Deps {
    pub broker: Broker,
    pub keys: KeyDirectory,
    pub event_types: EventTypeDirectory,
}

/// Nothing that only this role can meet: outages are answered, not met.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

/// The ingest role.
#[derive(Debug)]
pub struct Role {
    config: Config,
    deps: Deps,
    acceptor: Arc<Acceptor>,
    /// Ends the streams, which no caller would end by itself.
    stop: CancellationToken,
}

impl Role {
    /// Makes the role; nothing is connected or started.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn new(config: Config, deps: Deps) -> Result<Self, Error> {
        let acceptor = Arc::new(Acceptor::new(deps.clone(), config.rates));
        Ok(Self {
            config,
            deps,
            acceptor,
            stop: CancellationToken::new(),
        })
    }

    /// Adds `IngestService` and, for control, `OwnEventService`.
    pub fn register_grpc(&self, routes: &mut RoutesBuilder) {
        let acceptor = Arc::clone(&self.acceptor);
        let service = Service::new(acceptor, self.config.stream_window, self.stop.clone());
        let service =
            IngestServiceServer::new(service).max_decoding_message_size(MAX_MESSAGE_BYTES);
        routes.add_service(service);
        routes.add_service(OwnEventServiceServer::new(OwnEvents(Arc::clone(
            &self.acceptor,
        ))));
    }

    /// What tells whether the role can work.
    #[must_use]
    pub fn probe(&self) -> Probe {
        Probe(self.deps.clone())
    }

    /// Runs until `shutdown` is cancelled. Calls under way are finished by the
    /// server that carries them; streams take nothing more.
    ///
    /// # Errors
    ///
    /// None today.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        shutdown.cancelled().await;
        self.stop.cancel();
        Ok(())
    }
}

/// Tells whether ingest can work.
#[derive(Debug, Clone)]
pub struct Probe(Deps);

impl Probe {
    /// # Errors
    ///
    /// What it waits for.
    pub async fn check(&self) -> Result<(), String> {
        if !self.0.broker.is_connected() {
            Err("there is no connection to nats-server".to_owned())
        } else if !self.0.keys.is_current() {
            Err("the keys are not loaded yet".to_owned())
        } else if !self.0.event_types.is_current() {
            Err("the event types are not loaded yet".to_owned())
        } else {
            Ok(())
        }
    }
}

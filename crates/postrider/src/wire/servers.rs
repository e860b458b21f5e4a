//! The listeners' servers: gRPC, REST, admin.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use futures::StreamExt as _;
use ipnet::IpNet;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tracing::{debug, warn};

use super::accept::{Incoming, Speaks, Tls, accept};
use super::gate::Gate;
use super::unread::explained;
use super::{peer, requests};
use crate::roles::Role;

/// Finds peers that vanished without a word.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls of one connection at once; more wait for the earlier ones.
const CONCURRENT_STREAMS: u32 = 1_024;
/// All headers of a call; more is refused.
const HEADERS_BYTES: u32 = 16 << 10;
/// What one call may send ahead of its reader; HTTP/2's own default.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
/// h2 closes a connection once the small frames that wait on it would cost more
/// than half of this window beyond their bytes (256 bytes each, less their
/// length; it has no other setting that can be reached from here). A stream's
/// window full of the smallest events, each in a frame of its own, costs 350 KB:
/// 45 such streams wait on one connection without harm, and it never holds more
/// than this.
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
/// Makes clients connect anew, so that a balancer can spread them.
const CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);

/// Streams that a client holds open (health watches) must not use up the grace
/// period; calls have shorter limits of their own.
const DRAIN_LIMIT: Duration = Duration::from_secs(8);

/// How many may come in at once, and whose word is taken for where they come
/// from.
#[derive(Debug)]
pub(super) struct Limits {
    /// Connections of each server.
    pub(super) most: usize,
    pub(super) proxies: Arc<[IpNet]>,
}

/// Where connections come in, and how they are secured.
pub(super) type Listeners = Vec<(TcpListener, Tls)>;

const HEALTH: &str = "grpc.health.v1.Health";

/// The public servers of a process.
#[derive(Debug)]
pub(super) struct Servers {
    http: Running,
    grpc: Running,
}

impl Servers {
    /// Starts answering. Until the roles run, calls end with `UNAVAILABLE`.
    ///
    /// # Errors
    ///
    /// When the reflection service cannot be made.
    pub(super) fn start(
        roles: &[Role],
        grpc: Option<(Listeners, RoutesBuilder)>,
        http: Option<(Listeners, axum::Router)>,
        health: &HealthReporter,
        gate: &Gate,
        limits: Limits,
    ) -> Result<Self> {
        let mut servers = Self {
            http: Running::new("HTTP"),
            grpc: Running::new("gRPC"),
        };
        if let Some((listeners, routes)) = grpc {
            let routes = with_common_services(routes, roles, health.clone())?;
            let routes = gate.clone().before_grpc(explained(routes));
            let routes = peer::around_grpc(requests::around_grpc(routes), &limits.proxies);
            let Running { stop, task, .. } = &mut servers.grpc;
            let incoming = accept(listeners, Speaks::Http2, limits.most, stop, task);
            task.spawn(serve_grpc(incoming, routes, stop.clone()));
        }
        if let Some((listeners, router)) = http {
            let router = requests::around_http(gate.clone().before_http(router));
            let Running { stop, task, .. } = &mut servers.http;
            let incoming = accept(listeners, Speaks::Http, limits.most, stop, task);
            let served = super::http::serve(incoming, router, limits.proxies, stop.clone());
            task.spawn(served);
        }
        Ok(servers)
    }

    /// Waits for a server to end, which none does by itself.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn ended_early(&mut self) -> Result<()> {
        tokio::select! {
            ended = self.http.ended_early() => ended,
            ended = self.grpc.ended_early() => ended,
        }
    }

    /// Takes no more HTTP requests and finishes those under way, at most for 8 s.
    pub(super) async fn stop_http(&mut self) {
        self.http.stop().await;
    }

    /// Takes no more gRPC calls and finishes those under way, at most for 8 s.
    pub(super) async fn stop_grpc(&mut self) {
        self.grpc.stop().await;
    }
}

/// One server, or none if no role needs it.
#[derive(Debug)]
struct Running {
    name: &'static str,
    stop: CancellationToken,
    task: JoinSet<Result<()>>,
}

impl Running {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            stop: CancellationToken::new(),
            task: JoinSet::new(),
        }
    }

    async fn ended_early(&mut self) -> Result<()> {
        let Some(ended) = self.task.join_next().await else {
            return std::future::pending().await;
        };
        ended.with_context(|| format!("the {} server panicked", self.name))??;
        Err(anyhow!(
            "the {} server ended though nothing asked it to",
            self.name
        ))
    }

    async fn stop(&mut self) {
        self.stop.cancel();
        if timeout(DRAIN_LIMIT, self.drained()).await.is_err() {
            warn!(server = self.name, "calls are still open: they are cut off");
            self.task.shutdown().await;
        }
    }

    async fn drained(&mut self) {
        while let Some(ended) = self.task.join_next().await {
            match ended {
                Ok(Ok(())) => debug!(server = self.name, "the server has ended"),
                Ok(Err(error)) => warn!(server = self.name, %error, "the server ended badly"),
                Err(error) => warn!(server = self.name, %error, "the server panicked"),
            }
        }
    }
}

/// Adds health and reflection to the roles' services.
fn with_common_services(
    mut routes: RoutesBuilder,
    roles: &[Role],
    health: HealthReporter,
) -> Result<Routes> {
    routes.add_service(HealthServer::new(HealthService::from_health_reporter(
        health,
    )));
    let services = || roles.iter().flat_map(|role| role.grpc_services()).copied();
    let configured = || {
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        services()
            .chain([HEALTH])
            .fold(builder, |builder, name| builder.with_service_name(name))
    };
    let v1 = configured().with_service_name("grpc.reflection.v1.ServerReflection");
    routes.add_service(
        v1.build_v1()
            .context("cannot make the reflection service")?,
    );
    // Older clients, buf curl among them until lately, ask for v1alpha first.
    let v1alpha = configured().with_service_name("grpc.reflection.v1alpha.ServerReflection");
    routes.add_service(
        v1alpha
            .build_v1alpha()
            .context("cannot make the reflection service")?,
    );
    Ok(routes.routes())
}

async fn serve_grpc(incoming: Incoming, routes: Routes, stop: CancellationToken) -> Result<()> {
    let incoming = ReceiverStream::new(incoming).map(Ok::<_, io::Error>);
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(CONCURRENT_STREAMS)
        .http2_max_header_list_size(HEADERS_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_connection_age(CONNECTION_AGE)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await
        .context("the gRPC server failed")
}

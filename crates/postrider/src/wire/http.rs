//! Serving HTTP, with limits on those who send slowly.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming as Sent;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected as _;
use tower::ServiceExt as _;
use tracing::debug;

use super::accept::{Incoming, Line};
use super::peer::caller;

/// A request's head must be there by then, counted from when it could have
/// begun: so an idle connection ends too.
const HEAD: Duration = Duration::from_secs(60);
/// All headers of a request; more is refused.
const HEAD_BYTES: usize = 64 << 10;
/// Finds peers that vanished without a word.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls of one HTTP/2 connection at once.
const STREAMS: u32 = 256;

/// Serves `router` until `stop` is cancelled and what is under way is answered.
/// The word of `proxies` is taken for who calls.
///
/// # Errors
///
/// None today: a connection that fails concerns its caller alone.
pub(super) async fn serve(
    mut incoming: Incoming,
    router: Router,
    proxies: Arc<[IpNet]>,
    stop: CancellationToken,
) -> Result<()> {
    let server = server();
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let connection = tokio::select! {
            Some(connection) = incoming.recv() => connection,
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        let asked = CancellationToken::new();
        let service = service(
            router.clone(),
            connection.connect_info(),
            Arc::clone(&proxies),
            asked.clone(),
        );
        let served = server.serve_connection_with_upgrades(TokioIo::new(connection), service);
        let served = graceful.watch(served.into_owned());
        connections.spawn(async move {
            let mut served = pin!(served);
            let ended = tokio::select! {
                ended = &mut served => ended,
                // From now on the protocol's own limits hold.
                () = asked.cancelled() => served.await,
                () = sleep(HEAD) => return debug!("a connection asked for nothing"),
            };
            if let Err(error) = ended {
                debug!(error, "a connection ended badly");
            }
        });
    }
    graceful.shutdown().await;
    Ok(())
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX));
    server
}

fn service(
    router: Router,
    line: Line,
    proxies: Arc<[IpNet]>,
    asked: CancellationToken,
) -> TowerToHyperService<
    impl tower::Service<
        Request<Sent>,
        Response = axum::response::Response,
        Error = std::convert::Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static,
> {
    TowerToHyperService::new(tower::service_fn(move |mut request: Request<Sent>| {
        asked.cancel();
        let caller = caller(line.peer, request.headers(), &proxies);
        request.extensions_mut().insert(caller);
        let (offers, version) = (line.offers.clone(), request.version());
        let answer = router.clone().oneshot(request.map(Body::new));
        async move { answer.await.map(|response| offers.watch(version, response)) }
    }))
}

//! gRPC to another role, in plain text or with TLS.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper::Uri;
use hyper::http::uri::Scheme;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;
use tonic::transport::{Channel, Endpoint};
use tower::Service;

use super::Current;

const CONNECT: Duration = Duration::from_secs(2);
/// Longer than ingest tries to store an event.
const CALL: Duration = Duration::from_secs(8);
const KEEPALIVE: Duration = Duration::from_secs(10);

type Stream = TokioIo<Either<TcpStream, tokio_rustls::client::TlsStream<TcpStream>>>;

/// A channel to `url`, which is connected when it is needed and again after
/// every loss.
///
/// # Errors
///
/// When it is no URL.
pub(crate) fn open(
    url: &str,
    certificates: watch::Receiver<Current>,
) -> Result<Channel, tonic::transport::Error> {
    let origin = Endpoint::from_shared(url.to_owned())?.uri().clone();
    let secure = origin.scheme() == Some(&Scheme::HTTPS);
    // The library refuses https addresses whose TLS it does not do itself.
    let plain = url.replacen("https:", "http:", 1);
    let endpoint = Endpoint::from_shared(plain)?
        .origin(origin)
        .connect_timeout(CONNECT)
        .timeout(CALL)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_while_idle(true);
    Ok(endpoint.connect_with_connector_lazy(Connector {
        certificates,
        secure,
    }))
}

/// Connects with the certificates that hold then.
#[derive(Debug, Clone)]
struct Connector {
    certificates: watch::Receiver<Current>,
    secure: bool,
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Stream, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let client = self.certificates.borrow().client.clone();
        let secure = self.secure;
        async move {
            let host = uri.host().unwrap_or_default();
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
            let tcp = TcpStream::connect((host, port)).await?;
            tcp.set_nodelay(true)?;
            if !secure {
                return Ok(TokioIo::new(Either::Left(tcp)));
            }
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            let tls = TlsConnector::from(client).connect(name, tcp).await?;
            Ok(TokioIo::new(Either::Right(tls)))
        }
        .boxed()
    }
}

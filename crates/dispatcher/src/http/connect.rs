//! The guarded connector: the only place where this crate opens a socket.
//!
//! A name is resolved, every address is judged by the egress policy, and the
//! socket goes to one of the addresses that were judged: nothing resolves
//! again in between, so a name cannot be bound to something else. An address
//! written in the URL takes the same way. Proxies of the environment are not used;
//! one that is set connects to judged addresses too.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use domain::egress::Policy;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use resolver::Resolver;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower::Service;

use super::proxy::Proxy;

/// As many addresses of a name are tried.
const MAX_ADDRESSES: usize = 6;

/// The next address is tried this much after the one before (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("could not resolve the host")]
    Resolve(#[source] resolver::Error),
    #[error("no address of the host may be sent to")]
    Denied,
    #[error("could not open a TCP connection")]
    Tcp(#[source] std::io::Error),
    #[error("could not open a TLS session")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("connecting took too long")]
    Timeout,
}

/// Why no server's certificate could be trusted.
#[derive(Debug, thiserror::Error)]
pub enum NoRoots {
    /// The system has none, and no others are set.
    #[error("no usable root certificates: install the system's CA bundle, e.g. ca-certificates")]
    None,
    /// The file with further ones cannot be used.
    #[error("{}: there is no certificate authority in it: {why}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// What lies on the way to endpoints.
#[derive(Debug, Clone, Default)]
pub struct Way {
    /// The name servers that are asked; none: the system's resolver.
    pub name_servers: Vec<SocketAddr>,
    /// A PEM file with authorities that are trusted beside the system's.
    pub authorities: Option<PathBuf>,
    /// Through which connections go.
    pub proxy: Option<Proxy>,
}

type Tls = MaybeHttpsStream<TokioIo<TcpStream>>;

/// TCP and TLS, within a time.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    https: HttpsConnector<Tcp>,
    timeout: Duration,
}

impl Connector {
    /// A connection not open after `timeout` is given up, also when nobody
    /// waits for it any more. TLS trusts `roots`, and offers HTTP/1.1 only.
    pub(super) fn new(
        policy: Arc<Policy>,
        resolver: Resolver,
        roots: Arc<RootCertStore>,
        proxy: Option<Proxy>,
        timeout: Duration,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the ring provider has suites for both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Tcp {
                policy,
                resolver,
                proxy,
            });
        Self { https, timeout }
    }
}

/// The system's root certificates, and those of a file.
pub(super) fn roots(further: Option<&Path>) -> Result<RootCertStore, NoRoots> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = further {
        let unusable = |why: String| NoRoots::File {
            path: path.to_owned(),
            why,
        };
        let found = CertificateDer::pem_file_iter(path).map_err(|e| unusable(e.to_string()))?;
        let found: Vec<_> = found
            .collect::<Result<_, _>>()
            .map_err(|error| unusable(error.to_string()))?;
        if found.is_empty() || roots.add_parsable_certificates(found).0 == 0 {
            return Err(unusable("it holds none".to_owned()));
        }
    }
    if roots.is_empty() {
        return Err(NoRoots::None);
    }
    Ok(roots)
}

impl Service<Uri> for Connector {
    type Response = Tls;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Tls, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.https.call(uri);
        let timeout = self.timeout;
        Box::pin(async move {
            match tokio::time::timeout(timeout, connecting).await {
                Err(_) => Err(Error::Timeout),
                Ok(Ok(stream)) => Ok(stream),
                // What is not the TCP connector's own error is the handshake's.
                Ok(Err(error)) => Err(error
                    .downcast::<Error>()
                    .map_or_else(Error::Tls, |own| *own)),
            }
        })
    }
}

/// TCP to addresses that the policy permits.
#[derive(Debug, Clone)]
struct Tcp {
    policy: Arc<Policy>,
    resolver: Resolver,
    proxy: Option<Proxy>,
}

impl Service<Uri> for Tcp {
    type Response = TokioIo<TcpStream>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tcp = self.clone();
        Box::pin(async move {
            let addresses = tcp.permitted(&uri).await?;
            let stream = match &tcp.proxy {
                Some(proxy) => proxy.connect_any(addresses).await,
                None => connect_any(addresses).await,
            };
            let stream = stream.map_err(Error::Tcp)?;
            // Requests are written whole; a delay would only add to latency.
            stream.set_nodelay(true).map_err(Error::Tcp)?;
            Ok(TokioIo::new(stream))
        })
    }
}

impl Tcp {
    /// Where the URI's host may be reached.
    async fn permitted(&self, uri: &Uri) -> Result<Vec<SocketAddr>, Error> {
        let host = uri.host().unwrap_or_default();
        // `Uri::host` keeps the brackets of an IPv6 address.
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let default_port = if uri.scheme() == Some(&Scheme::HTTP) {
            80
        } else {
            443
        };
        let port = uri.port_u16().unwrap_or(default_port);
        let resolved = match host.parse::<IpAddr>() {
            Ok(address) => Arc::from([address]),
            Err(_) => self.resolver.resolve(host).await.map_err(Error::Resolve)?,
        };
        let permitted = resolved
            .iter()
            .copied()
            .filter(|address| self.policy.permits_host(host, *address));
        let permitted = alternate_families(permitted.collect());
        if permitted.is_empty() {
            return Err(Error::Denied);
        }
        Ok(permitted
            .into_iter()
            .take(MAX_ADDRESSES)
            .map(|address| SocketAddr::new(address, port))
            .collect())
    }
}

/// IPv6 and IPv4 in turn, beginning with the resolver's choice, so that a
/// broken family costs one [`STAGGER`] only.
fn alternate_families(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut alternating = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return alternating;
        }
        alternating.extend(pair.into_iter().flatten());
    }
}

/// The first connection that opens; the error of the last one that failed.
async fn connect_any(addresses: Vec<SocketAddr>) -> std::io::Result<TcpStream> {
    let mut attempts: FuturesUnordered<_> = (0_u32..)
        .zip(addresses)
        .map(|(place, address)| async move {
            tokio::time::sleep(STAGGER * place).await;
            TcpStream::connect(address).await
        })
        .collect();
    let mut failure = std::io::ErrorKind::AddrNotAvailable.into();
    while let Some(result) = attempts.next().await {
        match result {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let list = |texts: &[&str]| {
            texts
                .iter()
                .map(|t| t.parse().unwrap())
                .collect::<Vec<IpAddr>>()
        };
        assert_eq!(
            alternate_families(list(&["::1", "::2", "::3", "1.1.1.1"])),
            list(&["::1", "1.1.1.1", "::2", "::3"])
        );
        assert_eq!(alternate_families(Vec::new()), Vec::<IpAddr>::new());
    }
}

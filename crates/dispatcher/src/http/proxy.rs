//! An egress proxy, by `CONNECT` (RFC 9110, section 9.3.6). It is told an
//! address that was judged, never a name: what it would resolve itself, nobody
//! here has looked at.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;

/// A proxy's answer has at most this many bytes before its empty line.
const MAX_ANSWER_BYTES: usize = 8 << 10;

/// Where the proxy is, and what it wants to be shown.
#[derive(Clone)]
pub struct Proxy {
    host: String,
    port: u16,
    /// The value of `Proxy-Authorization`.
    authorization: Option<String>,
}

/// Not the address of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use http://[user:password@]host:port")]
pub struct NotAProxy;

impl Proxy {
    /// The proxy at `http://[user:password@]host:port`.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, NotAProxy> {
        let url = Url::parse(text).map_err(|_| NotAProxy)?;
        let host = url.host_str().ok_or(NotAProxy)?;
        if url.scheme() != "http" || url.path() != "/" || url.query().is_some() {
            return Err(NotAProxy);
        }
        let authorization = (!url.username().is_empty()).then(|| {
            let password = url.password().unwrap_or_default();
            let pair = STANDARD.encode(format!("{}:{password}", url.username()));
            format!("Basic {pair}")
        });
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default().ok_or(NotAProxy)?,
            authorization,
        })
    }

    /// A connection to one of `addresses`, in their order, through the proxy.
    pub(super) async fn connect_any(&self, addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
        let mut failure = io::ErrorKind::AddrNotAvailable.into();
        for address in addresses {
            match self.connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        // The operator's own host: the guard is not about it.
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let mut request = format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n");
        if let Some(authorization) = &self.authorization {
            request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        match status(&mut stream).await? {
            200..300 => Ok(stream),
            status => Err(io::Error::other(format!(
                "the egress proxy refused with {status}"
            ))),
        }
    }
}

/// Reads the answer's head, and not a byte of what comes behind it.
async fn status(stream: &mut TcpStream) -> io::Result<u16> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_ANSWER_BYTES {
            return Err(io::Error::other("the egress proxy answers too long"));
        }
        head.push(stream.read_u8().await?);
    }
    let line = std::str::from_utf8(&head).unwrap_or_default();
    let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
    status.ok_or_else(|| io::Error::other("the egress proxy does not answer in HTTP"))
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_plain_http_address() {
        let proxy = Proxy::parse("http://user:pass@proxy.corp:3128").unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.corp", 3_128));
        assert_eq!(proxy.authorization.as_deref(), Some("Basic dXNlcjpwYXNz"));
        assert!(!format!("{proxy:?}").contains("dXNlcjpwYXNz"));
        assert_eq!(Proxy::parse("http://[::1]:8080").unwrap().host, "::1");
        for wrong in [
            "",
            "proxy",
            "https://proxy:1",
            "socks5://proxy:1",
            "http://p/x",
        ] {
            assert!(Proxy::parse(wrong).is_err(), "{wrong}");
        }
    }
}

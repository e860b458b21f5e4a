//! The listeners of a process, bound before anything else is started.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

use crate::config::{Config, Error, Setting};
use crate::roles::Role;
use crate::serve::loopback_like;

/// The listeners that the roles of a process need.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) http: Option<TcpListener>,
    pub(crate) grpc: Option<TcpListener>,
    /// Where standalone's own roles reach each other in plain text, on loopback,
    /// if the gRPC address itself wants TLS.
    pub(crate) inner: Option<TcpListener>,
    pub(crate) admin: TcpListener,
    addresses: Addresses,
}

/// Where a process answers, as URLs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) http: Option<String>,
    pub(crate) grpc: Option<String>,
    pub(crate) admin: String,
}

impl Doors {
    /// Binds what `roles` need.
    ///
    /// # Errors
    ///
    /// When an address is taken or is not this machine's.
    pub(crate) async fn bind(roles: &[Role], config: &Config) -> Result<Self, Error> {
        let needs_http = roles.iter().any(|role| role.has_http());
        let needs_grpc = roles.iter().any(|role| !role.grpc_services().is_empty());
        let admin = bind(Setting::AdminAddr, config.admin_addr).await?;
        let http = match needs_http {
            true => Some(bind(Setting::HttpAddr, config.http_addr).await?),
            false => None,
        };
        let grpc = match needs_grpc {
            true => Some(bind(Setting::GrpcAddr, config.grpc_addr).await?),
            false => None,
        };
        let secure = config.tls.server.is_some();
        let inner = match secure && roles.len() > 1 {
            true => Some(bind(Setting::GrpcAddr, (Ipv4Addr::LOCALHOST, 0).into()).await?),
            false => None,
        };
        let addresses = Addresses {
            http: http.as_ref().map(|listener| url(listener, secure)),
            grpc: grpc.as_ref().map(|listener| url(listener, secure)),
            admin: url(&admin, false),
        };
        Ok(Self {
            http,
            grpc,
            inner,
            admin,
            addresses,
        })
    }

    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Where this process itself reaches its gRPC services.
    pub(crate) fn grpc_url(&self) -> Option<String> {
        let listener = self.inner.as_ref().or(self.grpc.as_ref())?;
        let mut address = listener.local_addr().ok()?;
        if address.ip().is_unspecified() {
            address.set_ip(loopback_like(address.ip()));
        }
        Some(format!("http://{address}"))
    }
}

impl Addresses {
    /// The line that tells whoever started the process that it is ready.
    pub(crate) fn ready_line(&self) -> String {
        let mut line = "postrider ready".to_owned();
        if let Some(http) = &self.http {
            line.push_str(&format!(" http={http}"));
        }
        if let Some(grpc) = &self.grpc {
            line.push_str(&format!(" grpc={grpc}"));
        }
        line.push_str(&format!(" admin={}", self.admin));
        line
    }
}

async fn bind(setting: Setting, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|source| Error::CannotListen {
            setting,
            address,
            source,
        })
}

fn url(listener: &TcpListener, secure: bool) -> String {
    let scheme = if secure { "https" } else { "http" };
    // A bound listener has an address.
    listener
        .local_addr()
        .map(|address| format!("{scheme}://{address}"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_the_contracts() {
        let addresses = Addresses {
            http: Some("http://127.0.0.1:8080".into()),
            grpc: Some("http://127.0.0.1:50051".into()),
            admin: "http://127.0.0.1:9090".into(),
        };
        assert_eq!(
            addresses.ready_line(),
            "postrider ready http=http://127.0.0.1:8080 grpc=http://127.0.0.1:50051 \
             admin=http://127.0.0.1:9090"
        );
        let fanout = Addresses {
            http: None,
            grpc: None,
            ..addresses
        };
        assert_eq!(
            fanout.ready_line(),
            "postrider ready admin=http://127.0.0.1:9090"
        );
    }
}

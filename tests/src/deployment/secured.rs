//! A deployment whose parts speak TLS.

use std::path::Path;

use anyhow::{Context, Result};

use super::ground::Ground;
use super::{Deployment, Mode, own_dir};

/// Which file of the folder each role uses for what.
pub(super) const SETTINGS: [(&str, &str); 9] = [
    ("TLS_CERT", "server.pem"),
    ("TLS_KEY", "server.key"),
    ("TLS_CLIENT_CA", "ca.pem"),
    ("TLS_CA", "ca.pem"),
    ("TLS_CLIENT_CERT", "client.pem"),
    ("TLS_CLIENT_KEY", "client.key"),
    ("NATS_CA", "ca.pem"),
    ("NATS_CERT", "client.pem"),
    ("NATS_KEY", "client.key"),
];

/// nats-server insists on a certificate of each client.
pub(super) fn nats(certificates: &Path) -> String {
    let path = |name| certificates.join(name);
    format!(
        "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}",
        path("server.pem"),
        path("server.key"),
        path("ca.pem")
    )
}

impl Deployment {
    /// Starts five processes that speak TLS with each other, nats-server,
    /// PostgreSQL and their callers, with the certificates in a folder.
    ///
    /// # Errors
    ///
    /// As [`Deployment::start`].
    pub async fn start_secured(certificates: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let ground = Ground {
            certificates: Some(certificates.to_owned()),
            ..Ground::default()
        };
        Self::start_in(own_dir()?, Mode::Processes, settings, ground).await
    }

    pub(super) fn scheme(&self) -> &'static str {
        match self.ground.certificates {
            Some(_) => "https",
            None => "http",
        }
    }

    /// The address of the database.
    ///
    /// # Errors
    ///
    /// When PostgreSQL is down.
    pub async fn database_url(&self) -> Result<String> {
        if self.mode == Mode::Standalone {
            let path = self.dir.path().join("data/postrider.db");
            return Ok(format!("sqlite://{}", path.display()));
        }
        let postgres = self.postgres.lock().await;
        let url = postgres.as_ref().context("PostgreSQL first")?.url();
        Ok(match &self.ground.certificates {
            None => url,
            Some(folder) => {
                let authority = folder.join("ca.pem");
                format!(
                    "{url}?sslmode=verify-full&sslrootcert={}",
                    authority.display()
                )
            }
        })
    }
}

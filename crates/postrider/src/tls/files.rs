//! PEM files to rustls' settings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};

use super::{ClientAuth, Current};

/// A certificate with its chain, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Which files say what.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    /// What this process shows to callers; `None`: plain text.
    pub(crate) server: Option<Identity>,
    /// Who signs callers' certificates; `None`: they need none.
    pub(crate) client_authority: Option<PathBuf>,
    pub(crate) client_auth: ClientAuth,
    /// Who signs other roles' certificates; `None`: the system's authorities.
    pub(crate) authority: Option<PathBuf>,
    /// What this process shows to other roles.
    pub(crate) client: Option<Identity>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub(crate) struct Unusable {
    path: PathBuf,
    why: String,
}

impl Unusable {
    fn new(path: &Path, why: impl std::fmt::Display) -> Self {
        Self {
            path: path.to_owned(),
            why: why.to_string(),
        }
    }
}

impl Files {
    /// The settings that the files make.
    pub(super) fn load(&self) -> Result<Current, Unusable> {
        let grpc = self.server_config(true, &[b"h2"])?;
        let for_people = self.client_auth == ClientAuth::All;
        let http = self.server_config(for_people, &[b"h2", b"http/1.1"])?;
        Ok(Current {
            http,
            grpc,
            client: Arc::new(self.client_config()?),
        })
    }

    /// Changes whenever a file does.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for path in self.paths() {
            // A file that is away for a moment, while it is replaced, is a change
            // that cannot be used.
            let content = std::fs::read(path).unwrap_or_default();
            digest.update(content.len().to_be_bytes());
            digest.update(content);
        }
        digest.finalize().into()
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let identities = self.server.iter().chain(&self.client);
        let pairs = identities.flat_map(|identity| [&identity.certificate, &identity.key]);
        pairs.chain(&self.client_authority).chain(&self.authority)
    }

    fn server_config(
        &self,
        callers_have_one: bool,
        protocols: &[&[u8]],
    ) -> Result<Option<Arc<ServerConfig>>, Unusable> {
        let Some(identity) = &self.server else {
            return Ok(None);
        };
        let (chain, key) = identity.read()?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the ring provider has suites for both versions");
        let builder = match self.client_authority.as_ref().filter(|_| callers_have_one) {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(authorities(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                    .build()
                    .map_err(|error| Unusable::new(path, error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| Unusable::new(&identity.certificate, error))?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Some(Arc::new(config)))
    }

    fn client_config(&self) -> Result<ClientConfig, Unusable> {
        let roots = match &self.authority {
            Some(path) => authorities(path)?,
            None => {
                let mut roots = RootCertStore::empty();
                let system = rustls_native_certs::load_native_certs().certs;
                roots.add_parsable_certificates(system);
                roots
            }
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the ring provider has suites for both versions")
            .with_root_certificates(roots);
        let mut config = match &self.client {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.read()?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| Unusable::new(&identity.certificate, error))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

impl Identity {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Unusable> {
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| Unusable::new(&self.key, error))?;
        Ok((certificates(&self.certificate)?, key))
    }
}

fn authorities(path: &Path) -> Result<RootCertStore, Unusable> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| Unusable::new(path, error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let unusable = |error| Unusable::new(path, error);
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(unusable)?
        .collect::<Result<_, _>>()
        .map_err(unusable)?;
    if found.is_empty() {
        return Err(Unusable::new(path, "there is no certificate in it"));
    }
    Ok(found)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

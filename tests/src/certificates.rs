//! A certificate authority of the test's own, and what it signs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Signs certificates, and writes them into a folder.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// A new authority; its certificate is `<name>.pem`.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        std::fs::write(folder.join(format!("{name}.pem")), &pem)?;
        Ok(Self {
            folder: folder.to_owned(),
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// A certificate of this machine, `<name>.pem`, and its key, `<name>.key`.
    ///
    /// # Errors
    ///
    /// When the files cannot be written.
    pub fn issue(&self, name: &str) -> Result<()> {
        self.sign(name, 2_100)
    }

    /// The same, but it has expired long ago.
    ///
    /// # Errors
    ///
    /// When the files cannot be written.
    pub fn issue_expired(&self, name: &str) -> Result<()> {
        self.sign(name, 2_001)
    }

    fn sign(&self, name: &str, until: i32) -> Result<()> {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2_000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        // The key first: whoever follows the certificate finds its key.
        std::fs::write(self.folder.join(format!("{name}.key")), key.serialize_pem())?;
        let path = self.folder.join(format!("{name}.pem"));
        std::fs::write(path, certificate.pem())?;
        Ok(())
    }

    /// The settings of a client that trusts this authority, and shows the
    /// certificate of this name if there is one.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn client(&self, shows: Option<&str>) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let Some(name) = shows else {
            return Ok(builder.with_no_client_auth());
        };
        let path = |end: &str| self.folder.join(format!("{name}.{end}"));
        let key = PrivateKeyDer::from_pem_file(path("key"))?;
        let certificate = CertificateDer::from_pem_file(path("pem"))?;
        builder
            .with_client_auth_cert(vec![certificate], key)
            .context("it is a certificate and its key")
    }
}

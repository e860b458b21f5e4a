//! What secures the connections of a process.

use std::path::PathBuf;

use ipnet::IpNet;

use super::Error;
use super::setting::Setting;
use super::source::Values;
use super::value::{invalid, parts, required};
use crate::tls::{self, ClientAuth, Identity};

fn path(values: &Values, setting: Setting) -> Option<PathBuf> {
    values.get(setting).map(|value| (&value.text).into())
}

/// A certificate and its key: both or none.
fn identity(
    values: &Values,
    certificate: Setting,
    key: Setting,
) -> Result<Option<Identity>, Error> {
    match (path(values, certificate), path(values, key)) {
        (Some(certificate), Some(key)) => Ok(Some(Identity { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => {
            let message = format!("it needs its key too: set {key}");
            Err(invalid(values, certificate, message))
        }
        (None, Some(_)) => {
            let message = format!("it belongs to a certificate: set {certificate}");
            Err(invalid(values, key, message))
        }
    }
}

pub(super) fn tls(values: &Values) -> Result<tls::Files, Error> {
    let server = identity(values, Setting::TlsCertFile, Setting::TlsKeyFile)?;
    let client_authority = path(values, Setting::TlsClientCaFile);
    if client_authority.is_some() && server.is_none() {
        let message = "callers' certificates need TLS: set tls_cert_file and tls_key_file";
        return Err(invalid(values, Setting::TlsClientCaFile, message));
    }
    let client_auth = match required(values, Setting::TlsClientAuth)? {
        "grpc" => ClientAuth::Grpc,
        "all" => ClientAuth::All,
        _ => {
            let message = "grpc or all is needed";
            return Err(invalid(values, Setting::TlsClientAuth, message));
        }
    };
    Ok(tls::Files {
        server,
        client_authority,
        client_auth,
        authority: path(values, Setting::TlsCaFile),
        client: identity(
            values,
            Setting::TlsClientCertFile,
            Setting::TlsClientKeyFile,
        )?,
    })
}

pub(super) fn trusted_proxies(values: &Values) -> Result<Vec<IpNet>, Error> {
    let setting = Setting::TrustedProxies;
    let networks = parts(values, setting).map(|part| {
        part.parse().map_err(|_| {
            let message = format!("`{part}` is not a network such as 10.1.0.0/16 or fd00::/8");
            invalid(values, setting, message)
        })
    });
    networks.collect()
}

pub(super) fn nats(values: &Values) -> Result<broker::Tls, Error> {
    let identity = identity(values, Setting::NatsCertFile, Setting::NatsKeyFile)?;
    Ok(broker::Tls {
        authority: path(values, Setting::NatsCaFile),
        identity: identity.map(|identity| (identity.certificate, identity.key)),
    })
}

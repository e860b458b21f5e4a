//! Endpoints' opened secrets: what signs, and the headers whose values may be
//! credentials. Kept while their endpoint stays as it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use domain::custom_headers::CustomHeaders;
use domain::signature::Secret;
use domain::vault::Vault;
use domain::{Endpoint, EndpointId, Timestamp};
use http::{HeaderName, HeaderValue};
use tracing::error;

/// Endpoints whose secrets are kept open. When it is full, it starts over:
/// opening costs microseconds.
const CAPACITY: usize = 50_000;

/// The master key does not open what is sealed for an endpoint, so nothing can
/// be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "could not open the secrets of {endpoint}, sealed under master key {sealed_under}; \
     the configured master keys are {configured}"
)]
pub(crate) struct NotOpened {
    endpoint: EndpointId,
    sealed_under: String,
    configured: String,
}

/// The secrets of one endpoint, the newest first. There is always one.
#[derive(Debug, Clone)]
pub(crate) struct Secrets {
    pub(crate) current: Secret,
    /// Each with the end of its grace period.
    old: Vec<(Secret, Timestamp)>,
    /// The owner's own headers, values marked as sensitive.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Secrets {
    /// A single secret, without a grace period's old ones.
    #[cfg(feature = "bench")]
    pub(crate) fn only(current: Secret) -> Self {
        Self {
            current,
            old: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// What signs now: the current one, then those within their grace period.
    pub(crate) fn valid_at(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        let old = self.old.iter().filter(move |(_, until)| now < *until);
        std::iter::once(&self.current).chain(old.map(|(secret, _)| secret))
    }
}

#[derive(Debug)]
pub(crate) struct Keyring {
    vault: Arc<Vault>,
    opened: Mutex<HashMap<EndpointId, Opened>>,
}

/// The version of an endpoint that was opened, with which generation of keys,
/// and what came of it.
type Opened = (u64, u64, Result<Arc<Secrets>, NotOpened>);

impl Keyring {
    pub(crate) fn new(vault: Arc<Vault>) -> Self {
        let opened = Mutex::default();
        Self { vault, opened }
    }

    /// The secrets of the endpoint as it is now.
    pub(crate) fn secrets(&self, endpoint: &Endpoint) -> Result<Arc<Secrets>, NotOpened> {
        let kept = self.lock().get(&endpoint.id).cloned();
        let now = self.vault.generation();
        if let Some((version, generation, secrets)) = kept
            && version == endpoint.version
            // What did not open may open with other keys.
            && (secrets.is_ok() || generation == now)
        {
            return secrets;
        }
        let secrets = self.open(endpoint).map(Arc::new);
        if let Err(error) = &secrets {
            // Once for each version: its deliveries will ask again and again.
            error!(%error, "cannot sign, so nothing is sent: set the master key that sealed it");
        }
        let mut opened = self.lock();
        if opened.len() >= CAPACITY {
            opened.clear();
        }
        opened.insert(endpoint.id, (endpoint.version, now, secrets.clone()));
        secrets
    }

    fn open(&self, endpoint: &Endpoint) -> Result<Secrets, NotOpened> {
        let not_opened = |sealed_under: &str| NotOpened {
            endpoint: endpoint.id,
            sealed_under: sealed_under.to_owned(),
            configured: self.configured(),
        };
        let mut current = None;
        let mut old = Vec::new();
        for sealed in &endpoint.secrets {
            let text = self.vault.open(&sealed.sealed, endpoint.id.as_bytes()).ok();
            let secret = text
                .as_deref()
                .and_then(|text| std::str::from_utf8(text).ok())
                .and_then(|text| Secret::parse(text).ok())
                .ok_or_else(|| not_opened(&sealed.master_key_id))?;
            match sealed.valid_until {
                None => current = current.or(Some(secret)),
                Some(until) => old.push((secret, until)),
            }
        }
        let current = current.ok_or_else(|| not_opened("none"))?;
        let headers = match &endpoint.policy.headers {
            None => Vec::new(),
            Some(sealed) => sealed
                .open(&self.vault, endpoint.id)
                .ok()
                .and_then(|headers| to_http(&headers))
                .ok_or_else(|| not_opened(&sealed.master_key_id))?,
        };
        Ok(Secrets {
            current,
            old,
            headers,
        })
    }

    fn configured(&self) -> String {
        let ids: Vec<String> = self.vault.keys().iter().map(|key| key.id()).collect();
        ids.join(", ")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<EndpointId, Opened>> {
        self.opened.lock().expect("no panic holds it")
    }
}

/// The headers as they are sent; `None` if one cannot be, which registration
/// has excluded.
fn to_http(headers: &CustomHeaders) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let pair = |(name, value): (&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    };
    headers.expose().map(pair).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::samples;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    fn texts(secrets: &Secrets, now: Timestamp) -> Vec<&str> {
        secrets.valid_at(now).map(Secret::expose).collect()
    }

    #[test]
    fn an_old_secret_is_valid_until_its_grace_ends() {
        let keyring = Keyring::new(Arc::new(samples::vault()));
        let mut endpoint = samples::endpoint();
        let (new, old) = (samples::secret(2), samples::secret(1));
        endpoint.secrets = vec![
            samples::sealed(endpoint.id, &new, None),
            samples::sealed(endpoint.id, &old, Some(at(1_000))),
        ];
        let secrets = keyring.secrets(&endpoint).unwrap();
        assert_eq!(texts(&secrets, at(999)), [new.expose(), old.expose()]);
        assert_eq!(texts(&secrets, at(1_000)), [new.expose()]);
    }

    #[test]
    fn a_new_version_is_opened_anew() {
        let keyring = Keyring::new(Arc::new(samples::vault()));
        let mut endpoint = samples::endpoint();
        keyring.secrets(&endpoint).unwrap();
        let new = samples::secret(9);
        endpoint.secrets = vec![samples::sealed(endpoint.id, &new, None)];
        endpoint.version += 1;
        let secrets = keyring.secrets(&endpoint).unwrap();
        assert_eq!(secrets.current.expose(), new.expose());
    }

    #[test]
    fn another_endpoints_secret_or_none_is_refused() {
        let keyring = Keyring::new(Arc::new(samples::vault()));
        let mut endpoint = samples::endpoint();
        endpoint.secrets = samples::endpoint().secrets;
        assert!(keyring.secrets(&endpoint).is_err());
        endpoint.secrets.clear();
        assert!(keyring.secrets(&endpoint).is_err());
    }

    #[test]
    fn headers_are_opened_for_their_endpoint_only() {
        let keyring = Keyring::new(Arc::new(samples::vault()));
        let mut endpoint = samples::endpoint();
        endpoint.policy.headers = Some(samples::sealed_headers(endpoint.id, &[("X-A", "b")]));
        let headers = &keyring.secrets(&endpoint).unwrap().headers;
        assert_eq!(headers.len(), 1);
        assert!(headers[0].0 == "x-a" && headers[0].1 == "b");
        assert!(headers[0].1.is_sensitive());
        let other = EndpointId::new();
        endpoint.policy.headers = Some(samples::sealed_headers(other, &[("X-A", "b")]));
        endpoint.version += 1;
        assert!(keyring.secrets(&endpoint).is_err());
    }
}

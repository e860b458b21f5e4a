//! Headers that an endpoint's owner wants on every request. Their values may be
//! credentials, so they are sealed at rest and shown to nobody but an admin.

use std::fmt;

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::EndpointId;
use crate::problem::FieldViolation;
use crate::vault::{RANDOM_BYTES, Sealed, Vault, VaultError};

/// What stands for a value that is not shown.
pub const REDACTED: &str = "***";

/// Headers on one request.
const MAX_COUNT: usize = 16;
const MAX_NAME_CHARS: usize = 64;
const MAX_VALUE_CHARS: usize = 1_024;
/// All names and values together.
const MAX_BYTES: usize = 4_096;

/// So much of a name that is none is shown again.
const SHOWN_CHARS: usize = 80;

/// What Postrider or HTTP itself says, and nobody else: RFC 9110, section
/// 7.6.1 for what belongs to the connection.
const REFUSED_NAMES: [&str; 15] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-webhook-signature",
];

/// The beginnings of more such names.
const REFUSED_PREFIXES: [&str; 2] = ["proxy-", "webhook-"];

/// Distinguishes sealed headers from the endpoint's sealed secrets.
const PURPOSE: &[u8] = b" headers";

/// Headers in the clear, each name once in any case. `Debug` shows no value;
/// wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct CustomHeaders(Vec<(String, Zeroizing<String>)>);

/// Headers that only the master key opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedHeaders {
    /// Which master key: [`crate::vault::MasterKey::id`].
    pub master_key_id: String,
    /// What [`CustomHeaders::seal`] made.
    pub sealed: Bytes,
}

impl CustomHeaders {
    /// Checks names and values: at most 16 headers and 4 KiB, names that are
    /// HTTP tokens (RFC 9110, section 5.6.2) of up to 64 characters and not
    /// kept for Postrider or the connection, values of up to 1,024 visible
    /// ASCII characters with spaces between them, and not [`REDACTED`].
    ///
    /// # Errors
    ///
    /// On the field `headers`; values are not repeated.
    pub fn check(pairs: Vec<(String, String)>) -> Result<Self, FieldViolation> {
        if pairs.len() > MAX_COUNT {
            return Err(fault(format!("use at most {MAX_COUNT} headers")));
        }
        let size: usize = pairs
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        let mut checked: Vec<(String, Zeroizing<String>)> = Vec::new();
        for (name, value) in pairs {
            let value = Zeroizing::new(value);
            check_name(&name)?;
            if checked
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(&name))
            {
                return Err(fault(format!("{name} is there twice; send it once")));
            }
            if !is_value(&value) {
                return Err(fault(format!(
                    "the value of {name} is not acceptable; use 1 to {MAX_VALUE_CHARS} visible \
                     ASCII characters, with spaces only between them"
                )));
            }
            if *value == REDACTED {
                return Err(fault(format!(
                    "the value of {name} is the mask that stands for one which is not shown; \
                     send the value itself, or leave `headers` out to keep all of them"
                )));
            }
            checked.push((name, value));
        }
        if size > MAX_BYTES {
            return Err(fault(format!(
                "names and values are longer than {MAX_BYTES} bytes together; shorten them"
            )));
        }
        Ok(Self(checked))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names as they were given, and values. Never log the latter.
    pub fn expose(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Seals them for one endpoint. The random bytes must never be used again.
    #[must_use]
    pub fn seal(
        &self,
        vault: &Vault,
        endpoint: EndpointId,
        random: [u8; RANDOM_BYTES],
    ) -> SealedHeaders {
        let pairs: Vec<(&str, &str)> = self.expose().collect();
        let plaintext = serde_json::to_vec(&pairs).expect("text pairs are JSON");
        let plaintext = Zeroizing::new(plaintext);
        let Sealed {
            master_key_id,
            bytes,
        } = vault.seal(&plaintext, &owner(endpoint), random);
        SealedHeaders {
            master_key_id,
            sealed: bytes,
        }
    }
}

impl SealedHeaders {
    /// Opens what was sealed for `endpoint`.
    ///
    /// # Errors
    ///
    /// [`VaultError::NotOpened`].
    pub fn open(&self, vault: &Vault, endpoint: EndpointId) -> Result<CustomHeaders, VaultError> {
        let plaintext = vault.open(&self.sealed, &owner(endpoint))?;
        let pairs: Vec<(String, String)> =
            serde_json::from_slice(&plaintext).map_err(|_| VaultError::NotOpened)?;
        let pairs = pairs
            .into_iter()
            .map(|(name, value)| (name, Zeroizing::new(value)));
        Ok(CustomHeaders(pairs.collect()))
    }
}

impl fmt::Debug for CustomHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redacted = self.0.iter().map(|(name, _)| (name, REDACTED));
        f.debug_map().entries(redacted).finish()
    }
}

/// Whom an endpoint's sealed headers belong to.
#[must_use]
pub fn owner(endpoint: EndpointId) -> Vec<u8> {
    [endpoint.as_bytes().as_slice(), PURPOSE].concat()
}

fn fault(message: String) -> FieldViolation {
    FieldViolation::new("headers", message)
}

fn check_name(name: &str) -> Result<(), FieldViolation> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > MAX_NAME_CHARS || !name.bytes().all(token) {
        let shown: String = name.chars().take(SHOWN_CHARS).collect();
        return Err(fault(format!(
            "{shown:?} is not the name of a header; use 1 to {MAX_NAME_CHARS} letters, digits \
             and hyphens"
        )));
    }
    let lower = name.to_ascii_lowercase();
    let refused = REFUSED_NAMES.contains(&lower.as_str())
        || REFUSED_PREFIXES.iter().any(|it| lower.starts_with(it));
    if refused {
        return Err(fault(format!(
            "{name} is set by Postrider or belongs to the connection; choose another name"
        )));
    }
    Ok(())
}

fn is_value(value: &str) -> bool {
    (1..=MAX_VALUE_CHARS).contains(&value.len())
        && value.bytes().all(|it| it == b' ' || it.is_ascii_graphic())
        && value.trim_matches(' ').len() == value.len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::vault::MasterKey;

    fn check(name: &str, value: &str) -> Result<CustomHeaders, FieldViolation> {
        CustomHeaders::check(vec![(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_name_is_a_token_that_nobody_else_uses() {
        for good in ["X-Api-Key", "authorization", "a", "x_1.2~", &"n".repeat(64)] {
            assert!(check(good, "v").is_ok(), "{good}");
        }
        let long = "n".repeat(65);
        let malformed = ["", "a b", "a:", "é", "a\r\nb", "(a)", &long];
        let refused = [
            "Host",
            "content-LENGTH",
            "Content-Type",
            "content-encoding",
            "Transfer-Encoding",
            "connection",
            "keep-alive",
            "TE",
            "trailer",
            "upgrade",
            "expect",
            "User-Agent",
            "Proxy-Authorization",
            "webhook-id",
            "Webhook-Anything",
            "X-Webhook-Signature",
            "traceparent",
            "tracestate",
        ];
        for bad in malformed.into_iter().chain(refused) {
            let violation = check(bad, "v").unwrap_err();
            assert_eq!(violation.field, "headers", "{bad:?}");
            assert!(!violation.message.chars().any(char::is_control), "{bad:?}");
        }
    }

    #[test]
    fn a_value_is_visible_ascii_and_is_never_repeated() {
        for good in ["v", "Bearer a b==", &"v".repeat(1_024)] {
            assert!(check("a", good).is_ok(), "{good}");
        }
        let mask = check("a", REDACTED).unwrap_err();
        assert!(mask.message.contains("mask"), "{mask:?}");
        for bad in ["", " ", " v", "v ", "hush\r\nx: y", "hüsh", "hush\t"] {
            let violation = check("a", bad).unwrap_err();
            assert!(!violation.message.contains("hush"), "{violation:?}");
        }
        assert!(check("a", &"v".repeat(1_025)).is_err());
    }

    #[test]
    fn they_are_bounded_together_and_named_once() {
        let named = |count: usize, value: &str| {
            let pairs = (0..count).map(|n| (format!("x-{n:02}"), value.to_owned()));
            CustomHeaders::check(pairs.collect())
        };
        assert!(CustomHeaders::check(Vec::new()).unwrap().is_empty());
        assert!(named(16, "v").is_ok());
        assert!(named(17, "v").is_err());
        assert!(named(4, &"v".repeat(1_020)).is_ok());
        assert!(named(4, &"v".repeat(1_021)).is_err());
        let twice = ["X-A", "x-a"].map(|name| (name.to_owned(), "v".to_owned()));
        assert!(CustomHeaders::check(twice.into()).is_err());
    }

    #[test]
    fn only_the_endpoints_own_headers_open() {
        let master = MasterKey::from_bytes([1; 32]);
        let (key, endpoint) = (Vault::from(master), EndpointId::new());
        let headers = check("X-Api-Key", "hush").unwrap();
        assert!(!format!("{headers:?}").contains("hush"));
        let sealed = headers.seal(&key, endpoint, [9; RANDOM_BYTES]);
        assert_eq!(sealed.open(&key, endpoint).unwrap(), headers);
        assert!(sealed.open(&key, EndpointId::new()).is_err());
        // A secret of the same endpoint is no header.
        let secret = SealedHeaders {
            sealed: key
                .seal(b"[]", endpoint.as_bytes(), [8; RANDOM_BYTES])
                .bytes,
            ..sealed
        };
        assert!(secret.open(&key, endpoint).is_err());
    }
}

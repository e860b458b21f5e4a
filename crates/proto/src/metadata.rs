//! Who callers say they are, beside the message.

use std::net::IpAddr;

use domain::audit::{Origin, Via};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use tonic::metadata::MetadataMap;

/// The network address of whoever calls. The listeners put it among a request's
/// extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Where a call with these extensions comes from.
#[must_use]
pub fn origin(via: Via, extensions: &http::Extensions) -> Origin {
    Origin {
        via,
        address: extensions.get::<Peer>().map(|peer| peer.0),
    }
}

/// By which key's caller one of the roles was asked to call: metadata of calls
/// among roles.
pub const ON_BEHALF_OF: &str = "postrider-on-behalf-of";

/// The token of `authorization: Bearer <token>`. The scheme's case does not
/// matter (RFC 9110, section 11.1). Two such headers are none: what stands in
/// front of us may have looked at the other one.
#[must_use]
pub fn bearer(metadata: &MetadataMap) -> Option<&str> {
    let mut values = metadata.get_all("authorization").iter();
    match (values.next(), values.next()) {
        (Some(value), None) => bearer_token(value.to_str().ok()?),
        _ => None,
    }
}

/// The same of a request of HTTP.
#[must_use]
pub fn bearer_of(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => bearer_token(value.to_str().ok()?),
        _ => None,
    }
}

fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, "Bearer abc".parse().expect("a value"));
        let metadata = MetadataMap::from_headers(headers.clone());
        assert_eq!(bearer_of(&headers), Some("abc"));
        assert_eq!(bearer(&metadata), Some("abc"));
        headers.append(AUTHORIZATION, "Bearer abc".parse().expect("a value"));
        let metadata = MetadataMap::from_headers(headers.clone());
        assert_eq!(bearer_of(&headers), None);
        assert_eq!(bearer(&metadata), None);
    }

    #[test]
    fn a_bearer_token_is_read_whatever_the_case_of_its_scheme() {
        assert_eq!(bearer_token("Bearer abc"), Some("abc"));
        assert_eq!(bearer_token("bearer  abc "), Some("abc"));
        for wrong in ["Basic abc", "abc", "Bearer ", "Bearer", ""] {
            assert_eq!(bearer_token(wrong), None, "{wrong:?}");
        }
    }
}

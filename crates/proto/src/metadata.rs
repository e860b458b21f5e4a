//! Who callers say they are, beside the message.

use std::net::IpAddr;

use domain::audit::{Origin, Via};
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
/// matter (RFC 9110, section 11.1).
#[must_use]
pub fn bearer(metadata: &MetadataMap) -> Option<&str> {
    bearer_token(metadata.get("authorization")?.to_str().ok()?)
}

/// The token of an `authorization` header's value.
#[must_use]
pub fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_read_whatever_the_case_of_its_scheme() {
        assert_eq!(bearer_token("Bearer abc"), Some("abc"));
        assert_eq!(bearer_token("bearer  abc "), Some("abc"));
        for wrong in ["Basic abc", "abc", "Bearer ", "Bearer", ""] {
            assert_eq!(bearer_token(wrong), None, "{wrong:?}");
        }
    }
}

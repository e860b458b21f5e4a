//! The check that an endpoint is its account's: it has to echo what only the
//! request itself says. Each request has a challenge of its own, and nobody is
//! shown it before the answer has come: so it cannot be used later, nor be put
//! where the endpoint would find it.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use crate::{EndpointId, Timestamp};

/// The request header that says the challenge.
pub const HEADER: &str = "webhook-challenge";

/// A challenge that was not sent by then, e.g. because of an outage, is not sent
/// at all: whoever asked for it may have gone away.
const EXPIRES: Duration = Duration::from_secs(600);

/// A longer answer is no echo, whatever it holds.
const MAX_ECHO_BYTES: usize = 1_024;

/// What an endpoint has to echo: 64 hex digits.
#[derive(Debug)]
pub struct Challenge(String);

impl Challenge {
    /// Of 256 random bits.
    #[must_use]
    pub fn from_random(random: [u8; 32]) -> Self {
        Self(hex::encode(random))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the whole answer: as text, as a JSON string, or as
    /// `{"challenge": "…"}`. An answer that merely contains it is none: it may
    /// be that of a server which repeats whatever it gets.
    #[must_use]
    pub fn is_echoed_by(&self, body: &[u8]) -> bool {
        let is = |text: &[u8]| bool::from(self.0.as_bytes().ct_eq(text));
        if body.len() > MAX_ECHO_BYTES {
            return false;
        }
        let said = body.trim_ascii();
        is(said)
            || match serde_json::from_slice(said) {
                Ok(Value::String(text)) => is(text.as_bytes()),
                Ok(Value::Object(fields)) => match fields.get("challenge") {
                    Some(Value::String(text)) => is(text.as_bytes()),
                    _ => false,
                },
                _ => false,
            }
    }
}

/// `data.object` of a challenge.
#[must_use]
pub fn object(endpoint: EndpointId, url: &str) -> Bytes {
    let object = json!({"endpoint_id": endpoint.to_string(), "url": url});
    object.to_string().into()
}

/// Whether a challenge that was asked for then is not to be sent any more.
#[must_use]
pub fn is_expired(asked_at: Timestamp, now: Timestamp) -> bool {
    now.since(asked_at) > EXPIRES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_challenge_itself_is_an_echo() {
        let challenge = Challenge::from_random([0xab; 32]);
        let it = "ab".repeat(32);
        assert_eq!(challenge.as_str(), it);
        for echo in [
            it.clone(),
            format!("{it}\r\n"),
            format!("\"{it}\""),
            format!("{{\"challenge\": \"{it}\", \"ok\": true}}"),
        ] {
            assert!(challenge.is_echoed_by(echo.as_bytes()), "{echo}");
        }
        for other in [
            String::new(),
            "ok".to_owned(),
            it[1..].to_owned(),
            it.to_uppercase(),
            format!("{it}{it}"),
            // What a server says that repeats whatever it gets.
            format!("{{\"headers\":{{\"webhook-challenge\":\"{it}\"}}}}"),
            format!("webhook-challenge: {it}"),
            format!("[\"{it}\"]"),
            format!("{it}{}", " ".repeat(MAX_ECHO_BYTES)),
        ] {
            assert!(!challenge.is_echoed_by(other.as_bytes()), "{other}");
        }
        let another = Challenge::from_random([0xac; 32]);
        assert!(!another.is_echoed_by(it.as_bytes()));
    }

    #[test]
    fn a_challenge_expires_after_ten_minutes() {
        let at = Timestamp::from_unix_millis;
        assert!(!is_expired(at(0), at(600_000)));
        assert!(is_expired(at(0), at(600_001)));
    }
}

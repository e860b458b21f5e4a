//! Signing: Postrider's own header and Standard Webhooks
//! (<https://www.standardwebhooks.com>).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What every secret begins with.
const PREFIX: &str = "whsec_";

/// The bytes behind the prefix, before base64.
const KEY_BYTES: usize = 32;

/// An endpoint's signing secret. Never shown by `Debug`, wiped when dropped.
#[derive(Clone)]
pub struct Secret {
    text: Zeroizing<String>,
    key: Zeroizing<Vec<u8>>,
}

/// The text is not `whsec_` and the standard base64 of 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is whsec_ and the standard base64 of {KEY_BYTES} bytes")]
pub struct ParseSecretError;

impl Secret {
    /// The secret made of these random bytes.
    #[must_use]
    pub fn from_random(random: [u8; KEY_BYTES]) -> Self {
        let text = Zeroizing::new(format!("{PREFIX}{}", STANDARD.encode(random)));
        Self {
            text,
            key: Zeroizing::new(random.to_vec()),
        }
    }

    /// Reads the text that a customer sees.
    ///
    /// # Errors
    ///
    /// When it is not of the one form.
    pub fn parse(text: &str) -> Result<Self, ParseSecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(ParseSecretError)?;
        let key = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| ParseSecretError)?);
        if key.len() != KEY_BYTES {
            return Err(ParseSecretError);
        }
        Ok(Self {
            text: Zeroizing::new(text.to_owned()),
            key,
        })
    }

    /// The text that a customer sees. Never log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// The value of `X-Webhook-Signature`: lower-case hex of HMAC-SHA256 over the
/// raw body, keyed with the secret's text as the customer sees it.
#[must_use]
pub fn body_signature(secret: &Secret, body: &[u8]) -> String {
    hex::encode(hmac(secret.text.as_bytes(), &[body]))
}

/// One item of `webhook-signature`: `v1,` and the base64 of HMAC-SHA256 over
/// `{id}.{timestamp}.{body}`, keyed with the decoded part of the secret.
/// `unix_seconds` is the value of `webhook-timestamp`.
#[must_use]
pub fn standard_signature(secret: &Secret, id: &str, unix_seconds: i64, body: &[u8]) -> String {
    let timestamp = unix_seconds.to_string();
    let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    format!("v1,{}", STANDARD.encode(hmac(&secret.key, &parts)))
}

pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Of another length than ours, so past [`Secret::parse`].
    fn published(text: &str) -> Secret {
        let key = STANDARD.decode(text.strip_prefix(PREFIX).unwrap()).unwrap();
        Secret {
            text: Zeroizing::new(text.to_owned()),
            key: Zeroizing::new(key),
        }
    }

    #[test]
    fn the_published_vectors_hold() {
        let secret = published("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        assert_eq!(
            standard_signature(
                &secret,
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                body
            ),
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="
        );
        assert_eq!(
            body_signature(&secret, body),
            "e0fc16c6d4a28f39a6e0935569f05d86e87367db24a4b6d9271215c603e49f6a"
        );
        let secret = published("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            standard_signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_secret_has_one_form_and_hides_itself() {
        let secret = Secret::from_random([7; 32]);
        assert_eq!(
            Secret::parse(secret.expose()).unwrap().expose(),
            secret.expose()
        );
        assert_eq!(format!("{secret:?}"), "Secret(redacted)");
        for wrong in [
            "",
            "whsec_",
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "whsec_!",
        ] {
            assert_eq!(
                Secret::parse(wrong).unwrap_err(),
                ParseSecretError,
                "{wrong}"
            );
        }
    }
}

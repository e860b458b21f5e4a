// cargo add hmac sha2 hex
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// `body`: the raw bytes as they came, before any parsing.
/// `signature`: the value of the header X-Webhook-Signature.
pub fn verify(secret: &str, body: &[u8], signature: &str) -> bool {
    let Ok(given) = hex::decode(signature) else {
        return false;
    };
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length will do");
    mac.update(body);
    mac.verify_slice(&given).is_ok()
}

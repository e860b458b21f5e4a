//! The key that everything else hangs on: XChaCha20-Poly1305
//! (<https://datatracker.ietf.org/doc/html/draft-irtf-cfrg-xchacha>).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::signature::hmac;

/// Bytes of nonce that stand before the ciphertext.
pub(super) const NONCE_BYTES: usize = 24;
/// Bytes of authentication that stand behind it.
pub(super) const TAG_BYTES: usize = 16;

/// The key that seals every secret of a deployment: 32 bytes. Never shown by
/// `Debug`, wiped when dropped.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

/// What can go wrong with the master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The key's text is not the base64 of 32 bytes.
    #[error("a master key is the standard base64 of 32 bytes, e.g. from `openssl rand -base64 32`")]
    KeyMalformed,
    /// Sealed under another key, for another owner, or altered.
    #[error("the master key does not open it; was it sealed under another one?")]
    NotOpened,
}

impl MasterKey {
    /// Reads standard base64; white space around it does not matter.
    ///
    /// # Errors
    ///
    /// [`VaultError::KeyMalformed`].
    pub fn from_base64(text: &str) -> Result<Self, VaultError> {
        let bytes = STANDARD
            .decode(text.trim())
            .map_err(|_| VaultError::KeyMalformed)?;
        let bytes = Zeroizing::new(bytes);
        let key = bytes
            .as_slice()
            .try_into()
            .map_err(|_| VaultError::KeyMalformed)?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// The key of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key itself, to be sealed under another.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// A name for the key that does not give it away: 8 hex digits of its
    /// SHA-256.
    #[must_use]
    pub fn id(&self) -> String {
        hex::encode(&Sha256::digest(self.0.as_slice())[..4])
    }

    /// Seals `plaintext` for `owner`; nobody can pass it off as another's. The
    /// nonce must be random and never used again.
    #[must_use]
    pub fn seal(&self, plaintext: &[u8], owner: &[u8], nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        let payload = Payload {
            msg: plaintext,
            aad: owner,
        };
        let ciphertext = self
            .cipher()
            .encrypt(XNonce::from_slice(&nonce), payload)
            .expect("a secret is far below the cipher's limit");
        [nonce.as_slice(), &ciphertext].concat()
    }

    /// Opens what was sealed for `owner`.
    ///
    /// # Errors
    ///
    /// [`VaultError::NotOpened`].
    pub fn open(&self, sealed: &[u8], owner: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (nonce, msg) = sealed
            .split_at_checked(NONCE_BYTES)
            .ok_or(VaultError::NotOpened)?;
        self.cipher()
            .decrypt(XNonce::from_slice(nonce), Payload { msg, aad: owner })
            .map(Zeroizing::new)
            .map_err(|_| VaultError::NotOpened)
    }

    /// A key for another purpose: HMAC-SHA256 of the label.
    #[must_use]
    pub fn derive(&self, label: &str) -> [u8; 32] {
        hmac(self.0.as_slice(), &[label.as_bytes()])
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.0.as_slice().into())
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_owner_open_it() {
        let key = MasterKey::from_bytes([1; 32]);
        let mut sealed = key.seal(b"whsec_", b"ep_1", [9; 24]);
        assert_eq!(*key.open(&sealed, b"ep_1").unwrap(), b"whsec_");
        assert_eq!(key.open(&sealed, b"ep_2"), Err(VaultError::NotOpened));
        assert!(
            MasterKey::from_bytes([2; 32])
                .open(&sealed, b"ep_1")
                .is_err()
        );
        assert!(key.open(&sealed[..20], b"ep_1").is_err());
        *sealed.last_mut().unwrap() ^= 1;
        assert!(key.open(&sealed, b"ep_1").is_err());
    }

    #[test]
    fn a_key_is_the_base64_of_32_bytes() {
        let text = format!(" {}\n", STANDARD.encode([1; 32]));
        let key = MasterKey::from_base64(&text).unwrap();
        assert_eq!(key.id(), MasterKey::from_bytes([1; 32]).id());
        assert_ne!(key.derive("a"), key.derive("b"));
        for wrong in ["", "AAAA", "not base64"] {
            assert_eq!(
                MasterKey::from_base64(wrong).unwrap_err(),
                VaultError::KeyMalformed
            );
        }
    }
}

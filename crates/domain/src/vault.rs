//! Secrets at rest, in envelopes: each secret is sealed under a key of its own,
//! and that key under the deployment's master key. Both stand in one piece, so
//! whoever has the master key opens it, and a change of the master key seals
//! the small keys anew and leaves the secrets closed.

mod master_key;

use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::Timestamp;

pub use master_key::{MasterKey, VaultError};
use master_key::{NONCE_BYTES, TAG_BYTES};

/// The first byte of an envelope. What does not begin with it, or is no
/// envelope all the same, was sealed under the master key itself.
const ENVELOPE: u8 = 1;
const KEY_BYTES: usize = 32;
/// A sealed key.
const WRAPPED_BYTES: usize = NONCE_BYTES + KEY_BYTES + TAG_BYTES;
/// Sets a sealed key apart from a sealed secret.
const PURPOSE: &[u8] = b" key";

/// Random bytes that an envelope needs: a key and two nonces.
pub const RANDOM_BYTES: usize = KEY_BYTES + 2 * NONCE_BYTES;

/// More master keys than a rotation could leave behind.
const MAX_KEYS: usize = 8;

/// A secret that only a master key opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// Which master key: [`MasterKey::id`].
    pub master_key_id: String,
    /// What [`Vault::seal`] made.
    pub sealed: Bytes,
    /// The end of an old secret's grace period; `None` for the current one.
    pub valid_until: Option<Timestamp>,
}

/// Something sealed, and under which master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub master_key_id: String,
    pub bytes: Bytes,
}

/// The master keys that open, one of which seals. They may change while it is
/// used.
#[derive(Debug)]
pub struct Vault(RwLock<Ring>);

#[derive(Debug)]
struct Ring {
    /// At least one.
    keys: Vec<MasterKey>,
    /// The place of the one that seals.
    sealing: usize,
    /// Counts the changes of `keys`.
    generation: u64,
}

impl Vault {
    /// The keys of a text: base64, separated by white space or commas. The first
    /// one seals.
    ///
    /// # Errors
    ///
    /// [`VaultError::KeyMalformed`], also if there is none or there are more
    /// than 8.
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        Ok(Self::new(parse(text)?))
    }

    /// The first of `keys`, of which there is one at least, seals.
    fn new(keys: Vec<MasterKey>) -> Self {
        Self(RwLock::new(Ring {
            keys,
            sealing: 0,
            generation: 0,
        }))
    }

    /// Uses the keys of another text from now on. What seals stays, if it is
    /// among them.
    ///
    /// # Errors
    ///
    /// As [`Vault::parse`]; then nothing has changed.
    pub fn replace(&self, text: &str) -> Result<(), VaultError> {
        let keys = parse(text)?;
        let mut ring = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let sealing = ring.keys[ring.sealing].id();
        ring.sealing = place(&keys, &sealing).unwrap_or(0);
        ring.keys = keys;
        ring.generation += 1;
        Ok(())
    }

    /// Seals with the key of this id from now on; false if there is none.
    pub fn seal_with(&self, id: &str) -> bool {
        let mut ring = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(sealing) = place(&ring.keys, id) else {
            return false;
        };
        ring.sealing = sealing;
        true
    }

    /// The key that seals.
    #[must_use]
    pub fn sealing(&self) -> MasterKey {
        self.read(|ring| ring.keys[ring.sealing].clone())
    }

    /// All keys, in the order they were given.
    #[must_use]
    pub fn keys(&self) -> Vec<MasterKey> {
        self.read(|ring| ring.keys.clone())
    }

    /// Another number whenever the keys have changed: what did not open may open
    /// now.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.read(|ring| ring.generation)
    }

    /// Seals `plaintext` for `owner`; nobody can pass it off as another's. The
    /// random bytes must never be used again.
    #[must_use]
    pub fn seal(&self, plaintext: &[u8], owner: &[u8], random: [u8; RANDOM_BYTES]) -> Sealed {
        let random = Zeroizing::new(random);
        let (key, nonces) = random.split_at(KEY_BYTES);
        let (outer, inner) = nonces.split_at(NONCE_BYTES);
        let master = self.sealing();
        let wrapped = master.seal(key, &of_key(owner), array(outer));
        let content = MasterKey::from_bytes(array(key)).seal(plaintext, owner, array(inner));
        Sealed {
            master_key_id: master.id(),
            bytes: [&[ENVELOPE], wrapped.as_slice(), &content].concat().into(),
        }
    }

    /// Opens what was sealed for `owner` under any of the keys.
    ///
    /// # Errors
    ///
    /// [`VaultError::NotOpened`].
    pub fn open(&self, sealed: &[u8], owner: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        self.read(|ring| {
            let opened = ring.keys.iter().find_map(|master| {
                let inner = unwrap(master, sealed, owner).and_then(|(key, content)| {
                    let opened = key.open(content, owner);
                    opened.ok()
                });
                inner.or_else(|| master.open(sealed, owner).ok())
            });
            opened.ok_or(VaultError::NotOpened)
        })
    }

    /// The same secret under the key that seals now. The secret itself stays
    /// closed, unless it was sealed without an envelope.
    ///
    /// # Errors
    ///
    /// [`VaultError::NotOpened`].
    pub fn seal_anew(
        &self,
        sealed: &[u8],
        owner: &[u8],
        random: [u8; RANDOM_BYTES],
    ) -> Result<Sealed, VaultError> {
        let keys = self.keys();
        let found = keys.iter().find_map(|old| unwrap(old, sealed, owner));
        let Some((key, content)) = found else {
            let plaintext = self.open(sealed, owner)?;
            return Ok(self.seal(&plaintext, owner, random));
        };
        let master = self.sealing();
        let nonce = array(&random[..NONCE_BYTES]);
        let wrapped = master.seal(key.as_bytes(), &of_key(owner), nonce);
        Ok(Sealed {
            master_key_id: master.id(),
            bytes: [&[ENVELOPE], wrapped.as_slice(), content].concat().into(),
        })
    }

    fn read<T>(&self, read: impl FnOnce(&Ring) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl From<MasterKey> for Vault {
    fn from(key: MasterKey) -> Self {
        Self::new(vec![key])
    }
}

/// The key of an envelope, and what it seals.
fn unwrap<'a>(master: &MasterKey, sealed: &'a [u8], owner: &[u8]) -> Option<(MasterKey, &'a [u8])> {
    let (version, rest) = sealed.split_first()?;
    let (wrapped, content) = rest.split_at_checked(WRAPPED_BYTES)?;
    if *version != ENVELOPE {
        return None;
    }
    let key = master.open(wrapped, &of_key(owner)).ok()?;
    Some((
        MasterKey::from_bytes(key.as_slice().try_into().ok()?),
        content,
    ))
}

fn of_key(owner: &[u8]) -> Vec<u8> {
    [owner, PURPOSE].concat()
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the lengths are constants")
}

fn place(keys: &[MasterKey], id: &str) -> Option<usize> {
    keys.iter().position(|key| key.id() == id)
}

fn parse(text: &str) -> Result<Vec<MasterKey>, VaultError> {
    let parts = text.split(|c: char| c.is_whitespace() || c == ',');
    let keys = parts
        .filter(|part| !part.is_empty())
        .map(MasterKey::from_base64)
        .collect::<Result<Vec<_>, _>>()?;
    if (1..=MAX_KEYS).contains(&keys.len()) {
        return Ok(keys);
    }
    Err(VaultError::KeyMalformed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OLD: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    const NEW: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

    fn random(byte: u8) -> [u8; RANDOM_BYTES] {
        let mut random = [byte; RANDOM_BYTES];
        random[..KEY_BYTES].fill(byte.wrapping_add(100));
        random
    }

    #[test]
    fn a_secret_is_opened_by_its_owner_only() {
        let vault = Vault::parse(OLD).unwrap();
        let sealed = vault.seal(b"whsec_", b"ep_1", random(3));
        assert_eq!(sealed.master_key_id, vault.sealing().id());
        assert_eq!(*vault.open(&sealed.bytes, b"ep_1").unwrap(), b"whsec_");
        assert_eq!(
            vault.open(&sealed.bytes, b"ep_2"),
            Err(VaultError::NotOpened)
        );
        let mut altered = sealed.bytes.to_vec();
        for place in 0..altered.len() {
            altered[place] ^= 1;
            assert!(vault.open(&altered, b"ep_1").is_err(), "{place}");
            altered[place] ^= 1;
        }
        assert!(!sealed.bytes.windows(6).any(|part| part == b"whsec_"));
    }

    #[test]
    fn what_was_sealed_without_an_envelope_opens_too() {
        let vault = Vault::parse(OLD).unwrap();
        let direct = vault.sealing().seal(b"whsec_", b"ep_1", [1; 24]);
        assert_eq!(*vault.open(&direct, b"ep_1").unwrap(), b"whsec_");
        let anew = vault.seal_anew(&direct, b"ep_1", random(5)).unwrap();
        assert_eq!(anew.bytes[0], ENVELOPE);
        assert_eq!(*vault.open(&anew.bytes, b"ep_1").unwrap(), b"whsec_");
    }

    #[test]
    fn a_rotation_leaves_nothing_to_the_old_key() {
        let vault = Vault::parse(&format!("{OLD}\n{NEW}\n")).unwrap();
        let old = vault.seal(b"whsec_", b"ep_1", random(3));
        let (old_id, new_id) = (vault.keys()[0].id(), vault.keys()[1].id());
        assert_eq!(old.master_key_id, old_id);
        assert!(!vault.seal_with("another") && vault.seal_with(&new_id));
        let new = vault.seal_anew(&old.bytes, b"ep_1", random(7)).unwrap();
        assert_eq!(new.master_key_id, new_id);
        let generation = vault.generation();
        vault.replace(NEW).unwrap();
        assert_ne!(vault.generation(), generation);
        assert_eq!(vault.sealing().id(), new_id);
        assert_eq!(*vault.open(&new.bytes, b"ep_1").unwrap(), b"whsec_");
        assert!(vault.open(&old.bytes, b"ep_1").is_err());
    }

    #[test]
    fn keys_that_cannot_be_read_change_nothing() {
        let vault = Vault::parse(OLD).unwrap();
        for wrong in [
            "",
            " , ",
            "short",
            &format!("{OLD},x"),
            &format!("{OLD} ").repeat(9),
        ] {
            assert!(vault.replace(wrong).is_err(), "{wrong}");
        }
        assert_eq!(vault.generation(), 0);
    }
}

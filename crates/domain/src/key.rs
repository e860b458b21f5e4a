//! API keys: `pr_<kind>_<id>_<secret><check>`, and who may do what.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use crate::audit::Origin;
use crate::delivery::words;
use crate::problem::{Problem, Reason};
use crate::vault::MasterKey;
use crate::{AccountId, Timestamp};

/// Longer tokens are not looked at.
const MAX_TOKEN_BYTES: usize = 256;

/// Shorter tokens of an operator's own making are too easy to guess.
pub const MIN_OWN_TOKEN_BYTES: usize = 16;

const ID_CHARS: usize = 16;
const MASTER_ID_CHARS: usize = 8;
const SECRET_CHARS: usize = 64;
const CHECK_CHARS: usize = 8;

words! {
    /// What a key is for.
    Scope {
        /// Everything, in one account or in all.
        Admin "admin",
        /// Publishing only.
        Publish "publish",
        /// Reading everything but secrets.
        Read "read",
        /// The roles among themselves.
        Service "service",
    }
}

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// To publish events.
    Publish,
    /// To read anything but secrets.
    Read,
    /// To change things, or read secrets.
    Admin,
    /// To be one of the roles.
    Service,
}

/// How the ids of the keys begin that the roles show each other; there is one
/// for each master key.
const SERVICE_KEY_ID: &str = "service-";

/// What the master key derives the roles' key from.
const SERVICE_LABEL: &str = "postrider service identity v1";

/// Makes keys. A key itself is only ever a string: it is shown once, then
/// nothing but its hash is kept.
#[derive(Debug)]
pub enum ApiKey {}

impl ApiKey {
    /// The id and the token of a key made of random bytes. The id is a part of
    /// their SHA-256, which does not give them away.
    #[must_use]
    pub fn generate(scope: Scope, random: [u8; 32]) -> (String, String) {
        let id = hex::encode(&Sha256::digest(random)[..ID_CHARS / 2]);
        let token = assemble(scope, &id, &random);
        (id, token)
    }

    /// The id and the token that the roles show each other. Every process that has the
    /// master key knows it.
    #[must_use]
    pub fn service(master_key: &MasterKey) -> (String, String) {
        let id = format!("{SERVICE_KEY_ID}{}", master_key.id());
        let secret = master_key.derive(SERVICE_LABEL);
        let token = assemble(Scope::Service, &id, &secret);
        (id, token)
    }
}

fn assemble(scope: Scope, id: &str, secret: &[u8; 32]) -> String {
    let stem = format!("pr_{scope}_{id}_{}", hex::encode(secret));
    let check = crc32fast::hash(stem.as_bytes());
    format!("{stem}{check:08x}")
}

/// SHA-256 of the whole token, which is all that is kept of it.
#[must_use]
pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The id under which a token's record is kept. A token of our form carries
/// it; one of an operator's own making is kept under a part of its hash.
/// `None`: mistyped (the check digits tell), or nothing that can be a token.
#[must_use]
pub fn lookup_id(token: &str) -> Option<String> {
    if token.len() > MAX_TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    if let Some(rest) = token.strip_prefix("pr_") {
        let (kind, rest) = rest.split_once('_')?;
        let (id, secret) = rest.split_once('_')?;
        let hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let id_formed = match kind.parse::<Scope>().ok()? {
            Scope::Service => id
                .strip_prefix(SERVICE_KEY_ID)
                .is_some_and(|master| master.len() == MASTER_ID_CHARS && hex(master)),
            _ => id.len() == ID_CHARS && hex(id),
        };
        let formed = id_formed && secret.len() == SECRET_CHARS + CHECK_CHARS && hex(secret);
        if !formed {
            return None;
        }
        let (stem, check) = token.split_at(token.len() - CHECK_CHARS);
        return (format!("{:08x}", crc32fast::hash(stem.as_bytes())) == check)
            .then(|| id.to_owned());
    }
    (token.len() >= MIN_OWN_TOKEN_BYTES).then(|| format!("x{}", &hex::encode(hash(token))[..32]))
}

/// What is kept of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    pub id: String,
    pub version: u64,
    /// See [`hash`].
    pub hash: [u8; 32],
    pub scope: Scope,
    /// `None`: all accounts.
    pub account: Option<AccountId>,
    /// `None`: never.
    pub expires_at: Option<Timestamp>,
}

impl KeyRecord {
    /// Whether the token is this key, and still holds. Takes the same time
    /// whatever the token.
    #[must_use]
    pub fn verify(&self, token: &str, now: Timestamp) -> bool {
        let same = bool::from(self.hash.ct_eq(&hash(token)));
        same && self.holds(now)
    }

    /// Whether the key has not expired.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// Who shows this key.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity {
            key_id: self.id.clone(),
            scope: self.scope,
            account: self.account.clone(),
            origin: Origin::default(),
        }
    }
}

/// The answer to a call without a key that holds.
#[must_use]
pub fn invalid_key() -> Problem {
    Problem::new(
        Reason::KeyInvalid,
        "send `authorization: Bearer <key>` with a key that exists, is not revoked and has not \
         expired",
    )
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub key_id: String,
    pub scope: Scope,
    /// `None`: all accounts.
    pub account: Option<AccountId>,
    /// Where the call comes from.
    pub origin: Origin,
}

impl Identity {
    /// The same caller, coming from there.
    #[must_use]
    pub fn coming_from(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// Whether the caller may do this in this account.
    ///
    /// # Errors
    ///
    /// [`Reason::AccountNotFound`] for another account than the key's,
    /// [`Reason::ScopeInsufficient`].
    pub fn authorise(&self, account: &AccountId, need: Need) -> Result<(), Problem> {
        if self.account.as_ref().is_some_and(|own| own != account) {
            return Err(Problem::new(
                Reason::AccountNotFound,
                "this key belongs to another account; use that account's key",
            ));
        }
        self.authorise_scope(need)
    }

    /// Whether the caller may do this in all accounts.
    ///
    /// # Errors
    ///
    /// [`Reason::ScopeInsufficient`].
    pub fn authorise_everywhere(&self, need: Need) -> Result<(), Problem> {
        if self.account.is_some() {
            return Err(Problem::new(
                Reason::ScopeInsufficient,
                "this key is bound to one account; use an admin key of all accounts",
            ));
        }
        self.authorise_scope(need)
    }

    /// Whether the key's scope allows this, wherever it is.
    ///
    /// # Errors
    ///
    /// [`Reason::ScopeInsufficient`].
    pub fn authorise_scope(&self, need: Need) -> Result<(), Problem> {
        let allowed = match self.scope {
            Scope::Service => true,
            Scope::Admin => need != Need::Service,
            Scope::Publish => need == Need::Publish,
            Scope::Read => need == Need::Read,
        };
        if allowed {
            return Ok(());
        }
        let wanted = match need {
            Need::Publish => "publish or admin",
            Need::Read => "read or admin",
            Need::Admin => "admin",
            Need::Service => "service",
        };
        Err(Problem::new(
            Reason::ScopeInsufficient,
            format!(
                "this key has the scope {} and the call needs {wanted}",
                self.scope
            ),
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_carries_its_id_and_its_check() {
        let (id, token) = ApiKey::generate(Scope::Publish, [2; 32]);
        assert_eq!(lookup_id(&token), Some(id));
        for position in 0..token.len() {
            let mut mistyped = token.clone();
            let other = if token[position..].starts_with('0') {
                "1"
            } else {
                "0"
            };
            mistyped.replace_range(position..=position, other);
            // Without our prefix it could be an operator's own.
            let found = lookup_id(&mistyped).filter(|_| position > 2);
            assert_eq!(found, None, "{mistyped}");
        }
        let (id, token) = ApiKey::service(&MasterKey::from_bytes([1; 32]));
        assert_eq!(lookup_id(&token), Some(id));
        for wrong in [
            "",
            "pr_",
            "pr_admin_1_2",
            "short",
            "a b c d e f g h i j",
            &"x".repeat(257),
        ] {
            assert_eq!(lookup_id(wrong), None, "{wrong}");
        }
        assert_eq!(lookup_id("an-operators-own-key").unwrap().len(), 33);
    }

    #[test]
    fn only_the_right_token_holds_and_only_in_time() {
        let (id, token) = ApiKey::generate(Scope::Read, [2; 32]);
        let end = Timestamp::from_unix_millis(1_000);
        let record = KeyRecord {
            id,
            version: 1,
            hash: hash(&token),
            scope: Scope::Read,
            account: None,
            expires_at: Some(end),
        };
        assert!(record.verify(&token, Timestamp::from_unix_millis(999)));
        assert!(!record.verify(&token, end));
        assert!(record.holds(Timestamp::from_unix_millis(999)) && !record.holds(end));
        assert!(!record.verify("another", Timestamp::from_unix_millis(0)));
    }

    #[test]
    fn a_key_does_what_its_scope_says_where_it_belongs() {
        let account = AccountId::parse("acme").unwrap();
        let other = AccountId::parse("other").unwrap();
        let needs = [Need::Publish, Need::Read, Need::Admin, Need::Service];
        let allowed = |scope| {
            let identity = Identity {
                key_id: String::new(),
                scope,
                account: None,
                origin: Origin::default(),
            };
            needs.map(|need| identity.authorise(&account, need).is_ok())
        };
        assert_eq!(allowed(Scope::Admin), [true, true, true, false]);
        assert_eq!(allowed(Scope::Publish), [true, false, false, false]);
        assert_eq!(allowed(Scope::Read), [false, true, false, false]);
        assert_eq!(allowed(Scope::Service), [true, true, true, true]);
        let bound = Identity {
            key_id: String::new(),
            scope: Scope::Admin,
            account: Some(account.clone()),
            origin: Origin::default(),
        };
        assert!(bound.authorise(&account, Need::Admin).is_ok());
        let refused = bound.authorise(&other, Need::Read).unwrap_err();
        assert_eq!(refused.reason, Reason::AccountNotFound);
        assert!(bound.authorise_everywhere(Need::Admin).is_err());
    }
}

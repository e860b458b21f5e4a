//! Sessions of people at the dashboard. A session is a sealed note: every
//! replica opens it and none keeps it. It names a key and holds no longer than
//! that key does.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::audit::{Action, Origin};
use domain::key::{Identity, Need, Scope, invalid_key};
use domain::{AccountId, Problem, Reason, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Control, now};

/// A working day.
const OPERATOR_TTL: Duration = Duration::from_secs(12 * 3_600);
const PORTAL_TTL: Duration = Duration::from_secs(3_600);
const MAX_PORTAL_TTL: Duration = Duration::from_secs(24 * 3_600);

/// What a note is sealed for: a link is no cookie and a cookie no link.
const LINK: &[u8] = b"postrider portal link v1";
const COOKIE: &[u8] = b"postrider dashboard session v1";

/// What stands in a sealed note.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    key_id: String,
    /// The only account that it opens; `None` leaves that to the key.
    portal: Option<String>,
    expires_at_millis: i64,
}

/// A link to the dashboard for one account.
#[derive(Debug)]
pub(crate) struct PortalSession {
    pub(crate) url: String,
    pub(crate) expires_at: Timestamp,
}

/// A session that has begun.
#[derive(Debug)]
pub(crate) struct Started {
    /// For the cookie.
    pub(crate) token: String,
    pub(crate) lasts: Duration,
    /// Where a session of one account belongs.
    pub(crate) account: Option<AccountId>,
}

/// A session that holds.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) identity: Identity,
    /// A customer came in by a link, not the operator with a key.
    pub(crate) portal: bool,
}

impl Control {
    /// Begins a session with a key that may read.
    pub(crate) async fn sign_in(&self, key: &str, origin: Origin) -> Result<Started, Problem> {
        let identity = self.authenticate(Some(key)).await?.coming_from(origin);
        if !matches!(identity.scope, Scope::Admin | Scope::Read) {
            let detail = "use a key of the scope admin or read";
            return Err(Problem::new(Reason::ScopeInsufficient, detail));
        }
        let account = identity.account.as_ref();
        self.note(&identity, account, Action::SignedIn, "").await;
        let note = Note {
            key_id: identity.key_id,
            portal: None,
            expires_at_millis: now().plus(OPERATOR_TTL).unix_millis(),
        };
        Ok(Started {
            token: self.seal_note(&note, COOKIE),
            lasts: OPERATOR_TTL,
            account: identity.account,
        })
    }

    /// Makes a link that opens this account's dashboard, for `ttl_seconds` (an
    /// hour unless given) at most and while the caller's key holds.
    pub(crate) async fn open_portal(
        &self,
        identity: &Identity,
        account: &AccountId,
        ttl_seconds: Option<u32>,
    ) -> Result<PortalSession, Problem> {
        identity.authorise(account, Need::Admin)?;
        let ttl = ttl_seconds.map_or(PORTAL_TTL, |seconds| Duration::from_secs(seconds.into()));
        if ttl.is_zero() || ttl > MAX_PORTAL_TTL {
            let message = "use 1 to 86400 seconds, a day";
            return Err(Problem::of_field(
                Reason::FieldInvalid,
                "ttl_seconds",
                message,
            ));
        }
        let expires_at = now().plus(ttl);
        let action = Action::PortalOpened;
        self.note(identity, Some(account), action, "").await;
        let note = Note {
            key_id: identity.key_id.clone(),
            portal: Some(account.to_string()),
            expires_at_millis: expires_at.unix_millis(),
        };
        let base = self.public_url().trim_end_matches('/');
        Ok(PortalSession {
            url: format!("{base}/portal/{}", self.seal_note(&note, LINK)),
            expires_at,
        })
    }

    /// Exchanges a portal link for a session that ends when the link does.
    pub(crate) async fn enter_portal(&self, link: &str) -> Result<Started, Problem> {
        let note = self.open_note(link, LINK)?;
        let session = self.check_note(&note).await?;
        let end = Timestamp::from_unix_millis(note.expires_at_millis);
        Ok(Started {
            token: self.seal_note(&note, COOKIE),
            lasts: end.since(now()),
            account: session.identity.account,
        })
    }

    /// The session of a cookie, while it and its key hold.
    pub(crate) async fn session(&self, token: &str) -> Result<Session, Problem> {
        let note = self.open_note(token, COOKIE)?;
        self.check_note(&note).await
    }

    /// Where people reach this service.
    pub(crate) fn public_url(&self) -> &str {
        &self.0.config.public_url
    }

    async fn check_note(&self, note: &Note) -> Result<Session, Problem> {
        let mut identity = self.0.deps.keys.identity_of(&note.key_id, now()).await?;
        if let Some(account) = &note.portal {
            let account = AccountId::parse(account)?;
            identity.authorise(&account, Need::Admin)?;
            identity.account = Some(account);
        }
        Ok(Session {
            identity,
            portal: note.portal.is_some(),
        })
    }

    fn seal_note(&self, note: &Note, purpose: &[u8]) -> String {
        let text = serde_json::to_vec(note).expect("a note is JSON");
        let key = self.0.deps.vault.sealing();
        let sealed = key.seal(&text, purpose, rand::random());
        URL_SAFE_NO_PAD.encode(sealed)
    }

    fn open_note(&self, token: &str, purpose: &[u8]) -> Result<Note, Problem> {
        let sealed = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid_key())?;
        let opened = self.0.deps.vault.open(&sealed, purpose);
        let text = opened.map_err(|_| invalid_key())?;
        let note: Note = serde_json::from_slice(&text).map_err(|_| invalid_key())?;
        if Timestamp::from_unix_millis(note.expires_at_millis) <= now() {
            return Err(invalid_key());
        }
        Ok(note)
    }
}

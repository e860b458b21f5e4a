//! Who changed what, when and from where.

use std::net::IpAddr;

use uuid::Uuid;

use crate::delivery::words;
use crate::key::Identity;
use crate::{AccountId, Timestamp};

words! {
    /// The door that a change came through.
    Via {
        /// The REST API.
        Rest "rest",
        /// gRPC.
        Grpc "grpc",
        /// The operator's dashboard.
        Dashboard "dashboard",
        /// A customer's dashboard, by a portal link.
        Portal "portal",
        /// A command beside the database.
        Command "command",
        /// Postrider's own doing.
        Itself "postrider",
    }

    /// What was done.
    Action {
        /// An endpoint was registered.
        EndpointCreated "endpoint.created",
        /// An endpoint was changed.
        EndpointUpdated "endpoint.updated",
        /// An endpoint was enabled.
        EndpointEnabled "endpoint.enabled",
        /// An endpoint was disabled.
        EndpointDisabled "endpoint.disabled",
        /// An endpoint was deleted.
        EndpointDeleted "endpoint.deleted",
        /// Somebody read a signing secret.
        SecretShown "endpoint.secret_shown",
        /// A signing secret was replaced.
        SecretRegenerated "endpoint.secret_regenerated",
        /// A challenge was sent, for the endpoint to echo.
        EndpointChallenged "endpoint.challenged",
        /// An endpoint has echoed a challenge.
        EndpointVerified "endpoint.verified",
        /// A test event was sent.
        EndpointTested "endpoint.tested",
        /// An event was sent again.
        EventResent "event.resent",
        /// A span of events is sent again.
        ReplayStarted "replay.started",
        /// A replay was stopped.
        ReplayCancelled "replay.cancelled",
        /// Events are to be forgotten.
        ErasureStarted "erasure.started",
        /// Events or what became of them are kept for another time.
        RetentionUpdated "retention.updated",
        /// An event type was registered.
        EventTypeCreated "event_type.created",
        /// A key was made.
        KeyCreated "key.created",
        /// A key was revoked.
        KeyRevoked "key.revoked",
        /// A link for a customer was made.
        PortalOpened "portal_session.created",
        /// Somebody signed in to the dashboard.
        SignedIn "session.started",
        /// All secrets were put under another master key.
        MasterKeyRotated "master_key.rotated",
    }
}

/// Where a call comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    pub via: Via,
    /// The network address of whoever called; `None` if nobody did.
    pub address: Option<IpAddr>,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            via: Via::Itself,
            address: None,
        }
    }
}

/// One thing that somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: Uuid,
    pub at: Timestamp,
    /// The account it was done in; `None`: not in one.
    pub account: Option<AccountId>,
    /// The key that was shown, or that made the portal link; empty if none was.
    pub key_id: String,
    pub origin: Origin,
    pub action: Action,
    /// The id or name of what it was done to; may be empty.
    pub target: String,
    /// More words, e.g. the names of the fields that changed; never a value.
    pub detail: String,
}

impl Entry {
    /// What `identity` does now.
    #[must_use]
    pub fn new(identity: &Identity, action: Action, target: &str, now: Timestamp) -> Self {
        Self {
            id: Uuid::now_v7(),
            at: now,
            account: identity.account.clone(),
            key_id: identity.key_id.clone(),
            origin: identity.origin,
            action,
            target: target.to_owned(),
            detail: String::new(),
        }
    }

    /// What Postrider does now by itself.
    #[must_use]
    pub fn of_itself(action: Action, target: &str, now: Timestamp) -> Self {
        Self {
            id: Uuid::now_v7(),
            at: now,
            account: None,
            key_id: String::new(),
            origin: Origin::default(),
            action,
            target: target.to_owned(),
            detail: String::new(),
        }
    }

    /// The same, in this account.
    #[must_use]
    pub fn within(mut self, account: &AccountId) -> Self {
        self.account = Some(account.clone());
        self
    }

    /// The same, with more words.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

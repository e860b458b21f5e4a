use std::time::{Duration, SystemTime};

use bytes::Bytes;
use domain::AccountId;
use domain::audit::Action;
use domain::key::{Identity, Scope};
use proto::pipeline::NoteAudit;
use tokio::time::timeout;
use tracing::warn;
use uuid::Uuid;

use super::Service;

/// The answer waits for the note this long.
const PATIENCE: Duration = Duration::from_secs(2);

impl Service {
    /// Tells control's audit log what the caller did here. What control itself
    /// calls for, it notes itself. It is done already: an outage cannot undo it.
    pub(super) async fn note(
        &self,
        identity: &Identity,
        account: &AccountId,
        action: Action,
        target: &str,
    ) {
        if identity.scope == Scope::Service {
            return;
        }
        let address = identity.origin.address.map(|address| address.to_string());
        let note = NoteAudit {
            id: Bytes::copy_from_slice(Uuid::now_v7().as_bytes()),
            at: domain::Timestamp::from(SystemTime::now()).unix_millis(),
            account: account.to_string(),
            key_id: identity.key_id.clone(),
            address: address.unwrap_or_default(),
            action: action.to_string(),
            target: target.to_owned(),
            detail: String::new(),
        };
        let told = timeout(PATIENCE, self.0.deps.broker.send_audit(note)).await;
        if !matches!(told, Ok(Ok(()))) {
            warn!(%action, target, key_id = identity.key_id, "an action is not in the audit log");
        }
    }
}

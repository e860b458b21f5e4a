use std::time::Duration;

use domain::audit::Action;
use domain::key::{Identity, Need};
use domain::signature::Secret;
use domain::vault::SealedSecret;
use domain::{AccountId, EndpointId, Problem, Reason};
use store::{EndpointUpdate, Mark};
use tracing::error;

use super::super::{Control, database, now};
use super::not_found;

/// An old secret stays valid for a week at most.
const MAX_GRACE: Duration = Duration::from_secs(7 * 86_400);

impl Control {
    /// The current secret, for its owner's eyes.
    pub(crate) async fn secret(
        &self,
        identity: &Identity,
        account: &AccountId,
        id: EndpointId,
    ) -> Result<String, Problem> {
        identity.authorise(account, Need::Admin)?;
        let row = self.find(account, id).await?;
        let current = row
            .endpoint
            .secrets
            .iter()
            .find(|secret| secret.valid_until.is_none());
        let opened =
            current.and_then(|secret| self.0.deps.vault.open(&secret.sealed, id.as_bytes()).ok());
        let text = opened.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
        let (action, target) = (Action::SecretShown, id.to_string());
        self.note(identity, Some(account), action, &target).await;
        text.ok_or_else(|| {
            error!(endpoint = %id, "the master key does not open a secret");
            let detail =
                "the secret cannot be read; ask the operator whether the master key changed";
            Problem::new(Reason::Internal, detail)
        })
    }

    /// Makes a new secret; the old one stays valid beside it for `grace`.
    pub(crate) async fn regenerate_secret(
        &self,
        identity: &Identity,
        account: &AccountId,
        id: EndpointId,
        grace: Duration,
    ) -> Result<String, Problem> {
        identity.authorise(account, Need::Admin)?;
        if grace > MAX_GRACE {
            let message = "use 0 to 604800 seconds, a week";
            return Err(Problem::of_field(
                Reason::FieldInvalid,
                "grace_period_seconds",
                message,
            ));
        }
        self.find(account, id).await?;
        let mark = Mark::Endpoint(account.clone(), id);
        self.check_broker(&mark).await?;
        let secret = Secret::from_random(rand::random());
        let until = (!grace.is_zero()).then(|| now().plus(grace));
        let update = EndpointUpdate {
            secret: Some((self.seal(id, &secret), until)),
            ..EndpointUpdate::default()
        };
        let (action, target) = (Action::SecretRegenerated, id.to_string());
        let row = self
            .noting(identity, Some(account), action, &target, "")
            .update_endpoint(account, id, &update, None, now())
            .await;
        row.map_err(|error| database(&error))?
            .ok_or_else(not_found)?;
        self.announce(&mark).await?;
        Ok(secret.expose().to_owned())
    }

    pub(super) fn new_secret(&self, id: EndpointId) -> SealedSecret {
        self.seal(id, &Secret::from_random(rand::random()))
    }

    fn seal(&self, id: EndpointId, secret: &Secret) -> SealedSecret {
        let vault = &self.0.deps.vault;
        let text = secret.expose().as_bytes();
        let sealed = vault.seal(text, id.as_bytes(), rand::random());
        SealedSecret {
            master_key_id: sealed.master_key_id,
            sealed: sealed.bytes,
            valid_until: None,
        }
    }
}

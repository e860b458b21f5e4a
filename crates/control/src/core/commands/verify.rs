use domain::audit::{Action, Entry};
use domain::{AccountId, EndpointId};
use proto::DecodeError;
use proto::pipeline::VerifyEndpoint;
use store::{EndpointUpdate, Mark};
use tokio::time::sleep;
use tracing::{info, warn};

use super::super::{Control, now};
use super::{PAUSE, Refusal};

impl Control {
    /// An endpoint whose URL is still the one that has echoed its challenge gets
    /// events from now on. May be repeated.
    pub(super) async fn verify_as_told(&self, command: VerifyEndpoint) -> Result<(), Refusal> {
        let account =
            AccountId::parse(&command.account).map_err(|_| DecodeError::Field("account"))?;
        let id = EndpointId::from_slice(&command.endpoint_id)
            .map_err(|_| DecodeError::Field("endpoint_id"))?;
        loop {
            match self.try_verify(&account, id, &command.url).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_outage() => sleep(PAUSE).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn try_verify(
        &self,
        account: &AccountId,
        id: EndpointId,
        url: &str,
    ) -> Result<(), store::Error> {
        let update = EndpointUpdate {
            verified_url: Some(url.to_owned()),
            ..EndpointUpdate::default()
        };
        let entry = Entry::of_itself(Action::EndpointVerified, &id.to_string(), now());
        let noting = self.0.deps.registry.noting(entry.within(account));
        let changed = noting
            .update_endpoint(account, id, &update, None, now())
            .await?;
        if changed.is_none() {
            // Deleted, of another URL by now, or verified before.
            return Ok(());
        }
        info!(%account, endpoint = %id, "the endpoint is verified");
        if let Err(problem) = self.announce(&Mark::Endpoint(account.clone(), id)).await {
            warn!(%problem, "the directory will be told later");
        }
        Ok(())
    }
}

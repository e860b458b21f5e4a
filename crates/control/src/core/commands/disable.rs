use bytes::Bytes;
use domain::audit::{Action, Entry};
use domain::operational::{ENDPOINT_DISABLED, EndpointDisabled};
use domain::{AccountId, EndpointId};
use proto::DecodeError;
use proto::pipeline::{DisableEndpoint, RaiseEvent};
use store::{EndpointRow, EndpointUpdate, Mark};
use tokio::time::sleep;
use tracing::{info, warn};

use super::super::{Control, now};
use super::{PAUSE, Refusal};

impl Control {
    /// Disables an endpoint that is still as the command's sender saw it, and
    /// raises an operational event. Both may be repeated.
    pub(super) async fn disable_as_told(&self, command: DisableEndpoint) -> Result<(), Refusal> {
        let account =
            AccountId::parse(&command.account).map_err(|_| DecodeError::Field("account"))?;
        let id = EndpointId::from_slice(&command.endpoint_id)
            .map_err(|_| DecodeError::Field("endpoint_id"))?;
        let disabled = loop {
            match self.try_disable(&account, id, &command).await {
                Ok(disabled) => break disabled,
                Err(error) if error.is_outage() => sleep(PAUSE).await,
                Err(error) => return Err(error.into()),
            }
        };
        match disabled {
            // The message is acked only when this is stored; a crash before that
            // raises it again, as the same event.
            Some(row) if !command.operational => {
                Ok(self.0.deps.broker.send_raise_event(raised(&row)).await?)
            }
            _ => Ok(()),
        }
    }

    /// The endpoint, if this command has disabled it, now or at an earlier try.
    async fn try_disable(
        &self,
        account: &AccountId,
        id: EndpointId,
        command: &DisableEndpoint,
    ) -> Result<Option<EndpointRow>, store::Error> {
        let registry = &self.0.deps.registry;
        let update = EndpointUpdate {
            disabled: Some(Some(command.reason.clone())),
            ..EndpointUpdate::default()
        };
        let version = Some(command.version);
        let entry = Entry::of_itself(Action::EndpointDisabled, &id.to_string(), now());
        let noting = registry.noting(entry.within(account).detail(&command.reason));
        let changed = noting
            .update_endpoint(account, id, &update, version, now())
            .await?;
        if let Some(row) = changed {
            info!(%account, endpoint = %id, "the endpoint is disabled");
            if let Err(problem) = self.announce(&Mark::Endpoint(account.clone(), id)).await {
                warn!(%problem, "the directory will be told later");
            }
            return Ok(Some(row));
        }
        // Otherwise it has changed since: the command does not hold any more.
        let is_its_work = |row: &EndpointRow| {
            row.endpoint.disabled
                && row.endpoint.version == command.version + 1
                && row.endpoint.disabled_reason == command.reason
        };
        Ok(registry.endpoint(account, id).await?.filter(is_its_work))
    }
}

/// The same for each command that has disabled the endpoint this time.
fn raised(row: &EndpointRow) -> RaiseEvent {
    let endpoint = &row.endpoint;
    let disabled = EndpointDisabled {
        endpoint: endpoint.id,
        generation: endpoint.generation,
        url: &endpoint.url,
        description: &row.description,
        reason: &endpoint.disabled_reason,
        disabled_at: row.updated_at,
    };
    RaiseEvent {
        id: Bytes::copy_from_slice(disabled.raise_id().as_bytes()),
        account: endpoint.account.to_string(),
        r#type: ENDPOINT_DISABLED.to_owned(),
        object: disabled.object(),
        about_endpoint_id: Bytes::copy_from_slice(endpoint.id.as_bytes()),
    }
}

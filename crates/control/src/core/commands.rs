//! What other roles ask control to do.

use std::time::Duration;

use broker::{Input, Message};
use domain::{AccountId, EndpointId};
use proto::DecodeError;
use store::{EndpointUpdate, Mark};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Control, now};

const BATCH: usize = 16;
const PAUSE: Duration = Duration::from_secs(1);

impl Control {
    /// Carries out commands until `shutdown` is cancelled.
    pub(super) async fn obey_for_ever(&self, shutdown: &CancellationToken) {
        let mut commands = self.0.deps.broker.consume(Input::Commands);
        loop {
            let messages = tokio::select! {
                messages = commands.next(BATCH) => messages,
                () = shutdown.cancelled() => return,
            };
            for message in messages {
                tokio::select! {
                    () = self.obey(message) => {}
                    // The message comes again, to whoever runs then.
                    () = shutdown.cancelled() => return,
                }
            }
        }
    }

    /// Waits out every outage.
    async fn obey(&self, message: Message) {
        let (account, id, version, reason) = match read(&message) {
            Ok(command) => command,
            Err(error) => return message.terminate(&error).await,
        };
        let update = EndpointUpdate {
            disabled: Some(Some(reason)),
            ..EndpointUpdate::default()
        };
        loop {
            let registry = &self.0.deps.registry;
            match registry
                .update_endpoint(&account, id, &update, Some(version), now())
                .await
            {
                Ok(Some(_)) => {
                    info!(%account, endpoint = %id, "the endpoint is disabled");
                    if let Err(problem) = self.announce(&Mark::Endpoint(account, id)).await {
                        warn!(%problem, "the directory will be told later");
                    }
                    return message.ack().await;
                }
                // It has changed since: the command does not hold any more.
                Ok(None) => return message.ack().await,
                Err(error) if error.is_outage() => sleep(PAUSE).await,
                Err(error) => return message.terminate(&error).await,
            }
        }
    }
}

fn read(message: &Message) -> Result<(AccountId, EndpointId, u64, String), DecodeError> {
    let command = message.disable_endpoint()?;
    Ok((
        AccountId::parse(&command.account).map_err(|_| DecodeError::Field("account"))?,
        EndpointId::from_slice(&command.endpoint_id)
            .map_err(|_| DecodeError::Field("endpoint_id"))?,
        command.version,
        command.reason,
    ))
}

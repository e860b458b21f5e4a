//! A deleted endpoint's scheduled and parked attempts are removed. One that escapes ends
//! as cancelled when it is due.

use std::time::Duration;

use broker::directory::Change;
use broker::{Broker, EndpointDirectory};
use domain::EndpointId;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

const CALL: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);

/// Runs until `shutdown` is cancelled.
pub(crate) async fn run(broker: Broker, endpoints: EndpointDirectory, shutdown: CancellationToken) {
    let mut changes = endpoints.changes();
    let follow = async {
        loop {
            match changes.recv().await {
                Ok(Change::Deleted { id, .. }) => withdraw(&broker, id).await,
                Ok(Change::Updated(_)) => {}
                Err(RecvError::Lagged(missed)) => {
                    warn!(
                        missed,
                        "changes of endpoints came too fast; retries of deleted ones stay"
                    );
                }
                Err(RecvError::Closed) => return,
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = follow => {}
    }
}

/// Repeats through every outage.
async fn withdraw(broker: &Broker, endpoint: EndpointId) {
    loop {
        let both = async {
            broker.cancel_retries(endpoint).await?;
            broker.withdraw_parked(endpoint).await
        };
        match timeout(CALL, both).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                debug!(%error, %endpoint, "cannot remove the retries of {endpoint} yet")
            }
            Err(_) => debug!(%endpoint, "removing the retries of {endpoint} took too long"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

//! What follows from changes of endpoints: a disabled one's waiting deliveries
//! are cancelled, a deleted one's history is erased.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use broker::directory::Change;
use domain::{AccountId, Endpoint, EndpointId};
use store::{Error, History};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Shared;

const CATCH_UP: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(1);

/// Follows the directory until `shutdown` is cancelled.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    tokio::select! {
        () = follow(&shared) => {}
        () = shutdown.cancelled() => {}
    }
}

async fn follow(shared: &Shared) {
    let store = &shared.deps.store;
    // Listening begins before everything is compared, so that nothing is missed.
    let mut changes = shared.deps.endpoints.changes();
    compare_all(shared).await;
    loop {
        match changes.recv().await {
            Ok(Change::Updated(endpoint)) => {
                // Only a disable raises it; cancelling twice changes nothing.
                if endpoint.generation > 0 {
                    insist(|| cancel(store, &endpoint)).await;
                }
            }
            Ok(Change::Deleted { id, account }) => insist(|| erase(shared, &account, id)).await,
            Err(RecvError::Lagged(_)) => compare_all(shared).await,
            // The directory lives as long as the role.
            Err(RecvError::Closed) => return,
        }
    }
}

/// Compares what is recorded with the directory, e.g. after history was down.
async fn compare_all(shared: &Shared) {
    let (store, directory) = (&shared.deps.store, &shared.deps.endpoints);
    loop {
        // What is known is read first: the directory, being newer, then holds
        // every endpoint of it that is not deleted.
        let known = match store.known_endpoints().await {
            Ok(known) => known,
            Err(error) => {
                warn!(%error, "endpoints cannot be compared yet");
                sleep(PAUSE).await;
                continue;
            }
        };
        directory.current().await;
        if directory
            .catch_up(&shared.deps.broker, CATCH_UP)
            .await
            .is_err()
        {
            sleep(PAUSE).await;
            continue;
        }
        let endpoints: HashMap<EndpointId, Arc<Endpoint>> = directory
            .all()
            .into_iter()
            .map(|endpoint| (endpoint.id, endpoint))
            .collect();
        for (id, account, generation) in known {
            match endpoints.get(&id) {
                None => insist(|| erase(shared, &account, id)).await,
                Some(endpoint) if endpoint.generation > generation => {
                    insist(|| cancel(store, endpoint)).await;
                }
                Some(_) => {}
            }
        }
        let left = loop {
            match store.half_erased().await {
                Ok(left) => break left,
                Err(_) => sleep(PAUSE).await,
            }
        };
        for id in left {
            insist(|| store.erase_endpoint(id)).await;
        }
        return;
    }
}

async fn cancel(store: &History, endpoint: &Endpoint) -> Result<(), Error> {
    store
        .cancel_pending(&endpoint.account, endpoint.id, endpoint.generation)
        .await
}

/// Its rows go at once, what streams hold of it in the course of an erasure.
async fn erase(shared: &Shared, account: &AccountId, id: EndpointId) -> Result<(), Error> {
    let store = &shared.deps.store;
    store.bury_endpoint(account, id).await?;
    shared.erase_deleted(account, id).await?;
    store.erase_endpoint(id).await
}

/// Tries until it is done.
async fn insist<W: Future<Output = Result<(), Error>>>(mut work: impl FnMut() -> W) {
    while let Err(error) = work().await {
        warn!(%error, "the history of an endpoint cannot be changed yet");
        sleep(PAUSE).await;
    }
}

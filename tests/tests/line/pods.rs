//! What Kubernetes does with the pods.

use std::sync::Arc;

use anyhow::Result;
use harness::deployment::{Deployment, ROLES};
use harness::suite::Scenario;

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![every_probe_of_a_pod_is_answered]
}

async fn every_probe_of_a_pod_is_answered(deployment: Arc<Deployment>) -> Result<()> {
    for role in ROLES {
        deployment.probe(role).await?;
    }
    Ok(())
}

//! How many partitions standalone makes, and which it keeps.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::deployment::{Deployment, Mode};
use harness::suite::Scenario;
use harness::wait::eventually;

const NAME: &str = "standalone";
const COUNT: &str = "POSTRIDER_PARTITIONS";
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn scenarios() -> Vec<Scenario<()>> {
    harness::scenarios![
        standalone_makes_few_partitions,
        standalone_keeps_the_partitions_that_are_there
    ]
}

async fn standalone_makes_few_partitions((): ()) -> Result<()> {
    let deployment = Deployment::start(Mode::Standalone, &[]).await?;
    owns(&deployment, 4).await
}

/// Those of a folder that an earlier version began, say.
async fn standalone_keeps_the_partitions_that_are_there((): ()) -> Result<()> {
    let deployment = Deployment::start(Mode::Standalone, &[(COUNT, "16")]).await?;
    owns(&deployment, 16).await?;
    deployment.terminate(NAME)?;
    deployment.set(COUNT, "");
    deployment.start_process(NAME).await?;
    deployment.ready(LIMIT).await?;
    owns(&deployment, 16).await
}

async fn owns(deployment: &Deployment, count: u32) -> Result<()> {
    eventually("all partitions are owned", LIMIT, || async {
        let owned = deployment
            .metric(NAME, "postrider_partitions_owned")
            .await?;
        ensure!(owned == f64::from(count), "{owned} are owned");
        Ok(())
    })
    .await
}

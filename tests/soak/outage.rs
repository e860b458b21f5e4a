//! The database away for long: events are accepted and delivered all the time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::deployment::Deployment;
use harness::receiver::Receiver;
use harness::wait::eventually;

/// For what has to happen soon.
const LIMIT: Duration = Duration::from_secs(60);
/// To catch up, for each second that it was away.
const CATCH_UP: u32 = 3;
const LOOK: Duration = Duration::from_secs(5);
/// Messages that no consumer has been given, when all are current.
const CURRENT: f64 = 200.0;

/// Takes it away for so long, looks that all others go on meanwhile, and waits
/// until the history has caught up.
pub(crate) async fn database(
    deployment: &Deployment,
    receiver: &Receiver,
    away: Duration,
) -> Result<()> {
    let came = || receiver.counted("hook", HashMap::len);
    deployment.stop_database().await?;
    let stopped = Instant::now();
    for role in ["control", "history"] {
        let told = eventually("readiness says so", LIMIT, || async {
            let (status, text) = readiness(deployment, role).await?;
            ensure!(status == 503 && text.contains("database"), "{role}: {text}");
            Ok(())
        });
        told.await?;
    }
    while stopped.elapsed() < away {
        let before = came();
        tokio::time::sleep(LOOK).await;
        ensure!(came() > before, "nothing was delivered for {LOOK:?}");
        for role in ["ingest", "fanout", "dispatcher"] {
            let (status, text) = readiness(deployment, role).await?;
            ensure!(status == 200, "{role} waits for the database too: {text}");
        }
    }
    deployment.start_database().await?;
    let back = Instant::now();
    let limit = LIMIT + CATCH_UP * away;
    let current = eventually("history has caught up", limit, || async {
        let pending = "postrider_consumer_pending";
        let pending = deployment.metric("control", pending).await?;
        ensure!(pending < CURRENT, "{pending} messages behind");
        Ok(())
    });
    current.await?;
    println!(
        "          recorded again {:.0} s after it was back",
        back.elapsed().as_secs_f64()
    );
    deployment.ready(LIMIT).await
}

async fn readiness(deployment: &Deployment, role: &str) -> Result<(u16, String)> {
    let answer = reqwest::get(format!("{}/readyz", deployment.admin(role))).await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

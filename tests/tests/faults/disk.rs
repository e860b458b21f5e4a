//! A full disk under the streams and the database.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::deployment::{Deployment, Mode};
use harness::load::endpoint;
use harness::receiver::Receiver;
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::json;

const ACCOUNT: &str = "full";
const MEGABYTES: u32 = 96;
const LIMIT: Duration = Duration::from_secs(60);
const EVENTS: u32 = 50;

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![a_full_disk_refuses_events_and_loses_none]
}

/// nats-server would go on failing when there is room again; it is restarted.
async fn a_full_disk_refuses_events_and_loses_none(_: Mode) -> Result<()> {
    let deployment = Deployment::start_on_small_disk(MEGABYTES).await?;
    let disk = deployment.disk()?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let endpoint = endpoint(&api, ACCOUNT, &receiver).await?;
    let publish = |number: u32| {
        let api = api.clone();
        let object = json!({"n": number, "text": "x".repeat(10_000)});
        async move { api.publish(ACCOUNT, "message.incoming", &object).await }
    };
    let mut accepted = Vec::new();
    for number in 0..EVENTS {
        accepted.push(publish(number).await?);
    }
    disk.fill()?;
    let path = format!("/v1/accounts/{ACCOUNT}/events");
    let body = json!({"type": "message.incoming", "object": {"text": "x".repeat(10_000)}});
    let refused = eventually("events are refused", LIMIT, || api.post(503, &path, &body));
    let problem = refused.await?;
    ensure!(problem["code"] == "BROKER_UNAVAILABLE", "{problem}");
    let said = eventually("the log says why", LIMIT, || async {
        let errors = deployment.errors_logged()?;
        let full = errors.iter().any(|line| line.contains("the disk is full"));
        ensure!(full, "{errors:?}");
        Ok(())
    });
    said.await?;

    disk.free()?;
    let again = eventually("events are accepted again", LIMIT, || publish(EVENTS));
    accepted.push(again.await?);
    let arrived = eventually("every accepted event arrives", LIMIT, || async {
        let received = receiver.received("hook");
        let missing = accepted.iter().filter(|id| {
            let mut ids = received.iter().map(|one| one.header("webhook-id"));
            !ids.any(|found| found == *id)
        });
        let missing = missing.count();
        ensure!(missing == 0, "{missing} are missing");
        Ok(())
    });
    arrived.await?;
    let stats = format!("/v1/accounts/{ACCOUNT}/endpoints/{endpoint}/stats");
    let recorded = eventually("history records again", LIMIT, || async {
        let stats = api.get(&stats).await?;
        let successful = stats["successful"].as_u64().unwrap_or_default();
        ensure!(successful >= u64::from(EVENTS), "{stats}");
        Ok(())
    });
    recorded.await?;
    deployment.all_running()
}

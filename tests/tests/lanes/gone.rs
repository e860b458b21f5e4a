//! An endpoint that says that it is gone.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use harness::deployment::Mode;
use harness::receiver::Answer;
use harness::suite::Scenario;
use harness::wait::throughout;
use serde_json::{Value, json};

use crate::world::{LIMIT, REPORT, World};

const ACCOUNT: &str = "gone";
const EVENTS: usize = 60;
const SLOWLY: Duration = Duration::from_millis(250);

pub(crate) fn scenarios() -> Vec<Scenario<()>> {
    harness::scenarios![a_410_ends_all_that_waits_wherever_it_waits]
}

async fn a_410_ends_all_that_waits_wherever_it_waits((): ()) -> Result<()> {
    let settings = [("POSTRIDER_RETRY_SCHEDULE", "10min")];
    let world = World::start(Mode::Standalone, &settings).await?;
    let receiver = &world.receiver;
    // Two wait for a retry, the others for their turn: some in memory, more
    // where deliveries are parked.
    let slowly = |status| Answer::status(status).after(SLOWLY);
    receiver.script("hook", [slowly(500), slowly(500), slowly(200)]);
    let more = json!({"max_concurrency": 1});
    let endpoint = world.endpoint(ACCOUNT, "hook", more).await?;
    let watched = json!({"event_types": ["endpoint.disabled"]});
    world.endpoint(ACCOUNT, "watcher", watched).await?;
    let events = world.publish(ACCOUNT, REPORT, EVENTS).await?;
    world.waits(ACCOUNT, "throttled").await?;
    receiver.script("hook", [Answer::status(410)]);
    let told = receiver.wait_for("watcher", 1, LIMIT).await?;
    let body: Value = serde_json::from_slice(&told[0].body)?;
    ensure!(
        body["type"] == "endpoint.disabled" && body["data"]["object"]["endpoint_id"] == endpoint,
        "{body}"
    );
    let shown = world.shown(ACCOUNT, &endpoint).await?;
    ensure!(shown["status"] == "disabled", "{shown}");

    let posted = receiver.received("hook").len();
    // All but the two at first and the one that was told.
    let succeeded = posted - 3;
    ensure!(posted < EVENTS, "all {posted} were sent before");
    let counts = [
        ("successful", succeeded),
        ("cancelled", EVENTS - succeeded),
        ("pending", 0),
    ];
    world.counted(ACCOUNT, &endpoint, &counts).await?;
    let mut cancelled = 0;
    for delivery in deliveries(&world, &events).await? {
        if delivery["state"] != "succeeded" {
            ensure!(
                delivery["state"] == "cancelled" && delivery["reason"] == "endpoint_disabled",
                "{delivery}"
            );
            cancelled += 1;
        }
    }
    println!("{succeeded} were delivered, {cancelled} cancelled after the 410");
    throughout("nothing more is sent", Duration::from_secs(2), || async {
        let received = receiver.received("hook").len();
        ensure!(received == posted, "{} more", received - posted);
        ensure!(receiver.received("watcher").len() == 1, "it is told once");
        Ok(())
    })
    .await?;
    world.is_well()
}

async fn deliveries(world: &World, events: &[String]) -> Result<Vec<Value>> {
    let deliveries = events.iter().map(|event| world.delivery(ACCOUNT, event));
    try_join_all(deliveries).await
}

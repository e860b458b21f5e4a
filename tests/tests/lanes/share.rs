//! Accounts share what a dispatcher can have in flight.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use harness::deployment::Mode;
use harness::receiver::Answer;
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::json;

use crate::load::Load;
use crate::world::{LIMIT, REPORT, World, each_once};

const HANGING: usize = 100;
const CONCURRENCY: usize = 50;

pub(crate) fn scenarios() -> Vec<Scenario<()>> {
    harness::scenarios![an_account_that_hangs_leaves_room_for_another]
}

async fn an_account_that_hangs_leaves_room_for_another((): ()) -> Result<()> {
    let settings = [
        ("POSTRIDER_DELIVERY_CONCURRENCY", "50"),
        ("POSTRIDER_DELIVERY_TIMEOUT", "5s"),
        ("POSTRIDER_BREAKER_FAILURES", "0"),
    ];
    let world = World::start(Mode::Standalone, &settings).await?;
    let paths: Vec<String> = (0..HANGING).map(|n| format!("hanging-{n}")).collect();
    for path in &paths {
        let never = Answer::status(200).after(Duration::from_secs(30));
        world.receiver.script(path, [never]);
    }
    try_join_all(
        paths
            .iter()
            .map(|path| world.endpoint("greedy", path, json!({}))),
    )
    .await?;
    world.endpoint("modest", "modest", json!({})).await?;
    world.publish("greedy", REPORT, 10).await?;
    let arrived = || paths.iter().map(|path| world.receiver.received(path).len());
    eventually("the greedy one has its share", LIMIT, || async {
        let arrived: usize = arrived().sum();
        ensure!(arrived >= CONCURRENCY / 2, "{arrived}");
        Ok(())
    })
    .await?;
    let published = Load::run(&world, "modest", 10, Duration::from_secs(8)).await?;
    let in_flight = world
        .deployment
        .metric("standalone", "postrider_attempts_in_flight")
        .await?;
    let received = world
        .receiver
        .wait_for("modest", published.0.len(), LIMIT)
        .await?;
    let latencies = published.latencies(&received)?;
    println!("{in_flight} in flight of {CONCURRENCY}; the other account: {latencies}");
    ensure!(latencies.longest() < Duration::from_secs(1), "{latencies}");
    each_once(&received, &published.ids())?;
    world.is_well()
}

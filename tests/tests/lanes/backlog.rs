//! Very many that wait for one endpoint.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use harness::deployment::Mode;
use harness::receiver::Answer;
use harness::suite::Scenario;
use harness::wait::{eventually, throughout};
use reqwest::Method;
use serde_json::json;

use crate::load::{Latencies, Load};
use crate::world::{LIMIT, REPORT, World};

const ACCOUNT: &str = "hoard";
const HOARDED_TYPE: &str = "form.submitted";
const WAITING: usize = 20_000;
const PER_SECOND: u32 = 20;
const TIME: Duration = Duration::from_secs(4);
/// Of processes built for debugging.
const MOST_MEMORY: u64 = 384 * 1_024 * 1_024;

const PAUSED: u32 = 100;
/// Of 200 MB that wait for them.
const MOST_FOR_PAUSED: u64 = 64 * 1_024 * 1_024;

pub(crate) fn scenarios() -> Vec<Scenario<()>> {
    harness::scenarios![
        many_that_wait_slow_nobody_and_go_with_their_endpoint,
        an_endpoint_deleted_while_it_is_sent_to_leaves_nothing_behind,
        many_paused_endpoints_take_little_memory,
    ]
}

async fn many_that_wait_slow_nobody_and_go_with_their_endpoint((): ()) -> Result<()> {
    let settings = [("POSTRIDER_NATS_SYNC", "1s")];
    let world = World::start(Mode::Processes, &settings).await?;
    let more = json!({"event_types": [HOARDED_TYPE], "rate_limit": 10});
    let hoarder = world.endpoint(ACCOUNT, "hoarder", more).await?;
    world.endpoint(ACCOUNT, "other", json!({})).await?;
    let quiet = latencies(&world).await?;
    memory(&world, "before").await?;
    world.publish(ACCOUNT, HOARDED_TYPE, WAITING).await?;
    let of_hoarder = format!("park.*.{hoarder}");
    eventually("all of them are parked", 3 * LIMIT, || async {
        let left = world.deployment.messages("DELIVERIES", ">").await?;
        ensure!(left == 0, "{left} lists are not");
        Ok(())
    })
    .await?;
    let parked = world.deployment.messages("PARKED", &of_hoarder).await?;
    ensure!(parked > 0, "nothing is parked");
    let beside = latencies(&world).await?;
    memory(&world, "with so many waiting").await?;
    println!("other endpoint: {quiet}; beside {WAITING} that wait: {beside}");
    ensure!(beside.longest() < Duration::from_secs(2), "{beside}");

    let path = format!("/v1/accounts/{ACCOUNT}/endpoints/{hoarder}");
    world.api.expect(204, Method::DELETE, &path, None).await?;
    nothing_waits(&world, &hoarder).await?;
    let after = latencies(&world).await?;
    println!("after it was deleted: {after}");
    world.is_well()
}

/// Attempts are failing and lists being parked when it goes.
async fn an_endpoint_deleted_while_it_is_sent_to_leaves_nothing_behind((): ()) -> Result<()> {
    let settings = [
        ("POSTRIDER_NATS_SYNC", "1s"),
        ("POSTRIDER_RETRY_SCHEDULE", "5s,5s"),
    ];
    let world = World::start(Mode::Processes, &settings).await?;
    let slowly = Answer::status(500).after(Duration::from_millis(20));
    world.receiver.script("failing", [slowly]);
    let endpoint = world.endpoint(ACCOUNT, "failing", json!({})).await?;
    world.publish(ACCOUNT, REPORT, 5_000).await?;
    let path = format!("/v1/accounts/{ACCOUNT}/endpoints/{endpoint}");
    world.api.expect(204, Method::DELETE, &path, None).await?;
    nothing_waits(&world, &endpoint).await?;
    let sent = world.receiver.received("failing").len();
    println!("{sent} of 5000 were sent before it was deleted");
    throughout("nothing more is sent", Duration::from_secs(3), || async {
        let more = world.receiver.received("failing").len() - sent;
        ensure!(more == 0, "{more} more");
        Ok(())
    })
    .await?;
    nothing_waits(&world, &endpoint).await?;
    world.is_well()
}

async fn many_paused_endpoints_take_little_memory((): ()) -> Result<()> {
    let settings = [
        ("POSTRIDER_NATS_SYNC", "1s"),
        ("POSTRIDER_BREAKER_FAILURES", "1"),
        ("POSTRIDER_BREAKER_PROBE_INTERVAL", "10min"),
    ];
    let world = World::start(Mode::Processes, &settings).await?;
    let paths: Vec<String> = (0..PAUSED).map(|n| format!("paused-{n}")).collect();
    for path in &paths {
        world.receiver.script(path, [Answer::status(500)]);
    }
    try_join_all(
        paths
            .iter()
            .map(|path| world.endpoint(ACCOUNT, path, json!({}))),
    )
    .await?;
    world.publish(ACCOUNT, REPORT, 1).await?;
    let paused = async |count: f64| {
        let paused = world
            .deployment
            .metric("dispatcher", "postrider_endpoints_paused")
            .await?;
        ensure!(paused >= count, "{paused} are");
        Ok(())
    };
    eventually("all are paused", LIMIT, || paused(f64::from(PAUSED))).await?;
    let before = world.deployment.resident_bytes("dispatcher").await?;
    world.publish_sized(ACCOUNT, REPORT, 1_000, 2_000).await?;
    eventually("all that waits is parked", 3 * LIMIT, || async {
        let events = world.deployment.messages("EVENTS", ">").await?;
        ensure!(events == 1_001, "{events} events are stored");
        let left = world.deployment.messages("DELIVERIES", ">").await?;
        let parked = world.deployment.messages("PARKED", ">").await?;
        ensure!(left == 0 && parked > 0, "{left} lists are not");
        Ok(())
    })
    .await?;
    // What passed through an allocator it may keep, so the next owner is asked.
    world.deployment.terminate("dispatcher")?;
    world.deployment.start_process("dispatcher").await?;
    world.deployment.process_ready("dispatcher", LIMIT).await?;
    eventually("all are paused again", LIMIT, || paused(f64::from(PAUSED))).await?;
    let after = world.deployment.resident_bytes("dispatcher").await?;
    let grown = after.saturating_sub(before);
    let queued = world
        .deployment
        .metric("dispatcher", "postrider_deliveries_queued")
        .await?;
    println!(
        "1000 events of 2 KB wait for each of {PAUSED} paused endpoints: {queued} in memory, {} MiB more",
        grown >> 20
    );
    ensure!(grown < MOST_FOR_PAUSED, "{grown} bytes more");
    world.is_well()
}

/// Until no stream holds anything for the endpoint. A retry that was scheduled
/// while it was deleted ends when it is due.
async fn nothing_waits(world: &World, endpoint: &str) -> Result<()> {
    eventually("what waited is gone", LIMIT, || async {
        let parked = format!("park.*.{endpoint}");
        let parked = world.deployment.messages("PARKED", &parked).await?;
        let scheduled = format!("retry.at.*.{endpoint}.>");
        let scheduled = world.deployment.messages("RETRIES", &scheduled).await?;
        let left = world.deployment.messages("DELIVERIES", ">").await?;
        ensure!(
            parked == 0 && scheduled == 0 && left == 0,
            "{parked} parked, {scheduled} scheduled, {left} lists"
        );
        Ok(())
    })
    .await
}

/// The other endpoint's.
async fn latencies(world: &World) -> Result<Latencies> {
    let before = world.receiver.received("other").len();
    let published = Load::run(world, ACCOUNT, PER_SECOND, TIME).await?;
    let count = before + published.0.len();
    let received = world.receiver.wait_for("other", count, LIMIT).await?;
    published.latencies(&received)
}

async fn memory(world: &World, when: &str) -> Result<()> {
    for process in ["dispatcher", "nats-server"] {
        let bytes = world.deployment.resident_bytes(process).await?;
        println!("{process} {when}: {} MiB", bytes >> 20);
        ensure!(bytes < MOST_MEMORY, "{process} takes {bytes} bytes");
    }
    Ok(())
}

//! An endpoint that is down gets probes, and comes back slowly.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use domain::Timestamp;
use harness::deployment::Mode;
use harness::receiver::{Answer, Received};
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::json;
use tokio::time::sleep;

use crate::world::{LIMIT, REPORT, World, between, event_of};

const ACCOUNT: &str = "down";
const EVENTS: usize = 300;
/// Lets requests meet at the receiver.
const SLOWLY: Duration = Duration::from_millis(50);

pub(crate) fn scenarios() -> Vec<Scenario<()>> {
    harness::scenarios![an_endpoint_that_was_down_is_probed_and_ramped_up]
}

async fn an_endpoint_that_was_down_is_probed_and_ramped_up((): ()) -> Result<()> {
    let settings = [
        ("POSTRIDER_BREAKER_FAILURES", "3"),
        ("POSTRIDER_BREAKER_PROBE_INTERVAL", "1s"),
        (
            "POSTRIDER_RETRY_SCHEDULE",
            "2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s",
        ),
    ];
    let world = World::start(Mode::Standalone, &settings).await?;
    let receiver = &world.receiver;
    receiver.script("down", [Answer::status(500)]);
    let endpoint = world.endpoint(ACCOUNT, "down", json!({})).await?;
    let events = world.publish(ACCOUNT, REPORT, EVENTS).await?;
    world.waits(ACCOUNT, "paused").await?;
    eventually("it is shown as paused", LIMIT, || async {
        let health = world.health(ACCOUNT, &endpoint).await?;
        let message = health["message"].as_str().context("a message")?;
        ensure!(
            health["state"] == "failing" && message.contains("aused"),
            "{health}"
        );
        Ok(())
    })
    .await?;

    // What was under way when it opened has ended by now.
    sleep(Duration::from_secs(1)).await;
    let from = Instant::now();
    sleep(Duration::from_secs(5)).await;
    let probes = between(&receiver.received("down"), from, Instant::now());
    println!("{probes} probes in 5 s");
    ensure!((3..=6).contains(&probes), "{probes} probes in 5 s");
    // What they were told when they were parked has passed long ago.
    let now = Timestamp::from(SystemTime::now());
    let waiting = world.waits(ACCOUNT, "paused").await?;
    let told = waiting["next_attempt_at"].as_str();
    let told = told.and_then(Timestamp::parse_rfc3339);
    ensure!(told.is_none_or(|told| told > now), "{waiting}");

    let path = format!("/v1/accounts/{ACCOUNT}/endpoints/{endpoint}/test");
    let sent = Instant::now();
    let test = world
        .api
        .post(202, &path, &json!({"event_type": REPORT}))
        .await?;
    let test = test["event_id"].as_str().context("an event id")?;
    eventually("a test event passes", LIMIT, || async {
        let received = receiver.received("down");
        ensure!(received.iter().any(|one| event_of(one) == test), "not yet");
        Ok(())
    })
    .await?;
    println!("a test event took {:.0?}", sent.elapsed());

    receiver.script("down", [Answer::status(200).after(SLOWLY)]);
    let recovered = Instant::now();
    eventually("everything has arrived", 2 * LIMIT, || async {
        let since = since(&receiver.received("down"), recovered);
        let ids: HashSet<String> = since.iter().map(event_of).collect();
        let missing = events.iter().filter(|id| !ids.contains(*id)).count();
        ensure!(missing == 0, "{missing} are missing");
        Ok(())
    })
    .await?;
    ramps_up(&since(&receiver.received("down"), recovered), test)?;
    let counts = [("successful", EVENTS), ("total_messages", EVENTS)];
    world.counted(ACCOUNT, &endpoint, &counts).await?;
    world.is_well()
}

fn since(received: &[Received], from: Instant) -> Vec<Received> {
    received
        .iter()
        .filter(|one| one.at >= from)
        .cloned()
        .collect()
}

/// At most twice as many at once each second, beginning with one.
fn ramps_up(received: &[Received], test: &str) -> Result<()> {
    let deliveries = || received.iter().filter(|one| event_of(one) != test);
    let first = deliveries().map(|one| one.at).min().context("some came")?;
    let mut most = [0; 10];
    for one in deliveries() {
        let second = (one.at - first).as_secs() as usize;
        let most = &mut most[second.min(9)];
        *most = one.at_once.max(*most);
    }
    println!("at once at most, second by second: {most:?}");
    for (second, most) in most.iter().enumerate() {
        let allowed = 1_usize << (second + 1);
        ensure!(*most <= allowed, "{most} at once after {second} s");
    }
    ensure!(most.iter().any(|most| *most > 1), "it never went faster");
    Ok(())
}

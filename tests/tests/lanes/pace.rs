//! A rate limit is kept, whatever happens, and waiting for it costs nothing.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use harness::deployment::{Deployment, Mode};
use harness::suite::Scenario;
use harness::wait::eventually;
use reqwest::Method;
use serde_json::json;

use crate::load::Load;
use crate::world::{LIMIT, World, between, busiest_second, each_once, event_of, span};

const ACCOUNT: &str = "paced";
const PACED_TYPE: &str = "form.submitted";
const PER_SECOND: usize = 10;
const WAITING: usize = 200;
/// All but the first one wait for an interval each.
const TAKES: Duration = Duration::from_millis(100 * (WAITING as u64 - 1));

/// What the lease of one that is killed lasts, and a little.
const TAKEOVER: Duration = Duration::from_secs(6);

pub(crate) fn scenarios() -> Vec<Scenario<()>> {
    harness::scenarios![
        a_backlog_goes_at_its_pace_and_waiting_costs_no_attempt,
        a_raised_limit_holds_within_a_second,
        a_pace_is_kept_while_its_owner_changes,
    ]
}

async fn paced_endpoint(world: &World, path: &str) -> Result<String> {
    let more = json!({"event_types": [PACED_TYPE], "rate_limit": PER_SECOND});
    world.endpoint(ACCOUNT, path, more).await
}

async fn a_backlog_goes_at_its_pace_and_waiting_costs_no_attempt((): ()) -> Result<()> {
    let world = World::start(Mode::Standalone, &[]).await?;
    let endpoint = paced_endpoint(&world, "paced").await?;
    world.endpoint(ACCOUNT, "other", json!({})).await?;
    let events = world.publish(ACCOUNT, PACED_TYPE, WAITING).await?;
    let waiting = world.waits(ACCOUNT, "throttled").await?;
    ensure!(waiting["next_attempt_at"].is_string(), "{waiting}");
    let load = Load::start(&world, ACCOUNT, 10).await?;
    eventually("it is shown as throttled", LIMIT, || async {
        let health = world.health(ACCOUNT, &endpoint).await?;
        ensure!(health["state"] == "throttled", "{health}");
        Ok(())
    })
    .await?;
    ensure!(
        world.receiver.received("paced").len() < WAITING,
        "it was shown while it waited"
    );
    let received = world.receiver.wait_for("paced", WAITING, 2 * LIMIT).await?;
    let published = load.stop().await?;
    let (busiest, took) = (busiest_second(&received), span(&received));
    println!("{WAITING} at {PER_SECOND}/s took {took:.2?}, at most {busiest} in a second");
    ensure!(busiest <= PER_SECOND + 1, "{busiest} in a second");
    let off = took.as_secs_f64() / TAKES.as_secs_f64();
    ensure!((0.95..=1.05).contains(&off), "{took:?}, not {TAKES:?}");

    world
        .receiver
        .wait_for("other", published.0.len(), LIMIT)
        .await?;
    let latencies = published.latencies(&world.receiver.received("other"))?;
    println!("beside it: {latencies}");
    ensure!(latencies.longest() < Duration::from_secs(1), "{latencies}");

    let counts = [("successful", WAITING), ("total_messages", WAITING)];
    world.counted(ACCOUNT, &endpoint, &counts).await?;
    for event in &events {
        let delivery = world.delivery(ACCOUNT, event).await?;
        ensure!(
            delivery["attempts"] == 1 && delivery["state"] == "succeeded",
            "{delivery}"
        );
    }
    each_once(&world.receiver.received("paced"), &events)?;
    let health = world.health(ACCOUNT, &endpoint).await?;
    ensure!(health["state"] == "healthy", "{health}");
    world.is_well()
}

async fn a_raised_limit_holds_within_a_second((): ()) -> Result<()> {
    let world = World::start(Mode::Standalone, &[]).await?;
    let endpoint = paced_endpoint(&world, "paced").await?;
    let count = 400;
    let events = world.publish(ACCOUNT, PACED_TYPE, count).await?;
    world.receiver.wait_for("paced", 30, LIMIT).await?;
    let path = format!("/v1/accounts/{ACCOUNT}/endpoints/{endpoint}");
    let body = json!({"rate_limit": 10 * PER_SECOND});
    world
        .api
        .expect(200, Method::PATCH, &path, Some(&body))
        .await?;
    let raised = Instant::now();
    let received = world.receiver.wait_for("paced", count, LIMIT).await?;
    let second = Duration::from_secs(1);
    let before = between(&received, raised - second, raised);
    let after = between(&received, raised + second, raised + 2 * second);
    println!("{before} in the second before, {after} in the second one behind");
    ensure!(before <= PER_SECOND + 1, "{before} before");
    ensure!(after >= 5 * PER_SECOND, "only {after} after");
    let most = busiest_second(&received);
    ensure!(most <= 10 * PER_SECOND + 2, "{most} in a second");
    each_once(&received, &events)?;
    world.is_well()
}

async fn a_pace_is_kept_while_its_owner_changes((): ()) -> Result<()> {
    let world = World::start(Mode::Processes, &[]).await?;
    let deployment = &world.deployment;
    start(deployment, "dispatcher-2").await?;
    let endpoint = paced_endpoint(&world, "paced").await?;
    world.publish(ACCOUNT, PACED_TYPE, WAITING).await?;
    world.receiver.wait_for("paced", 30, LIMIT).await?;
    let first = owner(deployment).await?;
    deployment.terminate(first)?;
    world.receiver.wait_for("paced", 60, LIMIT).await?;
    start(deployment, first).await?;
    world.receiver.wait_for("paced", 90, LIMIT).await?;
    let second = owner(deployment).await?;
    let killed = Instant::now();
    deployment.kill(second)?;

    eventually("all of them have arrived", 2 * LIMIT, || async {
        let received = world.receiver.received("paced");
        let arrived: std::collections::HashSet<String> = received.iter().map(event_of).collect();
        ensure!(arrived.len() == WAITING, "{} have", arrived.len());
        Ok(())
    })
    .await?;
    let received = world.receiver.received("paced");
    let (busiest, took) = (busiest_second(&received), span(&received));
    println!(
        "{WAITING} at {PER_SECOND}/s took {took:.2?} while its owner changed, at most {busiest} in a second, {} repeats",
        received.len() - WAITING
    );
    ensure!(busiest <= PER_SECOND + 1, "{busiest} in a second");
    ensure!(took < TAKES.mul_f64(1.05) + TAKEOVER, "it took {took:?}");
    // Only what was in flight at the kill.
    ensure!(
        received.len() <= WAITING + 1,
        "{} repeats",
        received.len() - WAITING
    );
    let early: Vec<_> = received
        .iter()
        .filter(|one| one.at < killed)
        .cloned()
        .collect();
    let ids: Vec<String> = early.iter().map(event_of).collect();
    each_once(&early, &ids)?;
    let counts = [("successful", WAITING), ("total_messages", WAITING)];
    world.counted(ACCOUNT, &endpoint, &counts).await?;
    world.is_well()
}

/// The dispatcher that has the deliveries that wait.
async fn owner(deployment: &Deployment) -> Result<&'static str> {
    eventually("one of them is the owner", LIMIT, || async {
        for name in ["dispatcher", "dispatcher-2"] {
            let queued = deployment.metric(name, "postrider_deliveries_queued");
            if queued.await? > 0.0 {
                return Ok(name);
            }
        }
        bail!("neither is")
    })
    .await
}

async fn start(deployment: &Deployment, name: &'static str) -> Result<()> {
    deployment.start_process(name).await?;
    deployment.process_ready(name, LIMIT).await
}

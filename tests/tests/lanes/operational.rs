//! What Postrider tells about endpoints, end to end.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::Mode;
use harness::receiver::Answer;
use harness::suite::Scenario;
use harness::wait::throughout;
use serde_json::{Value, json};

use crate::world::{LIMIT, REPORT, World};

const OPERATIONAL: [&str; 3] = [
    "endpoint.disabled",
    "endpoint.recovered",
    "delivery.exhausted",
];

pub(crate) fn scenarios() -> Vec<Scenario<()>> {
    harness::scenarios![
        failing_for_too_long_disables,
        recovery_and_exhaustion_are_told_and_cause_none_of_their_own,
    ]
}

async fn failing_for_too_long_disables((): ()) -> Result<()> {
    let settings = [
        ("POSTRIDER_RETRY_SCHEDULE", "1s,1s,1s,1s,1s,1s,1s,1s"),
        ("POSTRIDER_DISABLE_AFTER", "2s"),
    ];
    let world = World::start(Mode::Standalone, &settings).await?;
    let account = "failing";
    world.receiver.script("failing", [Answer::status(500)]);
    let endpoint = world.endpoint(account, "failing", json!({})).await?;
    let watched = json!({"event_types": ["endpoint.disabled"]});
    world.endpoint(account, "watcher", watched).await?;
    let events = world.publish(account, REPORT, 2).await?;
    let told = world.receiver.wait_for("watcher", 1, LIMIT).await?;
    let body: Value = serde_json::from_slice(&told[0].body)?;
    let reason = body["data"]["object"]["reason"]
        .as_str()
        .context("a reason")?;
    ensure!(reason.contains("failed"), "{body}");
    let shown = world.shown(account, &endpoint).await?;
    ensure!(
        shown["status"] == "disabled" && shown["disabled_reason"] == reason,
        "{shown}"
    );
    world
        .counted(account, &endpoint, &[("cancelled", events.len())])
        .await?;
    let sent = world.receiver.received("failing").len();
    throughout("nothing more comes", Duration::from_secs(2), || async {
        ensure!(
            world.receiver.received("failing").len() == sent,
            "more came"
        );
        ensure!(world.receiver.received("watcher").len() == 1, "told again");
        Ok(())
    })
    .await?;
    world.is_well()
}

async fn recovery_and_exhaustion_are_told_and_cause_none_of_their_own((): ()) -> Result<()> {
    let settings = [
        ("POSTRIDER_RETRY_SCHEDULE", "1s"),
        ("POSTRIDER_BREAKER_FAILURES", "0"),
    ];
    let world = World::start(Mode::Standalone, &settings).await?;
    let account = "told";
    let receiver = &world.receiver;
    // Ten failures, the last of them the second attempts of five deliveries.
    let failures = std::iter::repeat_n(Answer::status(500), 10);
    receiver.script("shaky", failures.chain([Answer::status(200)]));
    receiver.script("deaf", [Answer::status(500)]);
    let more = json!({"max_concurrency": 1});
    let shaky = world.endpoint(account, "shaky", more).await?;
    let watched = json!({"event_types": OPERATIONAL});
    world.endpoint(account, "watcher", watched.clone()).await?;
    world.endpoint(account, "deaf", watched).await?;
    world.publish(account, REPORT, 5).await?;
    receiver.wait_for("shaky", 10, LIMIT).await?;
    world.counted(account, &shaky, &[("failed", 5)]).await?;
    world.publish(account, REPORT, 1).await?;

    let told = receiver.wait_for("watcher", 6, LIMIT).await?;
    let types = || told.iter().map(|one| type_of(&one.body));
    let count = |name: &str| types().filter(|one| one == name).count();
    ensure!(
        count("delivery.exhausted") == 5 && count("endpoint.recovered") == 1,
        "{:?}",
        types().collect::<Vec<_>>()
    );
    // The deaf one's deliveries are exhausted too, and nobody is told.
    receiver.wait_for("deaf", 12, LIMIT).await?;
    throughout("nothing more is told", Duration::from_secs(3), || async {
        let told = receiver.received("watcher").len();
        ensure!(told == 6, "{told}");
        ensure!(
            receiver.received("shaky").len() == 11,
            "it was told of itself"
        );
        Ok(())
    })
    .await?;
    world.is_well()
}

fn type_of(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body["type"].as_str().unwrap_or_default().to_owned()
}

//! Messages that vanish from the streams: the sweeper sends for them again.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::deployment::{Deployment, Mode};
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use harness::wait::eventually;
use reqwest::Method;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
const EVENTS: usize = 20;
const SETTINGS: [(&str, &str); 3] = [
    ("POSTRIDER_SWEEP_AFTER", "2s"),
    ("POSTRIDER_RETRY_SCHEDULE", "6s,6s"),
    ("POSTRIDER_BREAKER_FAILURES", "0"),
];

pub(crate) fn in_both_modes() -> Vec<Scenario<Mode>> {
    harness::scenarios![
        lost_schedules_are_made_up_for,
        what_is_parked_and_lost_is_made_up_for,
    ]
}

pub(crate) fn with_processes() -> Vec<Scenario<Mode>> {
    harness::scenarios![lost_deliveries_are_made_up_for]
}

fn recorder(mode: Mode) -> &'static str {
    match mode {
        Mode::Standalone => "standalone",
        Mode::Processes | Mode::Overlay => "history",
    }
}

async fn publish(deployment: &Deployment, account: &str) -> Result<()> {
    let event = |n: usize| json!({"type": "message.report", "object": {"n": n}});
    let events: Vec<Value> = (0..EVENTS).map(event).collect();
    let path = format!("/v1/accounts/{account}/events/batch");
    deployment
        .api()
        .post(200, &path, &json!({"events": events}))
        .await?;
    Ok(())
}

/// How often each event came.
fn times(receiver: &Receiver, path: &str) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for one in receiver.received(path) {
        *times
            .entry(one.header("webhook-id").to_owned())
            .or_default() += 1;
    }
    times
}

async fn recorded(deployment: &Deployment, stats: &str, name: &str, count: usize) -> Result<()> {
    let api = deployment.api();
    eventually("it is recorded", LIMIT, || async {
        let stats = api.get(stats).await?;
        ensure!(stats[name] == count, "{name} is not {count}: {stats}");
        Ok(())
    })
    .await
}

async fn lost_schedules_are_made_up_for(mode: Mode) -> Result<()> {
    let deployment = Deployment::start(mode, &SETTINGS).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    receiver.script("hook", [Answer::status(500)]);
    let url = receiver.url("hook");
    let endpoint = api.endpoint("sweep", &url, &["message.report"]).await?;
    let stats = format!("/v1/accounts/sweep/endpoints/{endpoint}/stats");
    publish(&deployment, "sweep").await?;
    recorded(&deployment, &stats, "retrying", EVENTS).await?;
    receiver.script("hook", [Answer::status(200)]);
    let purged = deployment
        .raw_nats()
        .await?
        .purge("RETRIES", "retry.at.>")
        .await?;
    ensure!(purged == EVENTS as u64, "{purged} schedules were there");
    recorded(&deployment, &stats, "successful", EVENTS).await?;
    let times = times(&receiver, "hook");
    ensure!(times.values().all(|times| *times == 2), "{times:?}");
    let swept = deployment
        .metric(recorder(mode), "postrider_history_swept_total")
        .await?;
    ensure!(swept == EVENTS as f64, "{swept} are counted");
    deployment.all_running()
}

async fn what_is_parked_and_lost_is_made_up_for(mode: Mode) -> Result<()> {
    let deployment = Deployment::start(mode, &SETTINGS).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let body = json!({"url": receiver.url("hook"), "description": "a test", "rate_limit": 1,
        "event_types": ["message.report"]});
    let endpoint = api.post(201, "/v1/accounts/sweep/endpoints", &body).await?;
    let id = endpoint["id"].as_str().unwrap_or_default();
    let endpoint = format!("/v1/accounts/sweep/endpoints/{id}");
    publish(&deployment, "sweep").await?;
    // What is left of the first seconds is parked, and said to be.
    eventually("they are parked", LIMIT, || async {
        let events = api.get("/v1/accounts/sweep/events?page_size=100").await?;
        let events = events["events"].as_array().cloned().unwrap_or_default();
        let parked = events
            .iter()
            .filter(|event| event["deliveries"][0]["reason"] == "throttled");
        ensure!(parked.count() > EVENTS / 2, "{events:?}");
        Ok(())
    })
    .await?;
    let purged = deployment
        .raw_nats()
        .await?
        .purge("PARKED", "park.>")
        .await?;
    ensure!(purged > 0, "nothing was parked");
    let fast = json!({"rate_limit": null});
    api.expect(200, Method::PATCH, &endpoint, Some(&fast))
        .await?;
    recorded(
        &deployment,
        &format!("{endpoint}/stats"),
        "successful",
        EVENTS,
    )
    .await?;
    let times = times(&receiver, "hook");
    ensure!(times.values().all(|times| *times == 1), "{times:?}");
    deployment.all_running()
}

/// They vanish while no dispatcher is there to hold them.
async fn lost_deliveries_are_made_up_for(mode: Mode) -> Result<()> {
    let deployment = Deployment::start(mode, &SETTINGS).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let url = receiver.url("hook");
    let endpoint = api.endpoint("sweep", &url, &["message.report"]).await?;
    let stats = format!("/v1/accounts/sweep/endpoints/{endpoint}/stats");
    deployment.terminate("dispatcher")?;
    publish(&deployment, "sweep").await?;
    recorded(&deployment, &stats, "pending", EVENTS).await?;
    // As long as they are there, they are not lost, however late it is.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let swept = deployment
        .metric("history", "postrider_history_swept_total")
        .await?;
    ensure!(swept == 0.0, "{swept} were swept that are there");
    let purged = deployment
        .raw_nats()
        .await?
        .purge("DELIVERIES", "deliver.>")
        .await?;
    ensure!(purged > 0, "there were no deliveries");
    deployment.start_process("dispatcher").await?;
    recorded(&deployment, &stats, "successful", EVENTS).await?;
    let times = times(&receiver, "hook");
    ensure!(times.len() == EVENTS, "{} came", times.len());
    ensure!(times.values().all(|times| *times == 1), "{times:?}");
    deployment.all_running()
}

//! A replay that outlives the process that works on it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::{Deployment, Mode};
use harness::receiver::{Answer, Receiver};
use harness::shell::Shell;
use harness::suite::Scenario;
use harness::wait::eventually;
use reqwest::Method;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
const EVENTS: u64 = 200;
/// Deliveries a second.
const RATE: u64 = 50;

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![
        a_replay_goes_on_after_a_kill,
        a_command_that_waits_outlives_a_restart,
    ]
}

async fn a_replay_goes_on_after_a_kill(mode: Mode) -> Result<()> {
    let deployment = Deployment::start(mode, &[("POSTRIDER_BREAKER_FAILURES", "0")]).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    receiver.script("hook", [Answer::status(500)]);
    let account = "/v1/accounts/replay-kill";
    let body = json!({"url": receiver.url("hook"), "description": "a test",
        "retry_schedule": [], "event_types": ["message.report"]});
    let created = api
        .post(201, &format!("{account}/endpoints"), &body)
        .await?;
    let endpoint = created["id"].as_str().context("an id")?;
    let endpoint = format!("{account}/endpoints/{endpoint}");
    let events: Vec<Value> = (0..EVENTS)
        .map(|n| json!({"type": "message.report", "object": {"n": n}}))
        .collect();
    let batch = format!("{account}/events/batch");
    api.post(200, &batch, &json!({"events": events})).await?;
    eventually("all have failed", LIMIT, || async {
        let stats = api.get(&format!("{endpoint}/stats")).await?;
        ensure!(stats["failed"] == EVENTS, "{stats}");
        Ok(())
    })
    .await?;
    receiver.script("hook", [Answer::status(200)]);
    let limit = json!({"rate_limit": RATE});
    api.expect(200, Method::PATCH, &endpoint, Some(&limit))
        .await?;
    let before = receiver.received("hook").len();
    let span = json!({"after": "2020-01-01T00:00:00Z", "before": "2120-01-01T00:00:00Z",
        "status": "failed"});
    let replay = api.post(202, &format!("{endpoint}/replay"), &span).await?;
    ensure!(replay["matched"] == EVENTS, "{replay}");
    let id = replay["id"].as_str().context("an id")?;
    receiver.wait_for("hook", before + 60, LIMIT).await?;

    let victim = match mode {
        Mode::Standalone => "standalone",
        Mode::Processes | Mode::Overlay => "history",
    };
    deployment.kill(victim)?;
    deployment.start_process(victim).await?;
    deployment.ready(LIMIT).await?;
    let replay = eventually("the replay is done", LIMIT, || async {
        let shown = api.get(&format!("{account}/replays/{id}")).await?;
        ensure!(shown["ended_at"].is_string(), "{shown}");
        Ok(shown)
    })
    .await?;
    ensure!(
        replay["state"] == "done" && replay["matched"] == EVENTS,
        "{replay}"
    );
    ensure!(
        replay["succeeded"] == EVENTS && replay["sent"] == EVENTS,
        "{replay}"
    );
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for one in receiver.received("hook").iter().skip(before) {
        *times
            .entry(one.header("webhook-id").to_owned())
            .or_default() += 1;
    }
    ensure!(times.len() as u64 == EVENTS, "{} came", times.len());
    let twice = times.values().filter(|count| **count > 1).count();
    // Only what was in flight in the process that was killed: a quarter second.
    let in_flight = if mode == Mode::Standalone { 12 } else { 0 };
    ensure!(twice <= in_flight, "{twice} came twice");
    deployment.all_running()
}

async fn a_command_that_waits_outlives_a_restart(mode: Mode) -> Result<()> {
    const EVENTS: usize = 60;
    let deployment = Deployment::start(mode, &[]).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "replay-waits";
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let path = format!("/v1/accounts/{account}");
    let events = vec![json!({"type": "message.report", "object": {}}); EVENTS];
    let body = json!({"events": events});
    api.post(200, &format!("{path}/events/batch"), &body)
        .await?;
    let stats = format!("{path}/endpoints/{endpoint}/stats");
    eventually("all have come", LIMIT, || async {
        let stats = api.get(&stats).await?;
        ensure!(stats["successful"] == EVENTS, "{stats}");
        Ok(())
    })
    .await?;
    // It is not done before the restart.
    let slow = json!({"rate_limit": 5});
    let endpoint_path = format!("{path}/endpoints/{endpoint}");
    api.expect(200, Method::PATCH, &endpoint_path, Some(&slow))
        .await?;
    let arguments = [
        "replay", "--json", "-a", account, "-e", &endpoint, "--status", "all",
    ];
    let waits = Shell::start(&deployment, &[&arguments[..], &["--after", "1h"]].concat())?;
    receiver.wait_for("hook", EVENTS + 5, LIMIT).await?;
    let victim = match mode {
        Mode::Standalone => "standalone",
        Mode::Processes | Mode::Overlay => "history",
    };
    deployment.kill(victim)?;
    eventually("it says that nothing answers", LIMIT, || async {
        let told = waits.stderr()?;
        ensure!(told.contains("asking again for 5 minutes"), "{told}");
        Ok(())
    })
    .await?;
    deployment.start_process(victim).await?;
    deployment.ready(LIMIT).await?;
    let told = waits.ended(LIMIT).await?;
    let replay: Value = serde_json::from_str(&told.stdout).with_context(|| format!("{told:?}"))?;
    ensure!(
        told.code == Some(0) && replay["state"] == "done",
        "{told:?}"
    );
    ensure!(replay["succeeded"] == EVENTS, "{replay}");
    ensure!(told.stderr.matches("asking again").count() == 1, "{told:?}");
    deployment.all_running()
}

//! An erasure that outlives the process that works on it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::{Deployment, Mode};
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(90);
const BATCH: usize = 500;
const BATCHES: usize = 4;
const TEXT: &str = "dan-31-private";

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![an_erasure_goes_on_after_a_kill]
}

async fn an_erasure_goes_on_after_a_kill(mode: Mode) -> Result<()> {
    let deployment = Deployment::start(mode, &[]).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    receiver.script("hook", [Answer::status(200).body(TEXT)]);
    let account = "/v1/accounts/erase-kill";
    let endpoint = api
        .endpoint("erase-kill", &receiver.url("hook"), &["message.report"])
        .await?;
    // Every other one is to go.
    let event = |n: usize| {
        let person = if n.is_multiple_of(2) { TEXT } else { "other" };
        json!({"type": "message.report", "object": {"n": n}, "tags": {"person": person}})
    };
    let events: Vec<Value> = (0..BATCH).map(event).collect();
    for _ in 0..BATCHES {
        let path = format!("{account}/events/batch");
        api.post(200, &path, &json!({"events": events})).await?;
    }
    let stats = format!("{account}/endpoints/{endpoint}/stats");
    eventually("all is recorded", LIMIT, || async {
        let stats = api.get(&stats).await?;
        ensure!(stats["successful"] == BATCH * BATCHES, "{stats}");
        Ok(())
    })
    .await?;

    let path = format!("{account}/erasures");
    let what = json!({"tag": {"person": TEXT}});
    let started = api.post(202, &path, &what).await?;
    let path = format!("{path}/{}", started["id"].as_str().context("an id")?);
    eventually("it has begun", LIMIT, || async {
        let shown = api.get(&path).await?;
        ensure!(shown["counts"]["messages"].as_u64() > Some(0), "{shown}");
        Ok(())
    })
    .await?;
    let victim = match mode {
        Mode::Standalone => "standalone",
        Mode::Processes | Mode::Overlay => "history",
    };
    deployment.kill(victim)?;
    deployment.start_process(victim).await?;
    deployment.ready(LIMIT).await?;
    let done = eventually("the erasure is done", LIMIT, || async {
        let shown = api.get(&path).await?;
        ensure!(shown["state"] == "done", "{shown}");
        Ok(shown)
    })
    .await?;
    // What went in the moment before the kill was not written down.
    let counted = done["counts"]["events"].as_u64().context("a count")?;
    let most = u64::try_from(BATCH * BATCHES / 2)?;
    ensure!((1..=most).contains(&counted), "{done}");
    let tagged = format!("{account}/events?tag=person%3D{TEXT}");
    ensure!(api.get(&tagged).await?["events"] == json!([]));
    let everything = deployment.raw_nats().await?.everything().await?;
    let left = everything.iter().filter(|found| {
        // The others' answers say the same: they are not meant.
        found.stream == "EVENTS" && found.holds(TEXT)
    });
    ensure!(left.count() == 0, "EVENTS still has some");
    let attempts = api
        .get(&format!("{account}/attempts?page_size=100"))
        .await?;
    ensure!(
        attempts["attempts"].as_array().map(Vec::len) == Some(100),
        "{attempts}"
    );
    deployment.all_running()
}

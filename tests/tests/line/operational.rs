//! Events that Postrider itself publishes about a customer's endpoints.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::api::Api;
use harness::deployment::{Deployment, Mode};
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use harness::wait::{eventually, throughout};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        a_disabled_endpoint_is_told_of_to_the_others_once,
        a_kill_loses_and_repeats_no_operational_event,
        operational_types_are_listed_and_marked,
    ]
}

/// The account's events of a type.
async fn events_of(api: &Api, account: &str, event_type: &str) -> Result<Vec<Value>> {
    let path = format!("/v1/accounts/{account}/events?event_type={event_type}");
    let page = api.get(&path).await?;
    page["events"].as_array().cloned().context("events")
}

async fn a_disabled_endpoint_is_told_of_to_the_others_once(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "operational";
    for path in ["gone", "gone-too"] {
        receiver.script(path, [Answer::status(410)]);
    }
    // It is about the first one; the second is gone as well when it is told.
    let both = ["message.report", "endpoint.disabled"];
    let create =
        async |path: &str, types: &[&str]| api.endpoint(account, &receiver.url(path), types).await;
    let gone = create("gone", &both).await?;
    let gone_too = create("gone-too", &both[1..]).await?;
    let watcher = create("watcher", &both[1..]).await?;
    for n in 0..3 {
        api.publish(account, "message.report", &json!({"n": n}))
            .await?;
    }

    let received = receiver.wait_for("watcher", 1, LIMIT).await?;
    let body: Value = serde_json::from_slice(&received[0].body)?;
    ensure!(body["type"] == "endpoint.disabled", "{body}");
    ensure!(body["liveMode"] == true, "{body}");
    let object = &body["data"]["object"];
    ensure!(
        object["endpoint_id"] == gone && object["url"] == receiver.url("gone"),
        "{body}"
    );
    ensure!(object["description"] == "a test", "{body}");
    let endpoint = format!("/v1/accounts/{account}/endpoints/{gone}");
    let shown = api.get(&endpoint).await?;
    ensure!(shown["status"] == "disabled", "{shown}");
    ensure!(object["reason"] == shown["disabled_reason"], "{body}");
    ensure!(object["disabled_at"] == shown["updated_at"], "{body}");

    let other = format!("/v1/accounts/{account}/endpoints/{gone_too}");
    eventually("the other one is disabled", LIMIT, || async {
        let shown = api.get(&other).await?;
        ensure!(shown["status"] == "disabled", "{shown}");
        Ok(())
    })
    .await?;
    // Of that delivery nothing is told, and of the first one once.
    throughout("one is raised", Duration::from_secs(4), || async {
        ensure!(receiver.received("watcher").len() == 1, "another came");
        ensure!(receiver.received("gone-too").len() == 1, "another came");
        let raised = events_of(&api, account, "endpoint.disabled").await?;
        ensure!(raised.len() <= 1, "{raised:?}");
        Ok(())
    })
    .await?;
    let about_reports = receiver.received("gone");
    ensure!(
        about_reports.iter().all(|one| !one
            .body
            .windows(17)
            .any(|part| part == b"endpoint.disabled")),
        "it was told of itself"
    );
    let raised = &events_of(&api, account, "endpoint.disabled").await?[0];
    let deliveries = raised["deliveries"].as_array().context("deliveries")?;
    let mut to: Vec<&str> = deliveries
        .iter()
        .filter_map(|delivery| delivery["endpoint_id"].as_str())
        .collect();
    to.sort_unstable();
    let mut expected = [gone_too.as_str(), watcher.as_str()];
    expected.sort_unstable();
    ensure!(to == expected, "{raised}");
    ensure!(raised["not_sent"] == json!([]), "{raised}");
    Ok(())
}

/// control is killed while what it raised waits for ingest; in one process,
/// both are.
async fn a_kill_loses_and_repeats_no_operational_event(deployment: Arc<Deployment>) -> Result<()> {
    // The other scenarios run beside this one, so the kill is a deployment's
    // of its own.
    let mode = deployment.mode();
    drop(deployment);
    let deployment = Deployment::start(mode, &[]).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "operational-kill";
    let slow = Answer::status(410).after(Duration::from_secs(2));
    receiver.script("gone", [slow]);
    let gone = api
        .endpoint(account, &receiver.url("gone"), &["message.report"])
        .await?;
    api.endpoint(account, &receiver.url("watcher"), &["endpoint.disabled"])
        .await?;
    api.publish(account, "message.report", &json!({})).await?;
    receiver.wait_for("gone", 1, LIMIT).await?;
    let victims: &[&str] = match mode {
        Mode::Standalone => &["standalone"],
        Mode::Processes | Mode::Overlay => &["control", "ingest"],
    };
    if mode != Mode::Standalone {
        deployment.kill("ingest")?;
    }
    let path = format!("/v1/accounts/{account}/endpoints/{gone}");
    eventually("the endpoint is disabled", LIMIT, || async {
        let shown = api.get(&path).await?;
        ensure!(shown["status"] == "disabled", "{shown}");
        Ok(())
    })
    .await?;
    deployment.kill(victims[0])?;
    for victim in victims {
        deployment.start_process(victim).await?;
        deployment.process_ready(victim, LIMIT).await?;
    }
    receiver.wait_for("watcher", 1, LIMIT).await?;
    // Whatever was not acked comes again within 5 s.
    throughout("one is raised", Duration::from_secs(6), || async {
        let ids: std::collections::BTreeSet<String> = receiver
            .received("watcher")
            .iter()
            .map(|one| one.header("webhook-id").to_owned())
            .collect();
        ensure!(ids.len() == 1, "{ids:?}");
        Ok(())
    })
    .await?;
    ensure!(
        events_of(&api, account, "endpoint.disabled").await?.len() == 1,
        "one is recorded"
    );
    let errors = deployment.errors_logged()?;
    ensure!(errors.is_empty(), "{errors:?}");
    Ok(())
}

async fn operational_types_are_listed_and_marked(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let listed = api.get("/v1/event-types?page_size=100").await?;
    let listed = listed["event_types"].as_array().context("event types")?;
    for (name, operational) in [
        ("message.report", false),
        ("endpoint.disabled", true),
        ("endpoint.recovered", true),
        ("delivery.exhausted", true),
    ] {
        let found = listed.iter().find(|one| one["name"] == name);
        let found = found.context(name)?;
        ensure!(found["operational"] == operational, "{found}");
        ensure!(found["schema"]["properties"].is_object(), "{found}");
        ensure!(found["example"].is_object(), "{found}");
    }
    Ok(())
}

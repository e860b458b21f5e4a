//! A customer's question answered by one command.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::{Deployment, binary};
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        any_id_leads_to_the_whole_story,
        a_replay_is_watched_from_the_shell,
        an_event_is_erased_from_the_shell,
    ]
}

async fn postrider(deployment: &Deployment, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(binary()?);
    command
        .args(arguments)
        .env("POSTRIDER_URL", deployment.http())
        .env("POSTRIDER_KEY", deployment.api().key())
        .kill_on_drop(true);
    let output = timeout(LIMIT, command.output()).await;
    let output = output.context("it does not end")??;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {error}");
    Ok(String::from_utf8(output.stdout)?)
}

async fn any_id_leads_to_the_whole_story(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "story";
    receiver.script("hook", [Answer::status(503), Answer::status(200)]);
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let other = api
        .endpoint(account, &receiver.url("other"), &["form.submitted"])
        .await?;
    let event = api
        .publish(account, "message.report", &json!({"question": 42}))
        .await?;
    let shown = eventually("it has succeeded", LIMIT, || async {
        let shown = api
            .get(&format!("/v1/accounts/{account}/events/{event}"))
            .await?;
        ensure!(shown["deliveries"][0]["state"] == "succeeded", "{shown}");
        Ok(shown)
    })
    .await?;
    let attempts = api.attempts(account, &endpoint).await?;
    ensure!(attempts.len() == 2, "{attempts:?}");
    let delivery = shown["deliveries"][0]["id"].as_str().context("an id")?;
    let attempt = attempts[0]["id"].as_str().context("an id")?;
    let detail = api
        .get(&format!("/v1/accounts/{account}/attempts/{attempt}"))
        .await?;
    let traces = [&shown, &detail].map(|of| of["trace_id"].as_str());
    let [trace, of_attempt] = traces.map(|trace| trace.context("a trace id"));
    let (trace, of_attempt) = (trace?, of_attempt?);
    for id in [event.as_str(), delivery, attempt, trace, of_attempt] {
        let told = postrider(&deployment, &["history", "show", "--account", account, id]).await?;
        for part in [
            &event,
            delivery,
            attempt,
            &endpoint,
            &other,
            "not_subscribed",
            "503",
            "succeeded",
            "question",
        ] {
            ensure!(told.contains(part), "{id}: {part} is not in\n{told}");
        }
        let json = ["history", "show", "--json", "--account", account, id];
        let told: Value = serde_json::from_str(&postrider(&deployment, &json).await?)?;
        ensure!(told["event"] == shown, "{told}");
        ensure!(
            told["attempts"].as_array().map(Vec::len) == Some(2),
            "{told}"
        );
    }
    let unknown = "dlv_00000000-0000-4000-8000-000000000000";
    let path = format!("/v1/accounts/{account}/deliveries/{unknown}");
    api.expect(404, reqwest::Method::GET, &path, None).await?;
    Ok(())
}

async fn a_replay_is_watched_from_the_shell(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "replay-shell";
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    for n in 0..3 {
        api.publish(account, "message.report", &json!({"n": n}))
            .await?;
    }
    let stats = format!("/v1/accounts/{account}/endpoints/{endpoint}/stats");
    eventually("all have succeeded", LIMIT, || async {
        let stats = api.get(&stats).await?;
        ensure!(stats["successful"] == 3, "{stats}");
        Ok(())
    })
    .await?;
    let arguments = [
        "replay",
        "--json",
        "-a",
        account,
        "-e",
        &endpoint,
        "--status",
        "all",
        "--after",
        "2020-01-01T00:00:00Z",
    ];
    let told: Value = serde_json::from_str(&postrider(&deployment, &arguments).await?)?;
    ensure!(told["state"] == "done" && told["succeeded"] == 3, "{told}");
    let id = told["id"].as_str().context("an id")?;
    let shown = postrider(&deployment, &["replay", "-a", account, "--show", id]).await?;
    ensure!(shown.contains("done") && shown.contains(id), "{shown}");
    Ok(())
}

async fn an_event_is_erased_from_the_shell(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let account = "erase-shell";
    let event = api
        .publish(account, "message.report", &json!({"says": "private"}))
        .await?;
    let path = format!("/v1/accounts/{account}/events/{event}");
    eventually("it is recorded", LIMIT, || api.get(&path)).await?;
    let arguments = ["erase", "-a", account, "--event", &event, "--json"];
    let told: Value = serde_json::from_str(&postrider(&deployment, &arguments).await?)?;
    ensure!(told["state"] == "done", "{told}");
    ensure!(told["counts"]["events"] == 1, "{told}");
    ensure!(api.get(&path).await?["body"] == "", "it is still there");
    let id = told["id"].as_str().context("an id")?;
    let shown = postrider(&deployment, &["erase", "-a", account, "--show", id]).await?;
    ensure!(shown.contains("done") && shown.contains(id), "{shown}");
    Ok(())
}

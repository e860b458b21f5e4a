//! A customer's question answered by one command.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::Deployment;
use harness::receiver::{Answer, Receiver};
use harness::shell;
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        any_id_leads_to_the_whole_story,
        a_replay_is_watched_from_the_shell,
        an_event_is_erased_from_the_shell,
    ]
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
        let told =
            shell::succeed(&deployment, &["history", "show", "--account", account, id]).await?;
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
        let told = shell::json(&deployment, &["history", "show", "-a", account, id]).await?;
        ensure!(told["event"] == shown && told["erased"] == false, "{told}");
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
        "-a",
        account,
        "-e",
        &endpoint,
        "--status",
        "all",
        "--after",
        "2020-01-01",
        "--before",
        "now",
    ];
    let told = shell::json(&deployment, &arguments).await?;
    ensure!(told["state"] == "done" && told["succeeded"] == 3, "{told}");
    let id = told["id"].as_str().context("an id")?;
    let shown = shell::succeed(&deployment, &["replay", "-a", account, "--show", id]).await?;
    ensure!(shown.contains("done") && shown.contains(id), "{shown}");
    Ok(())
}

async fn an_event_is_erased_from_the_shell(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "erase-shell";
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let event = api
        .publish(account, "message.report", &json!({"says": "private"}))
        .await?;
    let path = format!("/v1/accounts/{account}/events/{event}");
    eventually("it is delivered", LIMIT, || async {
        let shown = api.get(&path).await?;
        ensure!(shown["deliveries"][0]["state"] == "succeeded", "{shown}");
        Ok(())
    })
    .await?;
    let attempt = text(&api.attempts(account, &endpoint).await?[0]["id"])?;
    let told = shell::json(&deployment, &["erase", "-a", account, "--event", &event]).await?;
    ensure!(told["state"] == "done", "{told}");
    ensure!(told["counts"]["events"] == 1, "{told}");
    ensure!(api.get(&path).await?["body"] == "", "it is still there");
    let id = text(&told["id"])?;
    let shown = shell::succeed(&deployment, &["erase", "-a", account, "--show", &id]).await?;
    ensure!(shown.contains("done") && shown.contains(&id), "{shown}");

    let show = ["history", "show", "-a", account, &event];
    let told = shell::succeed(&deployment, &show).await?;
    for part in ["erased", "succeeded", "1 attempt, erased with the event"] {
        ensure!(told.contains(part), "{part} is not in\n{told}");
    }
    ensure!(!told.contains("no attempt yet"), "{told}");
    ensure!(shell::json(&deployment, &show).await?["erased"] == true);
    let listed = shell::succeed(&deployment, &["history", "list", "-a", account]).await?;
    ensure!(listed.contains("succeeded (erased)"), "{listed}");
    let gone = shell::run(&deployment, &["history", "show", "-a", account, &attempt]).await?;
    ensure!(
        gone.code == Some(1) && gone.stderr.contains("goes when its event is erased"),
        "{gone:?}"
    );
    Ok(())
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().context("a text")?.to_owned())
}

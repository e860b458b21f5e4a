//! What must never be told: secrets, signatures, tokens, bodies, the queries of
//! URLs. Each is planted, then searched for in all that came out.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::deployment::Deployment;
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use reqwest::Method;
use serde_json::json;

use crate::collector;

const LIMIT: Duration = Duration::from_secs(30);
const ACCOUNT: &str = "planted";

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![nothing_that_is_secret_is_told]
}

async fn nothing_that_is_secret_is_told(deployment: Arc<Deployment>) -> Result<()> {
    let mut planted: Vec<String> = [
        "planted-query-1",
        "planted-header-2",
        "planted-body-3",
        "planted-answer-4",
        "planted-token-5",
        "planted-search-6",
        "planted-tag-7",
    ]
    .map(str::to_owned)
    .to_vec();
    let receiver = Receiver::start().await?;
    let failing = Answer::status(500).body("planted-answer-4");
    receiver.script("hook", [failing, Answer::status(200)]);
    planted.extend(plant(&deployment, &receiver).await?);
    // What is sent at the end of this has come, so the rest has too.
    let received = receiver.wait_for("hook", 2, LIMIT).await?;
    for request in &received {
        planted.push(request.header("x-webhook-signature").to_owned());
        let signature = request.header("webhook-signature");
        planted.push(signature.trim_start_matches("v1,").to_owned());
        let trace = request.header("traceparent").split('-').nth(1);
        collector()
            .whole_trace(trace.context("a trace")?, 2)
            .await?;
    }
    planted.push(deployment.admin_key());
    let told = everything(&deployment).await?;
    for value in &planted {
        ensure!(value.len() >= 12, "{value:?} was not planted");
        for (place, text) in &told {
            let line = text.lines().find(|line| line.contains(value.as_str()));
            ensure!(line.is_none(), "{place} tells {value}: {line:?}");
        }
        ensure!(!collector().holds(value), "what was sent tells {value}");
    }
    // The search would find them where they might be.
    let is_searched = |text: &str| told.iter().any(|(_, told)| told.contains(text));
    ensure!(collector().holds(ACCOUNT) && is_searched("attempt 2 of dlv_"));
    Ok(())
}

/// Uses every way in that carries a secret; gives those that were made on the
/// way.
async fn plant(deployment: &Deployment, receiver: &Receiver) -> Result<Vec<String>> {
    let api = deployment.api();
    let base = format!("/v1/accounts/{ACCOUNT}");
    let url = format!("{}?key=planted-query-1", receiver.url("hook"));
    let endpoint = api
        .post(
            201,
            &format!("{base}/endpoints"),
            &json!({"url": url, "description": "a test", "event_types": ["message.incoming"],
                "headers": {"X-Api-Key": "planted-header-2"}}),
        )
        .await?;
    let id = endpoint["id"].as_str().context("an id")?;
    let secret = api.secret(ACCOUNT, id).await?;
    let key = api
        .post(
            201,
            "/v1/keys",
            &json!({"description": "planted", "scope": "publish", "account": ACCOUNT}),
        )
        .await?;
    let key = key["key"].as_str().context("a key")?.to_owned();
    let event = json!({"type": "message.incoming", "object": {"text": "planted-body-3"},
        "tags": {"customer": "planted-tag-7"}});
    api.with_key(&key)
        .post(202, &format!("{base}/events"), &event)
        .await?;
    // Refused ones are told of too.
    api.with_key("planted-token-5")
        .expect(401, Method::GET, &format!("{base}/endpoints"), None)
        .await?;
    api.expect(
        422,
        Method::POST,
        &format!("{base}/events"),
        Some(&json!({"type": "no.such", "object": {"text": "planted-body-3"}})),
    )
    .await?;
    let search = format!("{base}/events?after=planted-search-6");
    let (status, _) = api.call(Method::GET, &search, None).await?;
    ensure!(status.is_client_error(), "{status}");
    let mut made = enter_the_portal(deployment).await?;
    made.extend([secret, key]);
    Ok(made)
}

/// Opens a customer's link to the dashboard; gives what only they may have.
async fn enter_the_portal(deployment: &Deployment) -> Result<Vec<String>> {
    let path = format!("/v1/accounts/{ACCOUNT}/portal-sessions");
    let session = deployment.api().post(201, &path, &json!({})).await?;
    let url = session["url"].as_str().context("a URL")?;
    let link = url.rsplit('/').next().context("its end")?.to_owned();
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let entered = client
        .get(format!("{}/portal/{link}", deployment.http()))
        .send()
        .await?;
    let cookie = entered.headers().get("set-cookie");
    let cookie = cookie.context("a session")?.to_str()?;
    let value = cookie.split(['=', ';']).nth(1).context("its value")?;
    Ok(vec![link, value.to_owned()])
}

/// Every log and every page of metrics.
async fn everything(deployment: &Deployment) -> Result<Vec<(String, String)>> {
    let mut told = Vec::new();
    for name in deployment.processes() {
        let log = std::fs::read(deployment.dir().join(format!("{name}.log")))?;
        told.push((
            format!("{name}'s log"),
            String::from_utf8_lossy(&log).into_owned(),
        ));
        let page = reqwest::get(format!("{}/metrics", deployment.admin(name))).await?;
        told.push((format!("{name}'s metrics"), page.text().await?));
    }
    Ok(told)
}

//! What one caller may take from the others.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::api::{self, Api};
use harness::deployment::{Deployment, Mode};
use harness::suite::Scenario;
use proto::v1::PublishEventRequest;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_types::StatusExt as _;

const ACCOUNT: &str = "limited";
const CONNECTIONS: usize = 12;

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![
        accounts_and_keys_keep_to_their_quotas,
        who_says_nothing_does_not_keep_others_out,
    ]
}

async fn accounts_and_keys_keep_to_their_quotas(mode: Mode) -> Result<()> {
    let settings = [
        ("POSTRIDER_MAX_ENDPOINTS_PER_ACCOUNT", "2"),
        ("POSTRIDER_MAX_EVENTS_PER_KEY", "10"),
        ("POSTRIDER_MAX_EVENTS_PER_ACCOUNT", "15"),
    ];
    let deployment = Deployment::start(mode, &settings).await?;
    let api = deployment.api();
    let base = format!("/v1/accounts/{ACCOUNT}");
    for _ in 0..2 {
        api.endpoint(ACCOUNT, "https://example.com/", &["message.report"])
            .await?;
    }
    let body = json!({"url": "https://example.com/", "description": "one too many",
        "event_types": ["message.report"]});
    let refused = api.post(409, &format!("{base}/endpoints"), &body).await?;
    ensure!(refused["code"] == "QUOTA_EXCEEDED", "{refused}");
    let limits = api.get(&format!("{base}/limits")).await?;
    let shown = json!({"endpoints": {"limit": 2, "used": 2},
        "events_per_second": {"per_account": 15, "per_key": 10}});
    ensure!(limits == shown, "{limits}");

    let key = json!({"description": "another", "scope": "publish"});
    let key = api.post(201, "/v1/keys", &key).await?;
    let other = api.with_key(key["key"].as_str().context("a key")?);
    // Ten of this key are let through, then five of another: the account's limit.
    let first = batch(&api).await?;
    ensure!((10..=11).contains(&accepted(&first)), "{first}");
    let second = batch(&other).await?;
    ensure!((4..=6).contains(&accepted(&second)), "{second}");
    let error = &second["results"][19]["error"];
    ensure!(error["code"] == "RATE_LIMITED", "{error}");
    let event = json!({"type": "message.report", "object": {}});
    let single = other.request(Method::POST, &format!("{base}/events"));
    let response = single.json(&event).send().await?;
    ensure!(response.status() == 429, "{}", response.status());
    ensure!(
        response.headers().contains_key("retry-after"),
        "{response:?}"
    );

    let mut ingest = api::ingest(&deployment.grpc("ingest"), other.key()).await?;
    let event = PublishEventRequest {
        account: ACCOUNT.into(),
        r#type: "message.report".into(),
        object: "{}".into(),
        ..Default::default()
    };
    let status = ingest.publish_event(event.clone()).await;
    let status = status.err().context("the account's limit")?;
    ensure!(status.code() == Code::ResourceExhausted, "{status:?}");
    let advice = status.get_error_details();
    let wait = advice.retry_info().and_then(|info| info.retry_delay);
    let wait = wait.context("advice on when to repeat")?;
    ensure!(wait <= Duration::from_secs(1), "{wait:?}");
    tokio::time::sleep(wait + Duration::from_millis(100)).await;
    ingest.publish_event(event).await?;
    Ok(())
}

/// Publishes 20 events at once.
async fn batch(api: &Api) -> Result<Value> {
    let event = json!({"type": "message.report", "object": {}});
    let events = json!({"events": vec![event; 20]});
    let path = format!("/v1/accounts/{ACCOUNT}/events/batch");
    api.post(200, &path, &events).await
}

fn accepted(answer: &Value) -> usize {
    let results = answer["results"].as_array().into_iter().flatten();
    results.filter(|result| result["id"].is_string()).count()
}

async fn who_says_nothing_does_not_keep_others_out(mode: Mode) -> Result<()> {
    let most = CONNECTIONS.to_string();
    let settings = [("POSTRIDER_MAX_CONNECTIONS", most.as_str())];
    let deployment = Deployment::start(mode, &settings).await?;
    let url = deployment.grpc("ingest");
    let address = url.strip_prefix("http://").context("an address")?;
    let mut silent = Vec::new();
    for _ in 0..2 * CONNECTIONS {
        silent.push(TcpStream::connect(address).await?);
    }
    let key = deployment.admin_key();
    let event = PublishEventRequest {
        account: ACCOUNT.into(),
        r#type: "message.report".into(),
        object: "{}".into(),
        ..Default::default()
    };
    // Two rounds of silence of 10 s are in front of this call, and no more.
    let started = Instant::now();
    loop {
        let mut ingest = api::ingest(&url, &key).await?;
        match ingest.publish_event(event.clone()).await {
            Ok(_) => break,
            Err(status) => ensure!(started.elapsed() < Duration::from_secs(40), "{status:?}"),
        }
    }
    let waited = started.elapsed();
    ensure!(
        waited > Duration::from_secs(5),
        "they were let in all at once"
    );
    deployment.all_running()
}

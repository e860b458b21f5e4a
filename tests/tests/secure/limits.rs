//! What one caller may take from the others.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use harness::api::{self, Api, Authorised};
use harness::deployment::{Deployment, Mode};
use harness::suite::Scenario;
use proto::v1::ingest_service_client::IngestServiceClient;
use proto::v1::{PublishEventRequest, TailAttemptsRequest};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const ACCOUNT: &str = "limited";
const CONNECTIONS: usize = 12;
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![
        accounts_and_keys_keep_to_their_quotas,
        who_says_nothing_does_not_keep_others_out,
        one_accounts_tails_leave_some_to_the_others,
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
    // As much as both have a second comes back while this goes on.
    let started = Instant::now();
    let back = |per_second: f64| (started.elapsed().as_secs_f64() * per_second).ceil() as usize;
    let first = batch(&api).await?;
    let of_key = accepted(&first);
    ensure!((10..=10 + back(10.0)).contains(&of_key), "{first}");
    let second = batch(&other).await?;
    let of_account = of_key + accepted(&second);
    ensure!((15..=15 + back(15.0)).contains(&of_account), "{second}");
    let mut errors = second["results"].as_array().into_iter().flatten();
    let error = errors.find(|result| result["error"].is_object());
    let code = &error.context("a refusal")?["error"]["code"];
    ensure!(code == "RATE_LIMITED", "{second}");

    let response = refused_over_rest(&other).await?;
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
    let status = refused_over_grpc(&ingest, &event).await?;
    ensure!(status.code() == Code::ResourceExhausted, "{status:?}");
    let advice = status.get_error_details();
    let wait = advice.retry_info().and_then(|info| info.retry_delay);
    let wait = wait.context("advice on when to repeat")?;
    ensure!(wait <= Duration::from_secs(1), "{wait:?}");
    tokio::time::sleep(wait + Duration::from_millis(100)).await;
    ingest.publish_event(event).await?;
    Ok(())
}

/// Publishes, twenty at once, until one of them is refused.
async fn refused_over_rest(api: &Api) -> Result<reqwest::Response> {
    let event = json!({"type": "message.report", "object": {}});
    let path = format!("/v1/accounts/{ACCOUNT}/events");
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        let calls = (0..20).map(|_| api.request(Method::POST, &path).json(&event).send());
        for answer in try_join_all(calls).await? {
            if answer.status() != 202 {
                return Ok(answer);
            }
        }
    }
    bail!("nothing is refused")
}

async fn refused_over_grpc(
    ingest: &IngestServiceClient<Authorised>,
    event: &PublishEventRequest,
) -> Result<Status> {
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        let calls = (0..20).map(|_| {
            let (mut ingest, event) = (ingest.clone(), event.clone());
            async move { ingest.publish_event(event).await }
        });
        if let Err(status) = try_join_all(calls).await {
            return Ok(status);
        }
    }
    bail!("nothing is refused")
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

async fn one_accounts_tails_leave_some_to_the_others(mode: Mode) -> Result<()> {
    let deployment = Deployment::start(mode, &[]).await?;
    let (url, key) = (deployment.grpc("history"), deployment.admin_key());
    let tail = async |account: &str| {
        let mut history = api::history(&url, &key).await?;
        let request = TailAttemptsRequest {
            account: account.into(),
            ..TailAttemptsRequest::default()
        };
        anyhow::Ok(history.tail_attempts(request).await)
    };
    let mut held = Vec::new();
    let refused = loop {
        ensure!(held.len() < 64, "one account may have all of them");
        match tail(ACCOUNT).await? {
            Ok(tail) => held.push(tail),
            Err(status) => break status,
        }
    };
    ensure!(refused.code() == Code::ResourceExhausted, "{refused:?}");
    ensure!(held.len() == 16, "{}", held.len());
    ensure!(
        tail("another").await?.is_ok(),
        "another account has to wait"
    );
    // A place is free again when its tail ends.
    drop(held);
    let begun = Instant::now();
    while tail(ACCOUNT).await?.is_err() {
        ensure!(begun.elapsed() < LIMIT, "none is free again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    deployment.all_running()
}

//! How an endpoint's owner wants deliveries to be made. The suite's schedule is
//! 1 s, 2 s, 3 s and its timeout 3 s.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::api::{self, Api};
use harness::deployment::Deployment;
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use harness::wait::{eventually, throughout};
use proto::v1::{CreateEndpointRequest, RetrySchedule, UpdateEndpointRequest};
use reqwest::Method;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);

/// Looked for where it must not be.
const CREDENTIAL: &str = "hush-4f1c8a5e0b7d4c2f";

const POLICY: [&str; 5] = [
    "retry_schedule",
    "timeout_seconds",
    "max_concurrency",
    "headers",
    "send_traceparent",
];

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        custom_headers_arrive_and_their_values_are_shown_to_admins_only,
        a_schedule_and_a_timeout_of_its_own_are_obeyed,
        absent_leaves_a_policy_and_null_clears_it,
        grpc_sets_and_clears_a_policy,
    ]
}

async fn create(api: &Api, account: &str, url: &str, policy: Value) -> Result<String> {
    let mut body = json!({"url": url, "description": "d", "event_types": ["message.report"]});
    for (name, value) in policy.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let path = format!("/v1/accounts/{account}/endpoints");
    let made = api.post(201, &path, &body).await?;
    made["id"].as_str().context("an id").map(str::to_owned)
}

/// The part of an endpoint that is its policy.
fn policy_of(endpoint: &Value) -> Value {
    let fields = POLICY.map(|name| (name.to_owned(), endpoint[name].clone()));
    serde_json::Map::from_iter(fields).into()
}

fn defaults() -> Value {
    json!({"retry_schedule": null, "timeout_seconds": null, "max_concurrency": null,
        "headers": {}, "send_traceparent": true})
}

async fn attempts(api: &Api, account: &str, endpoint: &str, count: usize) -> Result<Vec<Value>> {
    eventually(&format!("{count} attempts are recorded"), LIMIT, || async {
        let attempts = api.attempts(account, endpoint).await?;
        ensure!(attempts.len() == count, "{} are", attempts.len());
        Ok(attempts)
    })
    .await
}

async fn custom_headers_arrive_and_their_values_are_shown_to_admins_only(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "policy-headers";
    let headers = json!({"X-Api-Key": CREDENTIAL, "authorization": format!("Bearer {CREDENTIAL}")});
    let policy = json!({"headers": headers, "send_traceparent": false});
    let endpoint = create(&api, account, &receiver.url("hook"), policy).await?;
    api.publish(account, "message.report", &json!({})).await?;
    let received = receiver.wait_for("hook", 1, LIMIT).await?;
    ensure!(
        received[0].header("x-api-key") == CREDENTIAL,
        "{received:?}"
    );
    ensure!(
        received[0].header("authorization") == format!("Bearer {CREDENTIAL}"),
        "{received:?}"
    );
    ensure!(
        !received[0].headers.contains_key("traceparent"),
        "{received:?}"
    );

    let redacted = json!({"X-Api-Key": "***", "authorization": "***"});
    let body = json!({"description": "policy", "scope": "read", "account": account});
    let key = api.post(201, "/v1/keys", &body).await?;
    let reader = api.with_key(key["key"].as_str().context("a key")?);
    let list = format!("/v1/accounts/{account}/endpoints");
    let path = format!("{list}/{endpoint}");
    for (api, expected) in [(&api, &headers), (&reader, &redacted)] {
        ensure!(api.get(&path).await?["headers"] == *expected, "{expected}");
        let listed = api.get(&list).await?;
        ensure!(listed["endpoints"][0]["headers"] == *expected, "{listed}");
    }
    let attempt = &attempts(&api, account, &endpoint, 1).await?[0];
    let id = attempt["id"].as_str().context("an id")?;
    let detail = format!("/v1/accounts/{account}/attempts/{id}");
    let recorded = api.get(&detail).await?["request_headers"].clone();
    ensure!(
        recorded["x-api-key"] == "***" && recorded["authorization"] == "***",
        "{recorded}"
    );
    ensure!(recorded["traceparent"].is_null(), "{recorded}");
    let found = files_with(deployment.dir(), CREDENTIAL.as_bytes())?;
    ensure!(found.is_empty(), "the credential is stored in {found:?}");
    let seen = files_with(deployment.dir(), account.as_bytes())?;
    ensure!(!seen.is_empty(), "the search sees nothing of this account");

    let change = json!({"headers": null, "send_traceparent": null});
    api.expect(200, Method::PATCH, &path, Some(&change)).await?;
    api.publish(account, "message.report", &json!({})).await?;
    let received = receiver.wait_for("hook", 2, LIMIT).await?;
    ensure!(
        !received[1].headers.contains_key("x-api-key"),
        "{received:?}"
    );
    ensure!(
        !received[1].header("traceparent").is_empty(),
        "{received:?}"
    );
    Ok(())
}

/// Files below `dir` that contain `needle`: databases, streams, logs.
fn files_with(dir: &Path, needle: &[u8]) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(files_with(&entry.path(), needle)?);
        } else if kind.is_file() {
            // Others are at work here: what is gone holds nothing.
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            if bytes.windows(needle.len()).any(|part| part == needle) {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

async fn a_schedule_and_a_timeout_of_its_own_are_obeyed(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "policy-schedule";
    for path in ["own", "none", "default"] {
        receiver.script(path, [Answer::status(500)]);
    }
    for path in ["hasty", "patient"] {
        let slow = Answer::status(200).after(Duration::from_secs(2));
        receiver.script(path, [slow]);
    }
    let mut ids = Vec::new();
    for (path, policy) in [
        ("own", json!({"retry_schedule": ["1s", "1s"]})),
        ("none", json!({"retry_schedule": []})),
        ("default", json!({})),
        ("hasty", json!({"retry_schedule": [], "timeout_seconds": 1})),
        ("patient", json!({})),
    ] {
        ids.push(create(&api, account, &receiver.url(path), policy).await?);
    }
    api.publish(account, "message.report", &json!({})).await?;
    for (path, delays) in [("own", &[1, 1][..]), ("default", &[1, 2, 3])] {
        let received = receiver.wait_for(path, delays.len() + 1, LIMIT).await?;
        for (pair, delay) in received.windows(2).zip(delays) {
            let (waited, least) = (pair[1].at - pair[0].at, Duration::from_secs(*delay));
            let most = least.mul_f64(1.2) + Duration::from_millis(1_500);
            ensure!((least..most).contains(&waited), "{path}: {waited:?}");
        }
    }
    attempts(&api, account, &ids[0], 3).await?;
    attempts(&api, account, &ids[1], 1).await?;
    attempts(&api, account, &ids[2], 4).await?;
    let hasty = &attempts(&api, account, &ids[3], 1).await?[0];
    ensure!(hasty["failure_class"] == "timeout", "{hasty}");
    let duration = hasty["duration_ms"].as_u64().context("a duration")?;
    ensure!((950..1_900).contains(&duration), "{hasty}");
    let patient = &attempts(&api, account, &ids[4], 1).await?[0];
    ensure!(patient["status"] == "succeeded", "{patient}");
    let path = format!("/v1/accounts/{account}/endpoints/{}/stats", ids[0]);
    let stats = api.get(&path).await?;
    ensure!(stats["failed"] == 1 && stats["pending"] == 0, "{stats}");
    throughout("nothing else comes", Duration::from_secs(2), || async {
        let counts = ["own", "none", "default", "hasty", "patient"];
        let counts = counts.map(|path| receiver.received(path).len());
        ensure!(counts == [3, 1, 4, 1, 1], "{counts:?}");
        Ok(())
    })
    .await
}

async fn absent_leaves_a_policy_and_null_clears_it(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let account = "policy-change";
    let url = "https://example.com/";
    let plain = create(&api, account, url, json!({})).await?;
    let path = |id: &str| format!("/v1/accounts/{account}/endpoints/{id}");
    let shown = api.get(&path(&plain)).await?;
    ensure!(policy_of(&shown) == defaults(), "{shown}");
    let nulls: serde_json::Map<String, Value> = POLICY
        .map(|name| (name.to_owned(), Value::Null))
        .into_iter()
        .collect();
    let nulls = Value::from(nulls);
    let named = create(&api, account, url, nulls.clone()).await?;
    let shown = api.get(&path(&named)).await?;
    ensure!(policy_of(&shown) == defaults(), "{shown}");

    let all = json!({"retry_schedule": ["5s", "30s", "2min"], "timeout_seconds": 30,
        "max_concurrency": 256, "headers": {"X-A": "b c"}, "send_traceparent": false});
    let id = create(&api, account, url, all.clone()).await?;
    let patch = async |change: Value| {
        api.expect(200, Method::PATCH, &path(&id), Some(&change))
            .await
    };
    let shown = patch(json!({"description": "new"})).await?;
    ensure!(policy_of(&shown) == all, "{shown}");
    let shown = patch(json!({"headers": {"X-B": "d"}, "retry_schedule": []})).await?;
    ensure!(shown["headers"] == json!({"X-B": "d"}), "{shown}");
    ensure!(shown["retry_schedule"] == json!([]), "{shown}");
    ensure!(shown["timeout_seconds"] == 30, "{shown}");
    let shown = patch(nulls).await?;
    ensure!(policy_of(&shown) == defaults(), "{shown}");
    ensure!(
        policy_of(&api.get(&path(&id)).await?) == defaults(),
        "{shown}"
    );
    Ok(())
}

async fn grpc_sets_and_clears_a_policy(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let mut client = api::endpoints(&deployment.grpc("control"), api.key()).await?;
    let account = "policy-grpc";
    let schedule = RetrySchedule {
        delays: vec!["5s".into()],
    };
    let request = CreateEndpointRequest {
        account: account.into(),
        url: "https://example.com/".into(),
        description: "over gRPC".into(),
        event_types: vec!["message.report".into()],
        retry_schedule: Some(schedule.clone()),
        timeout_seconds: Some(3),
        max_concurrency: Some(4),
        headers: [("X-A".to_owned(), "b".to_owned())].into(),
        send_traceparent: Some(false),
        ..CreateEndpointRequest::default()
    };
    let created = client.create_endpoint(request).await?.into_inner();
    ensure!(created.retry_schedule == Some(schedule), "{created:?}");
    let rest = format!("/v1/accounts/{account}/endpoints/{}", created.id);
    let expected = json!({"retry_schedule": ["5s"], "timeout_seconds": 3, "max_concurrency": 4,
        "headers": {"X-A": "b"}, "send_traceparent": false});
    let shown = api.get(&rest).await?;
    ensure!(policy_of(&shown) == expected, "{shown}");
    let change = UpdateEndpointRequest {
        account: account.into(),
        id: created.id.clone(),
        ..UpdateEndpointRequest::default()
    };
    let described = UpdateEndpointRequest {
        description: Some("new".into()),
        ..change.clone()
    };
    client.update_endpoint(described).await?;
    let shown = api.get(&rest).await?;
    ensure!(policy_of(&shown) == expected, "{shown}");
    let cleared = UpdateEndpointRequest {
        clear_retry_schedule: true,
        clear_timeout_seconds: true,
        clear_max_concurrency: true,
        clear_headers: true,
        send_traceparent: Some(true),
        ..change
    };
    let changed = client.update_endpoint(cleared).await?.into_inner();
    ensure!(changed.retry_schedule.is_none() && changed.headers.is_empty());
    let shown = api.get(&rest).await?;
    ensure!(policy_of(&shown) == defaults(), "{shown}");
    Ok(())
}

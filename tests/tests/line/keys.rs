//! Keys, scopes and other accounts' things.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::api::{self, Api};
use harness::deployment::Deployment;
use harness::suite::Scenario;
use harness::wait::eventually;
use proto::v1::{ListAttemptsRequest, PublishEventRequest};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::Code;

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        each_scope_opens_its_own_doors,
        an_account_key_sees_no_other_account,
        a_revoked_key_is_refused_everywhere,
    ]
}

async fn key(api: &Api, scope: &str, account: Option<&str>) -> Result<(Api, String)> {
    let body = json!({"description": "a test", "scope": scope, "account": account});
    let (status, made) = api.call(Method::POST, "/v1/keys", Some(&body)).await?;
    ensure!(status == 201, "{status}: {made}");
    let key = made["key"].as_str().context("a key")?;
    ensure!(key.starts_with(&format!("pr_{scope}_")), "{key}");
    let listed = api.get("/v1/keys?page_size=100").await?;
    ensure!(!listed.to_string().contains(key), "a key is shown once");
    Ok((
        api.with_key(key),
        made["id"].as_str().context("an id")?.to_owned(),
    ))
}

async fn statuses(api: &Api, account: &str, endpoint: &str) -> Result<Vec<u16>> {
    let base = format!("/v1/accounts/{account}");
    let publish = json!({"type": "message.report", "object": {}});
    let create = json!({"url": "https://example.com", "description": "d", "event_types": ["message.report"]});
    let calls = [
        (Method::POST, format!("{base}/events"), Some(&publish)),
        (Method::GET, format!("{base}/endpoints/{endpoint}"), None),
        (
            Method::GET,
            format!("{base}/endpoints/{endpoint}/attempts"),
            None,
        ),
        (
            Method::GET,
            format!("{base}/endpoints/{endpoint}/secret"),
            None,
        ),
        (Method::POST, format!("{base}/endpoints"), Some(&create)),
        (Method::GET, "/v1/keys".to_owned(), None),
    ];
    let mut statuses = Vec::new();
    for (method, path, body) in calls {
        statuses.push(api.call(method, &path, body).await?.0.as_u16());
    }
    Ok(statuses)
}

async fn each_scope_opens_its_own_doors(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let account = "scopes";
    let endpoint = api
        .endpoint(account, "https://example.com/", &["form.submitted"])
        .await?;
    let expected = [
        ("admin", [202, 200, 200, 200, 201, 200]),
        ("publish", [202, 403, 403, 403, 403, 403]),
        ("read", [403, 200, 200, 403, 403, 403]),
    ];
    for (scope, expected) in expected {
        let (keyed, _) = key(&api, scope, None).await?;
        let seen = statuses(&keyed, account, &endpoint).await?;
        ensure!(seen == expected, "{scope}: {seen:?}, not {expected:?}");
    }
    let (reader, _) = key(&api, "read", Some(account)).await?;
    let mut ingest = api::ingest(&deployment.grpc("ingest"), reader.key()).await?;
    let request = PublishEventRequest {
        account: account.into(),
        r#type: "message.report".into(),
        object: "{}".into(),
        ..PublishEventRequest::default()
    };
    let status = ingest
        .publish_event(request)
        .await
        .err()
        .context("it only reads")?;
    ensure!(status.code() == Code::PermissionDenied, "{status:?}");
    let mut history = api::history(&deployment.grpc("history"), reader.key()).await?;
    let request = ListAttemptsRequest {
        account: account.into(),
        ..Default::default()
    };
    history.list_attempts(request).await?;
    Ok(())
}

async fn an_account_key_sees_no_other_account(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let theirs = api
        .endpoint("theirs", "https://example.com/", &["message.report"])
        .await?;
    let own = api
        .endpoint("own", "https://example.com/", &["message.report"])
        .await?;
    let (bound, _) = key(&api, "admin", Some("own")).await?;
    let seen = statuses(&bound, "own", &own).await?;
    ensure!(seen == [202, 200, 200, 200, 201, 403], "{seen:?}");
    let seen = statuses(&bound, "theirs", &theirs).await?;
    ensure!(seen == [404, 404, 404, 404, 404, 403], "{seen:?}");
    // Their endpoint under the own account does not exist either.
    let seen = statuses(&bound, "own", &theirs).await?;
    ensure!(seen[1..4] == [404, 404, 404], "{seen:?}");
    Ok(())
}

async fn a_revoked_key_is_refused_everywhere(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let (keyed, id) = key(&api, "admin", None).await?;
    let endpoint = keyed
        .endpoint("revoked", "https://example.com/", &["message.report"])
        .await?;
    api.expect(204, Method::DELETE, &format!("/v1/keys/{id}"), None)
        .await?;
    eventually(
        "it is refused over REST",
        Duration::from_secs(1),
        || async {
            let seen = statuses(&keyed, "revoked", &endpoint).await?;
            ensure!(seen == [401; 6], "{seen:?}");
            Ok(())
        },
    )
    .await?;
    let mut client = api::ingest(&deployment.grpc("ingest"), keyed.key()).await?;
    let request = PublishEventRequest {
        account: "revoked".into(),
        ..Default::default()
    };
    let status = client
        .publish_event(request)
        .await
        .err()
        .context("revoked")?;
    ensure!(status.code() == Code::Unauthenticated, "{status:?}");
    let problem: Value = keyed
        .request(Method::GET, "/v1/keys")
        .send()
        .await?
        .json()
        .await?;
    ensure!(
        problem["code"] == "KEY_INVALID" && problem["status"] == 401,
        "{problem}"
    );
    Ok(())
}

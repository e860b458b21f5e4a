//! Keys over the command line, when they were used, and who changed what.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::api::{self, Api};
use harness::deployment::{Deployment, binary};
use harness::suite::Scenario;
use harness::wait::eventually;
use proto::v1::audit_service_client::AuditServiceClient;
use proto::v1::{CancelReplayRequest, ListAuditEntriesRequest, StartReplayRequest};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;
use tonic::metadata::MetadataValue;

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        keys_are_made_listed_and_revoked_by_commands,
        a_deployments_first_key_is_written_into_its_database,
        every_change_is_in_the_audit_log,
        an_account_reads_its_own_audit_log_only,
    ]
}

/// Runs `postrider` and returns what it printed.
async fn postrider(environment: &[(&str, &str)], arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(binary()?);
    command.args(arguments).env_clear().kill_on_drop(true);
    command.envs(environment.iter().copied());
    let output = timeout(LIMIT, command.output()).await;
    let output = output.with_context(|| format!("{arguments:?} does not end"))??;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {error}");
    Ok(String::from_utf8(output.stdout)?)
}

async fn listed(api: &Api, id: &str) -> Result<Value> {
    let page = api.get("/v1/keys?page_size=100").await?;
    let keys = page["keys"].as_array().context("keys")?;
    let found = keys.iter().find(|key| key["id"] == id);
    found.cloned().with_context(|| format!("no key {id}"))
}

async fn keys_are_made_listed_and_revoked_by_commands(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let (url, key) = (deployment.http(), deployment.admin_key());
    let environment = [("POSTRIDER_URL", url.as_str()), ("POSTRIDER_KEY", &key)];
    let made = postrider(
        &environment,
        &["key", "create", "--scope", "publish", "-d", "by a command"],
    )
    .await?;
    let token = made.trim();
    let id = token.split('_').nth(2).context("a key has an id")?;
    ensure!(listed(&api, id).await?["last_used_at"].is_null(), "unused");

    let object = json!({});
    let event = json!({"type": "message.report", "object": object});
    let path = "/v1/accounts/commands/events";
    api.with_key(token).post(202, path, &event).await?;
    eventually("its use is noted", LIMIT, || async {
        let key = listed(&api, id).await?;
        ensure!(key["last_used_at"].is_string(), "{key}");
        Ok(())
    })
    .await?;

    let shown = postrider(&environment, &["key", "list", "--page-size", "100"]).await?;
    let line = shown.lines().find(|line| line.starts_with(id));
    let line = line.with_context(|| format!("no line with {id}: {shown}"))?;
    ensure!(
        line.contains("by a command") && !shown.contains(token),
        "{line}"
    );
    postrider(&environment, &["key", "revoke", id]).await?;
    let revoked = api.with_key(token);
    let (status, problem) = revoked.call(Method::POST, path, Some(&event)).await?;
    ensure!(status == 401, "{status}: {problem}");
    Ok(())
}

async fn a_deployments_first_key_is_written_into_its_database(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let url = deployment.database_url().await?;
    let environment = [("POSTRIDER_DATABASE_URL", url.as_str())];
    let create = [
        "key",
        "create",
        "--database",
        "--scope",
        "admin",
        "-d",
        "the first",
    ];
    let made = postrider(&environment, &create).await?;
    let api = deployment.api().with_key(made.trim());
    eventually("the key opens", LIMIT, || async {
        api.get("/v1/keys").await.map(drop)
    })
    .await
}

/// The actions in an account's log, the oldest first.
async fn actions(api: &Api, account: &str) -> Result<Vec<Value>> {
    let path = format!("/v1/accounts/{account}/audit-log?page_size=100");
    let page = api.get(&path).await?;
    let mut entries = page["audit_entries"].as_array().context("entries")?.clone();
    entries.reverse();
    Ok(entries)
}

async fn every_change_is_in_the_audit_log(deployment: Arc<Deployment>) -> Result<()> {
    const ACCOUNT: &str = "audited";
    let api = deployment.api();
    let base = format!("/v1/accounts/{ACCOUNT}");
    let endpoint = api
        .endpoint(ACCOUNT, "https://example.com/", &["message.report"])
        .await?;
    let path = format!("{base}/endpoints/{endpoint}");
    let change = json!({"description": "changed", "rate_limit": 7,
        "headers": {"X-Hush": "hush-hush"}});
    api.expect(200, Method::PATCH, &path, Some(&change)).await?;
    let secret = api.secret(ACCOUNT, &endpoint).await?;
    let nothing = json!({});
    api.post(200, &format!("{path}/secret/regenerate"), &nothing)
        .await?;
    let session = format!("{base}/portal-sessions");
    api.post(201, &session, &nothing).await?;
    replays_by_both_doors(&deployment, &api, ACCOUNT, &endpoint).await?;
    api.post(200, &format!("{path}/disable"), &nothing).await?;
    api.post(200, &format!("{path}/enable"), &nothing).await?;
    api.expect(204, Method::DELETE, &path, None).await?;

    let entries = actions(&api, ACCOUNT).await?;
    let names: Vec<&str> = entries
        .iter()
        .filter_map(|one| one["action"].as_str())
        .collect();
    let expected = [
        "endpoint.created",
        "endpoint.updated",
        "endpoint.secret_shown",
        "endpoint.secret_regenerated",
        "portal_session.created",
        "replay.started",
        "replay.cancelled",
        "replay.started",
        "replay.cancelled",
        "endpoint.disabled",
        "endpoint.enabled",
        "endpoint.deleted",
    ];
    ensure!(names == expected, "{names:?}");
    let updated = &entries[1];
    ensure!(
        updated["detail"] == "description rate_limit headers",
        "{updated}"
    );
    ensure!(updated["target"] == endpoint.as_str(), "{updated}");
    for (entry, via) in entries[5..9].iter().zip(["grpc", "grpc", "rest", "rest"]) {
        ensure!(entry["via"] == via, "{entry}");
        let target = entry["target"].as_str();
        ensure!(target.is_some_and(|id| id.starts_with("rpl_")), "{entry}");
    }
    ensure!(updated["via"] == "rest", "{updated}");
    for entry in &entries {
        ensure!(entry["address"] == "127.0.0.1", "{entry}");
        ensure!(
            entry["key_id"].is_string() && entry["at"].is_string(),
            "{entry}"
        );
    }
    let text = serde_json::to_string(&entries)?;
    ensure!(
        !text.contains(&secret) && !text.contains("hush-hush"),
        "{text}"
    );
    filtered(&deployment, &api, ACCOUNT, &endpoint).await?;
    everywhere(&deployment, &api).await
}

/// Both doors know the same filters, and refuse what is none.
async fn filtered(deployment: &Deployment, api: &Api, account: &str, endpoint: &str) -> Result<()> {
    let path = format!("/v1/accounts/{account}/audit-log");
    let count = async |query: &str| -> Result<usize> {
        let page = api.get(&format!("{path}?{query}")).await?;
        Ok(page["audit_entries"].as_array().context("entries")?.len())
    };
    ensure!(count("action=replay.started").await? == 2);
    ensure!(count("action=replay.started&via=rest").await? == 1);
    ensure!(count(&format!("target={endpoint}&via=grpc")).await? == 0);
    ensure!(count("key_id=nobodys").await? == 0);
    ensure!(count("before=2026-01-01T00:00:00Z").await? == 0);
    ensure!(count("after=2026-01-01T00:00:00Z&action=endpoint.created").await? == 1);
    for wrong in ["via=window", "action=eaten", "after=today", "who=me"] {
        let (status, problem) = api
            .call(Method::GET, &format!("{path}?{wrong}"), None)
            .await?;
        ensure!(status == 400, "{wrong}: {status}: {problem}");
    }
    let channel = tonic::transport::Channel::from_shared(deployment.grpc("control"))?;
    let bearer: MetadataValue<_> = format!("Bearer {}", api.key()).parse()?;
    let mut client = AuditServiceClient::new(channel.connect().await?);
    let mut ask = async |asked: ListAuditEntriesRequest| {
        let mut request = tonic::Request::new(asked);
        request
            .metadata_mut()
            .insert("authorization", bearer.clone());
        client.list_audit_entries(request).await
    };
    let asked = ListAuditEntriesRequest {
        account: account.to_owned(),
        action: "replay.cancelled".to_owned(),
        via: "grpc".to_owned(),
        ..Default::default()
    };
    let listed = ask(asked.clone()).await?.into_inner();
    ensure!(listed.audit_entries.len() == 1, "{listed:?}");
    let wrong = ListAuditEntriesRequest {
        via: "window".to_owned(),
        ..asked
    };
    let refused = ask(wrong).await;
    ensure!(
        refused
            .as_ref()
            .is_err_and(|status| status.code() == tonic::Code::InvalidArgument),
        "{refused:?}"
    );
    Ok(())
}

/// Begins and cancels a replay over gRPC, which another role than control does,
/// then over REST. Dry runs change nothing, so they are not noted.
async fn replays_by_both_doors(
    deployment: &Deployment,
    api: &Api,
    account: &str,
    endpoint: &str,
) -> Result<()> {
    let mut history = api::history(&deployment.grpc("history"), api.key()).await?;
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let replay = StartReplayRequest {
        account: account.into(),
        endpoint_id: endpoint.to_owned(),
        after: at(1_770_000_000),
        before: at(1_770_000_100),
        status: "all".into(),
        dry_run: true,
        ..Default::default()
    };
    history.start_replay(replay.clone()).await?;
    let replay = StartReplayRequest {
        dry_run: false,
        ..replay
    };
    let begun = history.start_replay(replay).await?.into_inner();
    let cancel = CancelReplayRequest {
        account: account.into(),
        id: begun.id,
    };
    history.cancel_replay(cancel).await?;
    eventually("the replay's end is noted", LIMIT, || async {
        let entries = actions(api, account).await?;
        let noted = |action| entries.iter().any(|one| one["action"] == action);
        ensure!(noted("replay.started") && noted("replay.cancelled"));
        Ok(())
    })
    .await?;
    let path = format!("/v1/accounts/{account}/endpoints/{endpoint}/replay");
    let span = |dry_run| {
        json!({"after": "2026-02-02T00:00:00Z", "before": "2026-02-03T00:00:00Z",
            "status": "all", "dry_run": dry_run})
    };
    api.post(202, &path, &span(true)).await?;
    let begun = api.post(202, &path, &span(false)).await?;
    let id = begun["id"].as_str().context("an id")?;
    let path = format!("/v1/accounts/{account}/replays/{id}/cancel");
    api.post(200, &path, &json!({})).await?;
    Ok(())
}

/// Keys belong to no account, so they are in the log of all.
async fn everywhere(deployment: &Deployment, api: &Api) -> Result<()> {
    let body = json!({"description": "audited", "scope": "read"});
    let made = api.post(201, "/v1/keys", &body).await?;
    let log = api.get("/v1/audit-log?page_size=100").await?;
    let entries = log["audit_entries"].as_array().context("entries")?;
    let created = entries
        .iter()
        .find(|one| one["action"] == "key.created" && one["target"] == made["id"]);
    ensure!(created.is_some_and(|one| one["detail"] == "read"), "{log}");
    // Over gRPC too, by the new key, which reads.
    let channel = tonic::transport::Channel::from_shared(deployment.grpc("control"))?;
    let key = made["key"].as_str().context("a key")?;
    let bearer: MetadataValue<_> = format!("Bearer {key}").parse()?;
    let mut client = AuditServiceClient::new(channel.connect().await?);
    let mut request = tonic::Request::new(ListAuditEntriesRequest::default());
    request.metadata_mut().insert("authorization", bearer);
    let listed = client.list_audit_entries(request).await?.into_inner();
    ensure!(
        listed
            .audit_entries
            .iter()
            .any(|one| one.target == made["id"]),
        "{listed:?}"
    );
    Ok(())
}

async fn an_account_reads_its_own_audit_log_only(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    for account in ["audit-a", "audit-b"] {
        api.endpoint(account, "https://example.com/", &["message.report"])
            .await?;
    }
    let body = json!({"description": "bound", "scope": "read", "account": "audit-a"});
    let made = api.post(201, "/v1/keys", &body).await?;
    let bound = api.with_key(made["key"].as_str().context("a key")?);
    let entries = actions(&bound, "audit-a").await?;
    // Its key belongs to it.
    ensure!(entries.len() == 2, "{entries:?}");
    ensure!(
        entries.iter().all(|one| one["account"] == "audit-a"),
        "{entries:?}"
    );
    for path in ["/v1/accounts/audit-b/audit-log", "/v1/audit-log"] {
        let (status, problem) = bound.call(Method::GET, path, None).await?;
        ensure!(matches!(status.as_u16(), 403 | 404), "{path}: {problem}");
    }
    Ok(())
}

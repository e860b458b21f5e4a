//! How long an account's things are kept, as the account wants it.

use std::sync::Arc;

use anyhow::{Result, ensure};
use harness::api;
use harness::deployment::Deployment;
use harness::suite::Scenario;
use proto::v1::{GetRetentionRequest, UpdateRetentionRequest};
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        an_account_may_have_less_kept_and_not_more,
        who_only_reads_cannot_change_it,
    ]
}

async fn an_account_may_have_less_kept_and_not_more(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let path = "/v1/accounts/keeps-less/retention";
    let shown = |event_days: Value, record_days: Value| {
        json!({"event_days": event_days, "record_days": record_days,
            "deployment_event_days": 30, "deployment_record_days": 90})
    };
    ensure!(api.get(path).await? == shown(Value::Null, Value::Null));
    let steps = [
        (json!({"event_days": 3}), shown(json!(3), Value::Null)),
        (json!({"record_days": 30}), shown(json!(3), json!(30))),
        (json!({}), shown(json!(3), json!(30))),
        (json!({"event_days": null}), shown(Value::Null, json!(30))),
    ];
    for (change, expected) in steps {
        let answer = api.expect(200, Method::PATCH, path, Some(&change)).await?;
        ensure!(answer == expected, "{change}: {answer}");
        ensure!(api.get(path).await? == expected, "{change}");
    }
    for (change, field) in [
        (json!({"event_days": 0}), "event_days"),
        (json!({"event_days": 31}), "event_days"),
        (json!({"event_days": "3"}), "event_days"),
        (json!({"record_days": 8}), "record_days"),
        (json!({"record_days": 91}), "record_days"),
        // Shorter than the events are kept.
        (json!({"record_days": 29}), "record_days"),
        (json!({"days": 3}), "days"),
    ] {
        let refused = api.expect(422, Method::PATCH, path, Some(&change)).await?;
        ensure!(
            refused["errors"][0]["field"] == field,
            "{change}: {refused}"
        );
    }
    let mut client = api::history(&deployment.grpc("history"), api.key()).await?;
    let account = || "keeps-less".to_owned();
    let update = UpdateRetentionRequest {
        account: account(),
        event_days: Some(2),
        record_days: Some(0),
    };
    client.update_retention(update).await?;
    let request = GetRetentionRequest { account: account() };
    let kept = client.get_retention(request).await?.into_inner();
    ensure!(
        kept.event_days == Some(2) && kept.record_days.is_none(),
        "{kept:?}"
    );
    ensure!(api.get(path).await? == shown(json!(2), Value::Null));
    Ok(())
}

async fn who_only_reads_cannot_change_it(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let body = json!({"description": "a test", "scope": "read", "account": "keeps-all"});
    let key = api.post(201, "/v1/keys", &body).await?;
    let reader = api.with_key(key["key"].as_str().unwrap_or_default());
    let path = "/v1/accounts/keeps-all/retention";
    reader.get(path).await?;
    let change = json!({"event_days": 3});
    let refused = reader
        .expect(403, Method::PATCH, path, Some(&change))
        .await?;
    ensure!(refused["code"] == "SCOPE_INSUFFICIENT", "{refused}");
    let all = json!({"all": true});
    let refused = reader
        .post(403, "/v1/accounts/keeps-all/erasures", &all)
        .await?;
    ensure!(refused["code"] == "SCOPE_INSUFFICIENT", "{refused}");
    Ok(())
}

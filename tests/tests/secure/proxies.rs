//! Who calls, where a proxy stands in between.

use anyhow::{Context, Result, ensure};
use harness::api;
use harness::deployment::{Deployment, Mode};
use harness::suite::Scenario;
use proto::v1::CreateEndpointRequest;
use reqwest::Method;
use serde_json::json;
use tonic::Request;

const ACCOUNT: &str = "proxied";
/// What a caller has made up, who called, and a proxy that is trusted.
const FORWARDED: &str = "203.0.113.9, 198.51.100.7, 127.0.0.9";

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![
        a_trusted_proxys_word_is_taken_for_who_calls,
        nobody_elses_word_is,
    ]
}

async fn a_trusted_proxys_word_is_taken_for_who_calls(mode: Mode) -> Result<()> {
    let settings = [("POSTRIDER_TRUSTED_PROXIES", "127.0.0.0/8")];
    let deployment = Deployment::start(mode, &settings).await?;
    callers_are(&deployment, "198.51.100.7").await
}

async fn nobody_elses_word_is(mode: Mode) -> Result<()> {
    let settings = [("POSTRIDER_TRUSTED_PROXIES", "10.0.0.0/8")];
    let deployment = Deployment::start(mode, &settings).await?;
    callers_are(&deployment, "127.0.0.1").await
}

/// Creates an endpoint by each door, and looks at what the audit log says.
async fn callers_are(deployment: &Deployment, address: &str) -> Result<()> {
    let api = deployment.api();
    let base = format!("/v1/accounts/{ACCOUNT}");
    let body = json!({"url": "https://example.com/", "description": "over REST",
        "event_types": ["message.report"]});
    let rest = api.request(Method::POST, &format!("{base}/endpoints"));
    let rest = rest.header("x-forwarded-for", FORWARDED).json(&body);
    ensure!(rest.send().await?.status() == 201);

    let mut client = api::endpoints(&deployment.grpc("control"), api.key()).await?;
    let mut request = Request::new(CreateEndpointRequest {
        account: ACCOUNT.into(),
        url: "https://example.com/".into(),
        description: "over gRPC".into(),
        event_types: vec!["message.report".into()],
        ..CreateEndpointRequest::default()
    });
    let metadata = request.metadata_mut();
    metadata.insert("x-forwarded-for", FORWARDED.parse()?);
    client.create_endpoint(request).await?;

    let page = api.get(&format!("{base}/audit-log")).await?;
    let entries = page["audit_entries"].as_array().context("entries")?;
    let told: Vec<_> = entries
        .iter()
        .map(|one| (one["via"].as_str(), one["address"].as_str()))
        .collect();
    let expected = [(Some("grpc"), Some(address)), (Some("rest"), Some(address))];
    ensure!(told == expected, "{page}");
    deployment.all_running()
}

//! A gRPC client that nobody here wrote and that has no proto files: `buf curl`,
//! which `make test` puts on PATH.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use harness::deployment::Deployment;
use harness::receiver::Receiver;
use harness::suite::Scenario;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(15);
const ACCOUNT: &str = "reflection";

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        a_client_without_proto_files_publishes_through_reflection,
        every_service_is_reflected_and_healthy,
    ]
}

/// Runs `buf curl`, which asks the server for everything it needs to know.
async fn buf_curl(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("buf");
    command
        .args(["curl", "--http2-prior-knowledge"])
        .args(arguments);
    command.kill_on_drop(true);
    let run = timeout(Duration::from_secs(30), command.output()).await;
    let output = run.context("buf curl does not end")?.context(
        "buf is not on PATH: run `make test`, or put the environment of \
         `scripts/venv scripts/requirements-test.txt` there",
    )?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "buf curl {arguments:?}: {error}");
    Ok(String::from_utf8(output.stdout)?)
}

async fn a_client_without_proto_files_publishes_through_reflection(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let endpoint = api
        .endpoint(ACCOUNT, &receiver.url("hook"), &["message.report"])
        .await?;
    let object = r#"{"status": "READ", "n": 12345678901234567890}"#;
    // As JSON writes protobuf's bytes.
    let request = json!({"account": ACCOUNT, "type": "message.report",
        "object": STANDARD.encode(object), "tags": {"chat": "42"}});
    let url = format!(
        "{}/postrider.v1.IngestService/PublishEvent",
        deployment.grpc("ingest")
    );
    let header = format!("authorization: Bearer {}", api.key());
    let data = request.to_string();
    // gRPC and gRPC-Web are two protocols; the server speaks the first.
    let answer = buf_curl(&[
        "--protocol",
        "grpc",
        "--header",
        &header,
        "--data",
        &data,
        &url,
    ])
    .await?;
    let answer: Value = serde_json::from_str(&answer)?;
    let event = answer["id"].as_str().context("an event id")?;

    let received = receiver.wait_for("hook", 1, LIMIT).await?.remove(0);
    ensure!(
        received.header("webhook-id") == event,
        "{answer}: {:?}",
        received.headers
    );
    let body = std::str::from_utf8(&received.body)?;
    ensure!(body.contains(object), "{body}");
    let secret = api.secret(ACCOUNT, &endpoint).await?;
    ensure!(secret.starts_with("whsec_"), "a secret");
    Ok(())
}

async fn every_service_is_reflected_and_healthy(deployment: Arc<Deployment>) -> Result<()> {
    let services = [
        ("ingest", "postrider.v1.IngestService"),
        ("control", "postrider.v1.EndpointService"),
        ("history", "postrider.v1.HistoryService"),
    ];
    for (role, service) in services {
        let url = deployment.grpc(role);
        let listed = buf_curl(&["--protocol", "grpc", "--list-services", &url]).await?;
        ensure!(
            listed.lines().any(|line| line == service),
            "{role}: {listed}"
        );
        let methods = buf_curl(&["--protocol", "grpc", "--list-methods", &url]).await?;
        ensure!(
            methods.contains(&format!("{service}/")),
            "{role}: {methods}"
        );

        let check = format!("{url}/grpc.health.v1.Health/Check");
        let data = json!({"service": service}).to_string();
        let health = buf_curl(&["--protocol", "grpc", "--data", &data, &check]).await?;
        ensure!(health.contains("\"SERVING\""), "{role}: {health}");
    }
    Ok(())
}

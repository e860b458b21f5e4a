//! An OTLP receiver that others wrote takes what is sent.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::deployment::Deployment;
use harness::ports::free_port;
use harness::process::Process;
use harness::receiver::Receiver;
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::json;
use uuid::Uuid;

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![an_agent_of_others_takes_the_spans]
}

/// The program inside the Python package.
fn program() -> Result<PathBuf> {
    let find = "import os, rotel; print(os.path.dirname(rotel.__file__))";
    let output = Command::new("python3").args(["-c", find]).output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{complaint}");
    let folder = String::from_utf8(output.stdout)?;
    Ok(PathBuf::from(folder.trim()).join("rotel-agent"))
}

async fn an_agent_of_others_takes_the_spans(deployment: Arc<Deployment>) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let port = free_port();
    let mut command = Command::new(program()?);
    command
        .args(["start", "--exporter", "blackhole"])
        .args(["--debug-log", "traces", "--debug-log-verbosity", "detailed"])
        .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{port}")])
        .args([
            "--otlp-http-endpoint",
            &format!("127.0.0.1:{}", free_port()),
        ])
        .arg("--pid-file")
        .arg(dir.path().join("pid"));
    let _agent = Process::start("agent", command, dir.path())?;

    let endpoint = format!("http://127.0.0.1:{port}");
    let settings = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
    ];
    let line = Deployment::start(deployment.mode(), &settings).await?;
    let receiver = Receiver::start().await?;
    let api = line.api();
    let url = receiver.url("hook");
    api.endpoint("agent", &url, &["message.incoming"]).await?;
    let trace_id = Uuid::new_v4().simple().to_string();
    let answer = api
        .request(reqwest::Method::POST, "/v1/accounts/agent/events")
        .header("traceparent", format!("00-{trace_id}-00f067aa0ba902b7-01"))
        .json(&json!({"type": "message.incoming", "object": {}}))
        .send()
        .await?;
    ensure!(answer.status() == 202, "{}", answer.status());
    let log = dir.path().join("agent.log");
    eventually(
        "the agent has the spans",
        Duration::from_secs(30),
        || async {
            let text = std::fs::read_to_string(&log).context("its log")?;
            for name in [
                "POST /v1/accounts/{account}/events",
                "send events.{account}",
                "process deliver.{partition}",
            ] {
                ensure!(text.contains(name), "{name} is not in it");
            }
            ensure!(text.contains(&trace_id), "the trace id is not in it");
            Ok(())
        },
    )
    .await
}

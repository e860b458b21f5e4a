//! What is logged, changed while the process runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::deployment::{Deployment, Mode};
use harness::receiver::Receiver;
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        the_level_is_changed_while_it_runs,
        a_line_about_an_attempt_names_its_trace,
    ]
}

/// Lines of a process's log that hold this text.
fn lines(deployment: &Deployment, name: &str, text: &str) -> Result<Vec<Value>> {
    let log = deployment.dir().join(format!("{name}.log"));
    let log = std::fs::read_to_string(log)?;
    let found = log.lines().filter(|line| line.contains(text));
    found
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

fn dispatcher(deployment: &Deployment) -> &'static str {
    match deployment.mode() {
        Mode::Standalone => "standalone",
        Mode::Processes | Mode::Overlay => "dispatcher",
    }
}

async fn the_level_is_changed_while_it_runs(deployment: Arc<Deployment>) -> Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let name = dispatcher(&deployment);
    let url = format!("{}/log-level", deployment.admin(name));
    let put = async |level: &'static str| {
        let answer = client.put(&url).body(level).send().await?;
        anyhow::Ok((answer.status().as_u16(), answer.text().await?))
    };
    let (status, text) = put("dispatcher=loud").await?;
    ensure!(status == 400, "{status}: {text}");
    let (status, text) = put("debug,a_test=trace").await?;
    ensure!(status == 200 && text.contains("a_test=trace"), "{text}");
    let now = client.get(&url).send().await?.text().await?;
    ensure!(now == text, "{now}");
    let told = lines(&deployment, name, "the log's level was changed")?;
    ensure!(
        told.iter()
            .any(|line| line["directives"] == "debug,a_test=trace"),
        "{told:?}"
    );
    let (status, _) = put("debug").await?;
    ensure!(status == 200);
    Ok(())
}

async fn a_line_about_an_attempt_names_its_trace(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let url = receiver.url("hook");
    api.endpoint("logged", &url, &["message.incoming"]).await?;
    api.publish("logged", "message.incoming", &json!({}))
        .await?;
    let received = receiver.wait_for("hook", 1, LIMIT).await?;
    let sent = received[0].header("traceparent").to_owned();
    let trace_id = sent.split('-').nth(1).context("a trace id")?;
    eventually("the line is there", LIMIT, || async {
        let found = lines(&deployment, dispatcher(&deployment), trace_id)?;
        let line = found.first().context("no line has the trace id")?;
        ensure!(
            line["trace_id"] == trace_id && line["level"] == "DEBUG",
            "{line}"
        );
        ensure!(
            sent.contains(line["span_id"].as_str().unwrap_or("?")),
            "{line}"
        );
        let message = line["message"].as_str().unwrap_or_default();
        ensure!(message.starts_with("attempt 1 of dlv_"), "{line}");
        Ok(())
    })
    .await
}

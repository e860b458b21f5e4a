//! Chromium at the dashboard, driven by `tests/browser/journey.mjs`.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::Deployment;
use harness::receiver::{Answer, Receiver};
use serde_json::json;
use tokio::process::Command;
use tokio::time::timeout;

use super::portal;

const LIMIT: Duration = Duration::from_secs(150);

pub(super) async fn a_customer_sets_up_tests_edits_and_deletes_an_endpoint(
    deployment: Arc<Deployment>,
) -> Result<()> {
    journey(&deployment, "browser", true).await
}

pub(super) async fn the_same_way_works_without_script(deployment: Arc<Deployment>) -> Result<()> {
    journey(&deployment, "browser-plain", false).await
}

/// The receiver takes the first test event and is gone at the second.
async fn journey(deployment: &Deployment, account: &str, script: bool) -> Result<()> {
    let receiver = Receiver::start().await?;
    let refused = Answer::status(410).body("<script>alert(1)</script>\u{202e}");
    receiver.script("/hook", [Answer::status(200), refused]);
    let directory = harness::repository().join("tests/browser");
    let mut node = Command::new("node");
    node.arg("journey.mjs")
        .current_dir(directory)
        .env("PORTAL", portal(deployment, account, &json!({})).await?)
        .env("RECEIVER", receiver.url("/hook"))
        .env("SCRIPT", if script { "on" } else { "off" })
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(LIMIT, node.output())
        .await
        .context("the browser does not end")??;
    ensure!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let received = receiver.received("/hook");
    ensure!(received.len() == 2, "{} requests", received.len());
    Ok(())
}

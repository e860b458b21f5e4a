//! `/metrics` and the metrics by OTLP.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::deployment::Deployment;
use harness::receiver::Receiver;
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::json;
use telemetry::metric;

use crate::collector;

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        the_metrics_are_those_of_the_reference,
        promtool_finds_no_fault,
        metrics_go_out_by_otlp_too,
    ]
}

/// What is only there when it has happened, or has been set.
const SOMETIMES: [&str; 5] = [
    "postrider_breaker_changes_total",
    "postrider_deliveries_deferred_total",
    "postrider_jetstream_storage_limit_bytes",
    "postrider_fanout_endpoints_total",
    "rpc_server_call_duration_seconds",
];

/// The page of each process.
async fn pages(deployment: &Deployment) -> Result<Vec<(&'static str, String)>> {
    let mut pages = Vec::new();
    for name in deployment.processes() {
        let url = format!("{}/metrics", deployment.admin(name));
        let answer = reqwest::get(&url).await?.error_for_status()?;
        pages.push((name, answer.text().await?));
    }
    Ok(pages)
}

/// The metrics of a page, by their `# TYPE` lines.
fn names(page: &str) -> BTreeSet<&str> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next()).collect()
}

async fn deliver_something(deployment: &Deployment, account: &str) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let url = receiver.url("hook");
    let endpoint = api.endpoint(account, &url, &["message.incoming"]).await?;
    api.publish(account, "message.incoming", &json!({})).await?;
    eventually("it is recorded", Duration::from_secs(15), || async {
        let attempts = api.attempts(account, &endpoint).await?;
        ensure!(!attempts.is_empty(), "not yet");
        Ok(())
    })
    .await
}

async fn the_metrics_are_those_of_the_reference(deployment: Arc<Deployment>) -> Result<()> {
    deliver_something(&deployment, "measured").await?;
    let reference: BTreeSet<String> = metric::ALL
        .iter()
        .map(metric::Metric::prometheus_name)
        .chain(["target_info".to_owned()])
        .collect();
    // Some are looked at every few seconds.
    eventually("all are there", Duration::from_secs(20), || async {
        let pages = pages(&deployment).await?;
        let seen: BTreeSet<&str> = pages.iter().flat_map(|(_, page)| names(page)).collect();
        let unknown: Vec<_> = seen
            .iter()
            .filter(|name| !reference.contains(**name))
            .collect();
        ensure!(unknown.is_empty(), "not in the reference: {unknown:?}");
        let missing: Vec<_> = reference
            .iter()
            .filter(|name| !seen.contains(name.as_str()) && !SOMETIMES.contains(&name.as_str()))
            .collect();
        ensure!(missing.is_empty(), "not there: {missing:?}");
        Ok(())
    })
    .await?;
    let pages = pages(&deployment).await?;
    let series = pages.iter().flat_map(|(_, page)| page.lines());
    let with_ids: Vec<_> = series
        .filter(|line| {
            ["measured", "evt_", "ep_", "dlv_"]
                .iter()
                .any(|id| line.contains(id))
        })
        .collect();
    ensure!(with_ids.is_empty(), "{with_ids:?}");
    Ok(())
}

async fn promtool_finds_no_fault(deployment: Arc<Deployment>) -> Result<()> {
    deliver_something(&deployment, "linted").await?;
    for (name, page) in pages(&deployment).await? {
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("promtool is in Debian's package prometheus")?;
        let mut stdin = promtool.stdin.take().context("a pipe")?;
        stdin.write_all(page.as_bytes())?;
        drop(stdin);
        let output = promtool.wait_with_output()?;
        let faults = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() && faults.is_empty(),
            "{name}: {faults}"
        );
    }
    Ok(())
}

async fn metrics_go_out_by_otlp_too(deployment: Arc<Deployment>) -> Result<()> {
    deliver_something(&deployment, "sent").await?;
    let wanted = [
        metric::INGEST_EVENTS,
        metric::ATTEMPTS,
        metric::DELIVERY_LATENCY,
        metric::RECORDING_LAG,
        metric::STREAM_OLDEST_AGE,
    ];
    eventually("they have come", Duration::from_secs(20), || async {
        let came = collector().metrics();
        let missing = wanted
            .iter()
            .find(|metric| !came.contains(&metric.name.to_owned()));
        ensure!(missing.is_none(), "{missing:?} is not among {came:?}");
        Ok(())
    })
    .await
}

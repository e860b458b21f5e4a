//! Alert rules, dashboards, runbooks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use harness::manifest::{list, parse, succeeded};
use harness::repository;
use serde_json::Value;

#[test]
fn the_rules_are_valid_and_each_behaves_as_its_tests_say() -> Result<()> {
    let folder = repository().join("deploy/prometheus");
    let mut check = Command::new("promtool");
    check
        .args(["check", "rules"])
        .args(files(&folder.join("rules"))?);
    let output = check.output();
    succeeded(output.context("promtool is in Debian's package prometheus")?)?;
    let mut test = Command::new("promtool");
    test.args(["test", "rules"])
        .args(files(&folder.join("tests"))?);
    succeeded(test.output()?)?;
    Ok(())
}

#[test]
fn each_alert_is_tested_to_fire_and_to_stay_quiet() -> Result<()> {
    let mut fires = BTreeSet::new();
    let mut stays_quiet = BTreeSet::new();
    for file in files(&repository().join("deploy/prometheus/tests"))? {
        for test in list(&read(&file)?["tests"]) {
            for expected in list(&test["alert_rule_test"]) {
                let alert = expected["alertname"].as_str().context("a name")?;
                let which = match list(&expected["exp_alerts"]) {
                    [] => &mut stays_quiet,
                    _ => &mut fires,
                };
                which.insert(alert.to_owned());
            }
        }
    }
    for alert in alerts()? {
        let name = alert["alert"].as_str().context("a name")?;
        ensure!(fires.contains(name), "{name} is never seen to fire");
        ensure!(
            stays_quiet.contains(name),
            "{name} is never seen to be quiet"
        );
    }
    Ok(())
}

#[test]
fn each_alert_has_a_runbook_and_each_runbook_an_alert() -> Result<()> {
    let mut named = BTreeSet::new();
    for alert in alerts()? {
        let runbook = alert["annotations"]["runbook"].as_str();
        named.insert(repository().join(runbook.context("a runbook")?));
    }
    let written = std::fs::read_dir(repository().join("docs/runbooks"))?;
    let written: Result<BTreeSet<PathBuf>, _> = written.map(|entry| Ok(entry?.path())).collect();
    let mut written = written.map_err(|error: std::io::Error| error)?;
    written.remove(&repository().join("docs/runbooks/README.md"));
    ensure!(named == written, "{named:?} and {written:?}");
    Ok(())
}

#[test]
fn the_operators_rules_are_the_same() -> Result<()> {
    let output = Command::new(repository().join("scripts/prometheus-rule")).output()?;
    let written = succeeded(output)?;
    let kept = repository().join("k8s/components/podmonitor/prometheus-rule.yaml");
    ensure!(
        std::fs::read(&kept)? == written,
        "run scripts/prometheus-rule > {}",
        kept.display()
    );
    Ok(())
}

#[test]
fn dashboards_and_rules_ask_only_for_what_exists() -> Result<()> {
    let reference = std::fs::read_to_string(repository().join("docs/reference/metrics.md"))?;
    let exported: BTreeSet<&str> = reference.split('`').skip(1).step_by(2).collect();
    let mut recorded = BTreeSet::new();
    let mut queries = Vec::new();
    for rule in rules()? {
        queries.push(rule["expr"].as_str().context("a query")?.to_owned());
        recorded.extend(rule["record"].as_str().map(str::to_owned));
    }
    for file in files(&repository().join("deploy/grafana/dashboards"))? {
        let board: Value = serde_json::from_slice(&std::fs::read(file)?)?;
        for panel in list(&board["panels"]) {
            for target in list(&panel["targets"]) {
                queries.push(target["expr"].as_str().context("a query")?.to_owned());
            }
        }
    }
    let scaled = repository().join("k8s/components/keda/scaled-object.yaml");
    let scaled = std::fs::read_to_string(scaled)?;
    let asked = scaled.lines();
    let asked = asked.filter_map(|line| line.trim().strip_prefix("query: "));
    queries.extend(asked.map(str::to_owned));
    ensure!(
        queries.len() > 60,
        "only {} queries were found",
        queries.len()
    );
    for query in queries {
        for name in metrics_in(&query) {
            let parts = ["_bucket", "_count", "_sum"];
            let whole = parts.iter().find_map(|part| name.strip_suffix(part));
            let known = exported.contains(name)
                || recorded.contains(name)
                || whole.is_some_and(|whole| exported.contains(whole));
            ensure!(
                known,
                "`{name}` does not exist, and is asked for by: {query}"
            );
        }
    }
    Ok(())
}

/// The names of metrics in a query: all that begin as ours do.
fn metrics_in(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let prefixes = ["postrider", "http_server_", "rpc_server_", "process_"];
    words.filter(move |word| prefixes.iter().any(|prefix| word.starts_with(prefix)))
}

fn rules() -> Result<Vec<Value>> {
    let mut rules = Vec::new();
    for file in files(&repository().join("deploy/prometheus/rules"))? {
        for group in list(&read(&file)?["groups"]) {
            rules.extend(list(&group["rules"]).iter().cloned());
        }
    }
    Ok(rules)
}

fn alerts() -> Result<Vec<Value>> {
    let alerts: Vec<Value> = rules()?
        .into_iter()
        .filter(|rule| !rule["alert"].is_null())
        .collect();
    ensure!(!alerts.is_empty(), "there are alerts");
    Ok(alerts)
}

fn read(file: &Path) -> Result<Value> {
    let document = parse(&std::fs::read_to_string(file)?)?.pop();
    document.with_context(|| format!("{} is empty", file.display()))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?;
    let files: Result<Vec<PathBuf>, _> = entries.map(|entry| Ok(entry?.path())).collect();
    let files = files.map_err(|error: std::io::Error| error)?;
    ensure!(!files.is_empty(), "{} is empty", folder.display());
    Ok(files)
}

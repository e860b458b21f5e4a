//! A client that nobody here wrote calls what the OpenAPI document describes:
//! `schemathesis`, which `make test` puts on PATH.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::{Deployment, Mode};
use harness::suite::Scenario;
use tokio::process::Command;
use tokio::time::timeout;

/// It generates calls for so long, then comes to an end.
const SECONDS: &str = "45";
const LIMIT: Duration = Duration::from_secs(180);

/// No fault of ours, no answer that the document does not describe, and no
/// answer without a key.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,ignored_auth,unsupported_method";

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![no_generated_call_breaks_the_description]
}

async fn no_generated_call_breaks_the_description(mode: Mode) -> Result<()> {
    let deployment = Deployment::start(mode, &[]).await?;
    let document = format!("{}/openapi.json", deployment.http());
    let key = format!("Authorization: Bearer {}", deployment.admin_key());
    let mut command = Command::new("schemathesis");
    command
        .args(["run", &document, "--header", &key, "--checks", CHECKS])
        .args(["--phases", "examples,coverage,fuzzing", "--seed", "1"])
        .args([
            "--max-time",
            SECONDS,
            "--request-timeout",
            "10",
            "--no-color",
        ])
        // Its answer does not end.
        .args(["--exclude-operation-id", "tailAttempts"])
        .args(["--warnings", "off", "--generation-database", "none"])
        .current_dir(deployment.dir())
        .kill_on_drop(true);
    let run = timeout(LIMIT, command.output()).await;
    let output = run.context("schemathesis does not end")?.context(
        "schemathesis is not on PATH: run `make test`, or put the environment of \
         `scripts/venv scripts/requirements-test.txt` there",
    )?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}");
    ensure!(said.contains("No issues found"), "{said}");
    let errors = deployment.errors_logged()?;
    ensure!(errors.is_empty(), "{errors:?}");
    Ok(())
}

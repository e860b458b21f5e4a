//! The API's description: valid OpenAPI, and the one that is published.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::Deployment;
use harness::suite::Scenario;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        the_description_is_valid_openapi,
        the_description_is_the_published_one,
    ]
}

async fn served(deployment: &Deployment) -> Result<Value> {
    let answer = reqwest::get(format!("{}/openapi.json", deployment.http())).await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    Ok(answer.json().await?)
}

async fn the_description_is_valid_openapi(deployment: Arc<Deployment>) -> Result<()> {
    let file = deployment.dir().join("openapi.json");
    std::fs::write(&file, serde_json::to_vec(&served(&deployment).await?)?)?;
    let mut check = Command::new("openapi-spec-validator");
    let check = check.arg(&file).kill_on_drop(true).output();
    let output = timeout(LIMIT, check).await.context("it does not end")??;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// A change of the API shows as a change of this file.
async fn the_description_is_the_published_one(deployment: Arc<Deployment>) -> Result<()> {
    let file = harness::repository().join("docs/openapi.json");
    let published: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    ensure!(
        published == served(&deployment).await?,
        "docs/openapi.json is not what is served: \
         curl -s http://127.0.0.1:8080/openapi.json | python3 -m json.tool > docs/openapi.json"
    );
    Ok(())
}

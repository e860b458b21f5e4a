//! The master key is changed while events are sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::signature::{Secret, body_signature};
use harness::api::Api;
use harness::deployment::{Deployment, Mode, binary};
use harness::receiver::Receiver;
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

const ACCOUNT: &str = "rotation";
/// More than what is sealed anew in one step.
const ENDPOINTS: usize = 130;
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![no_signature_fails_while_the_master_key_is_changed]
}

async fn no_signature_fails_while_the_master_key_is_changed(mode: Mode) -> Result<()> {
    // Standalone makes its own; five processes share a file.
    let folder = tempfile::tempdir()?;
    let shared = folder.path().join("master.key").display().to_string();
    std::fs::write(&shared, format!("{}\n", STANDARD.encode([5; 32])))?;
    let settings = [
        ("POSTRIDER_MASTER_KEY", ""),
        ("POSTRIDER_MASTER_KEY_FILE", shared.as_str()),
    ];
    let settings = match mode {
        Mode::Standalone => &[],
        Mode::Processes | Mode::Overlay => &settings[..],
    };
    let deployment = Deployment::start(mode, settings).await?;
    let master = match mode {
        Mode::Standalone => deployment
            .dir()
            .join("data/master.key")
            .display()
            .to_string(),
        Mode::Processes | Mode::Overlay => shared.clone(),
    };
    let api = deployment.api();
    let receiver = Receiver::start().await?;
    for number in 0..ENDPOINTS {
        let types = if number == 0 {
            "message.report"
        } else {
            "form.submitted"
        };
        let body = json!({"url": receiver.url(&format!("hook-{number}")), "description": "d",
            "event_types": [types], "headers": {"X-Number": format!("{number}")}});
        let path = format!("/v1/accounts/{ACCOUNT}/endpoints");
        api.post(201, &path, &body).await?;
    }
    let old = std::fs::read_to_string(&master)?;
    ensure!(old.lines().count() == 1, "one key");

    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(publish(api.clone(), Arc::clone(&stop)));
    receiver.wait_for("hook-0", 5, LIMIT).await?;
    rotate(&deployment, &master).await?;
    let new = std::fs::read_to_string(&master)?;
    ensure!(
        new.lines().count() == 1 && new != old,
        "the old key is gone"
    );
    eventually("only the new key is known", LIMIT, || async {
        let answer = api.get("/v1/master-keys").await?;
        let keys = answer["master_keys"].as_array().context("keys")?;
        ensure!(keys.len() == 1 && keys[0]["active"] == true, "{keys:?}");
        ensure!(keys[0]["sealed"] == 2 * ENDPOINTS, "{keys:?}");
        Ok(())
    })
    .await?;
    let before = receiver.received("hook-0").len();
    receiver.wait_for("hook-0", before + 5, LIMIT).await?;
    stop.store(true, Ordering::Relaxed);
    let published = load.await??;
    every_signature_is_right(&api, &receiver, published).await?;

    // Nothing needs the old key any more, nor remembers what it opened.
    for process in deployment.processes() {
        deployment.terminate(process)?;
        deployment.start_process(process).await?;
    }
    deployment.ready(LIMIT).await?;
    api.publish(ACCOUNT, "form.submitted", &json!({})).await?;
    for number in 1..ENDPOINTS {
        let path = format!("hook-{number}");
        let came = receiver.wait_for(&path, 1, LIMIT).await?;
        ensure!(came[0].header("x-number") == format!("{number}"), "{path}");
    }
    let errors = deployment.errors_logged()?;
    ensure!(errors.is_empty(), "{errors:?}");
    Ok(())
}

/// Publishes until it is told to stop; how many there were.
async fn publish(api: Api, stop: Arc<AtomicBool>) -> Result<usize> {
    let mut published = 0;
    while !stop.load(Ordering::Relaxed) {
        api.publish(ACCOUNT, "message.report", &json!({"n": published}))
            .await?;
        published += 1;
        sleep(Duration::from_millis(20)).await;
    }
    Ok(published)
}

async fn rotate(deployment: &Deployment, file: &str) -> Result<()> {
    let mut command = Command::new(binary()?);
    command
        .args(["key", "rotate-master", "--master-key-file", file])
        .env_clear()
        .env("POSTRIDER_URL", deployment.http())
        .env("POSTRIDER_KEY", deployment.admin_key())
        .kill_on_drop(true);
    let output = timeout(2 * LIMIT, command.output()).await??;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

async fn every_signature_is_right(api: &Api, receiver: &Receiver, published: usize) -> Result<()> {
    let received = receiver.wait_for("hook-0", published, LIMIT).await?;
    ensure!(received.len() == published, "each once: {}", received.len());
    let path = format!("/v1/accounts/{ACCOUNT}/endpoints?page_size=100");
    let mut page = api.get(&path).await?;
    while let Some(token) = page["next_page_token"]
        .as_str()
        .filter(|token| !token.is_empty())
    {
        page = api.get(&format!("{path}&page_token={token}")).await?;
    }
    // The oldest is the last.
    let endpoint = page["endpoints"].as_array().and_then(|all| all.last());
    let endpoint = endpoint
        .and_then(|one| one["id"].as_str())
        .context("an endpoint")?;
    let secret = Secret::parse(&api.secret(ACCOUNT, endpoint).await?)?;
    for one in &received {
        let expected = body_signature(&secret, &one.body);
        ensure!(one.header("x-webhook-signature") == expected, "{one:?}");
        ensure!(one.header("x-number") == "0", "{one:?}");
    }
    let attempts = api.attempts(ACCOUNT, endpoint).await?;
    let failed = |one: &&Value| one["status"] != "succeeded";
    ensure!(!attempts.iter().any(|one| failed(&one)), "{attempts:?}");
    Ok(())
}

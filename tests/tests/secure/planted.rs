//! Secrets that were planted are looked for wherever Postrider writes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::deployment::{Deployment, Mode, binary};
use harness::receiver::Receiver;
use harness::suite::Scenario;
use reqwest::Method;
use reqwest::redirect::Policy;
use serde_json::json;
use tokio::process::Command;

const ACCOUNT: &str = "planted";
const LIMIT: Duration = Duration::from_secs(20);
const HEADER: &str = "planted-header-value";
const QUERY: &str = "planted-query-value";

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![
        secrets_are_found_nowhere,
        the_configuration_is_shown_without_secrets,
    ]
}

/// What must not be found, and what it is.
type Planted = Vec<(&'static str, Vec<u8>)>;

async fn secrets_are_found_nowhere(mode: Mode) -> Result<()> {
    let deployment = Deployment::start(mode, &[("POSTRIDER_LOG", "debug")]).await?;
    let api = deployment.api();
    let receiver = Receiver::start().await?;
    let url = receiver.url(&format!("hook?token={QUERY}"));
    let body = json!({"url": url, "description": "planted", "event_types": ["message.report"],
        "headers": {"Authorization": HEADER}});
    let base = format!("/v1/accounts/{ACCOUNT}");
    let made = api.post(201, &format!("{base}/endpoints"), &body).await?;
    let endpoint = made["id"].as_str().context("an id")?;
    let first = api.secret(ACCOUNT, endpoint).await?;
    let path = format!("{base}/endpoints/{endpoint}/secret/regenerate");
    let grace = json!({"grace_period_seconds": 3600});
    api.post(200, &path, &grace).await?;
    let second = api.secret(ACCOUNT, endpoint).await?;
    let key = json!({"description": "planted", "scope": "admin", "account": ACCOUNT});
    let key = api.post(201, "/v1/keys", &key).await?;
    let key = key["key"].as_str().context("a key")?.to_owned();
    let session = format!("{base}/portal-sessions");
    let door = api.with_key(&key).post(201, &session, &json!({})).await?;
    let door = door["url"].as_str().context("a link")?.to_owned();
    let visitor = reqwest::Client::builder()
        .redirect(Policy::none())
        .build()?;
    let entered = visitor.get(&door).send().await?;
    ensure!(entered.status().is_redirection(), "{}", entered.status());
    let cookie = entered.headers().get("set-cookie").context("a session")?;
    let cookie = cookie
        .to_str()?
        .split([';', '='])
        .nth(1)
        .unwrap_or_default();
    let cookie = cookie.to_owned();
    api.publish(ACCOUNT, "message.report", &json!({})).await?;
    let received = receiver.wait_for("hook", 1, LIMIT).await?;
    ensure!(received[0].header("authorization") == HEADER, "it is sent");
    // A failure is written down at more length.
    let mistyped = api.with_key(&format!("{key}0"));
    let (status, _) = mistyped.call(Method::GET, "/v1/keys", None).await?;
    ensure!(status == 401, "a mistyped key: {status}");

    let link = door.rsplit('/').next().unwrap_or_default();
    let mut planted: Planted = vec![
        ("a custom header", HEADER.into()),
        ("a key", key.clone().into()),
        (
            "the secret part of a key",
            key.rsplit('_').next().unwrap_or_default().into(),
        ),
        ("the admin key", deployment.admin_key().into()),
        ("a portal link", link.into()),
        ("a session", cookie.into()),
    ];
    for secret in [&first, &second] {
        let base64 = secret.strip_prefix("whsec_").context("a secret")?;
        planted.push(("a secret", base64.into()));
        planted.push(("a secret's bytes", STANDARD.decode(base64)?));
    }
    search(&deployment, &planted).await
}

async fn search(deployment: &Deployment, planted: &Planted) -> Result<()> {
    let mut bytes = 0;
    let mut searched = 0;
    for path in files(deployment.dir())? {
        // The two files that are there to hold a secret.
        if path.ends_with("data/admin.key") || path.ends_with("data/master.key") {
            continue;
        }
        // A database removes files while it runs.
        let Ok(content) = std::fs::read(&path) else {
            continue;
        };
        (bytes, searched) = (bytes + content.len(), searched + 1);
        not_in(&content, planted, &path.display().to_string())?;
        if path.extension().is_some_and(|extension| extension == "log") {
            let query = vec![("a URL's query", QUERY.into())];
            not_in(&content, &query, &path.display().to_string())?;
        }
    }
    ensure!(
        searched > 10 && bytes > 100_000,
        "{searched} files, {bytes} bytes"
    );
    for name in deployment.processes() {
        let url = format!("{}/metrics", deployment.admin(name));
        let metrics = reqwest::get(url).await?.bytes().await?;
        ensure!(!metrics.is_empty(), "{name} has metrics");
        not_in(&metrics, planted, "/metrics")?;
    }
    Ok(())
}

fn not_in(content: &[u8], planted: &Planted, place: &str) -> Result<()> {
    for (what, secret) in planted {
        let found = content.windows(secret.len()).any(|part| part == *secret);
        ensure!(!found, "{what} is in {place}");
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => found.extend(files(&entry.path())?),
            kind if kind.is_file() => found.push(entry.path()),
            // A socket.
            _ => {}
        }
    }
    Ok(found)
}

async fn the_configuration_is_shown_without_secrets(_: Mode) -> Result<()> {
    let master = STANDARD.encode([77; 32]);
    let given = [
        ("POSTRIDER_MASTER_KEY", master.as_str()),
        ("POSTRIDER_ADMIN_KEY", "planted-admin-key"),
        (
            "POSTRIDER_DATABASE_URL",
            "postgres://app:planted-password@db/postrider",
        ),
        (
            "POSTRIDER_NATS_URL",
            "nats://app:planted-password@nats:4222",
        ),
    ];
    for arguments in [
        &["config", "show"][..],
        &["config", "show", "--json"],
        &["config", "check"],
    ] {
        let mut command = Command::new(binary()?);
        let output = command
            .args(arguments)
            .env_clear()
            .envs(given)
            .output()
            .await?;
        ensure!(output.status.success(), "{output:?}");
        let text = [output.stdout, output.stderr].concat();
        let planted = vec![
            ("a password", b"planted-password".to_vec()),
            ("the admin key", b"planted-admin-key".to_vec()),
            ("the master key", master.clone().into_bytes()),
        ];
        not_in(&text, &planted, &arguments.join(" "))?;
    }
    Ok(())
}

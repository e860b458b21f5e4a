//! `postrider listen`: events on a developer's machine.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::signature::{Secret, body_signature};
use harness::deployment::{Deployment, binary};
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        a_listener_forwards_each_event_signed,
        a_listener_signs_with_an_endpoints_secret_and_takes_some_types_only,
    ]
}

struct Listener {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listener {
    async fn start(deployment: &Deployment, arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new(binary()?)
            .arg("listen")
            .args(arguments)
            .env("POSTRIDER_URL", deployment.http())
            .env("POSTRIDER_KEY", deployment.api().key())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("a stdout")?;
        let lines = BufReader::new(stdout).lines();
        Ok(Self {
            _child: child,
            lines,
        })
    }

    async fn line(&mut self) -> Result<String> {
        let line = timeout(LIMIT, self.lines.next_line()).await;
        line.context("nothing is printed")??.context("it has ended")
    }
}

async fn a_listener_forwards_each_event_signed(deployment: Arc<Deployment>) -> Result<()> {
    let account = "listen";
    let api = deployment.api();
    let before = api
        .publish(account, "message.incoming", &json!({"text": "before"}))
        .await?;
    eventually("it is recorded", LIMIT, async || {
        let path = format!("/v1/accounts/{account}/events/{before}");
        api.get(&path).await
    })
    .await?;
    let receiver = Receiver::start().await?;
    receiver.script("dev", [Answer::status(500), Answer::status(200)]);
    let url = receiver.url("dev");
    let arguments = ["--account", account, "--forward", &url];
    let mut listener = Listener::start(&deployment, &arguments).await?;
    let secret = listener.line().await?;
    let secret = secret
        .strip_prefix("signing secret: ")
        .context("a secret")?;
    let secret = Secret::parse(secret)?;
    ensure!(listener.line().await?.starts_with("listening"));
    for (number, status) in [(1, "500"), (2, "200")] {
        let id = api
            .publish(account, "message.incoming", &json!({"number": number}))
            .await?;
        let line = listener.line().await?;
        ensure!(line.contains(&id) && line.ends_with(status), "{line}");
    }
    // Each once, whatever was answered.
    let received = receiver.received("dev");
    ensure!(received.len() == 2, "{} requests", received.len());
    for request in received {
        let expected = body_signature(&secret, &request.body);
        ensure!(request.header("x-webhook-signature") == expected);
        ensure!(request.header("webhook-id").starts_with("evt_"));
    }
    Ok(())
}

async fn a_listener_signs_with_an_endpoints_secret_and_takes_some_types_only(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let account = "listen-endpoint";
    let api = deployment.api();
    let receiver = Receiver::start().await?;
    let endpoint = api
        .endpoint(account, &receiver.url("live"), &["form.submitted"])
        .await?;
    let url = receiver.url("dev");
    let arguments = [
        "--account",
        account,
        "--forward",
        &url,
        "--endpoint",
        &endpoint,
        "-t",
        "message.report",
    ];
    let mut listener = Listener::start(&deployment, &arguments).await?;
    let secret = api.secret(account, &endpoint).await?;
    ensure!(listener.line().await? == format!("signing secret: {secret}"));
    ensure!(listener.line().await?.starts_with("listening"));
    let object = json!({});
    api.publish(account, "message.incoming", &object).await?;
    let id = api.publish(account, "message.report", &object).await?;
    ensure!(listener.line().await?.contains(&id));
    let received = receiver.received("dev");
    ensure!(received.len() == 1, "{} requests", received.len());
    Ok(())
}

//! The README's quickstart, as printed but for the ports.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::{Deployment, Mode};
use harness::ports::free_port;
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![the_quickstart_works_as_printed]
}

async fn the_quickstart_works_as_printed(deployment: Arc<Deployment>) -> Result<()> {
    // It is about `make run`.
    if deployment.mode() != Mode::Standalone {
        return Ok(());
    }
    let port = free_port();
    let http = deployment.http().replace("http://", "");
    let grpc = deployment.grpc("ingest").replace("http://", "");
    let here = |block: String| {
        block
            .replace("127.0.0.1:8080", &http)
            .replace("127.0.0.1:50051", &grpc)
            .replace("127.0.0.1:9900", &format!("127.0.0.1:{port}"))
            .replace("9900", &port.to_string())
    };
    let script = deployment.dir().join("receiver.py");
    std::fs::write(&script, here(harness::readme_block("file: receiver.py")?))?;
    let log = deployment.dir().join("receiver.log");
    let _receiver = Command::new("python3")
        .arg(&script)
        .stdout(std::fs::File::create(&log)?)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    eventually("the receiver listens", LIMIT, || async {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        Ok(())
    })
    .await?;

    let output = run(
        deployment.dir(),
        &here(harness::readme_block("run: quickstart-curl")?),
    )
    .await?;
    let answers = output.lines().map(serde_json::from_str::<Value>);
    let answers = answers
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| output.clone())?;
    ensure!(answers.len() == 3, "{output}");
    ensure!(answers[1]["duplicate"] == false, "{output}");
    let delivery = &answers[2]["events"][0]["deliveries"][0];
    ensure!(delivery["state"] == "succeeded", "{output}");

    let output = run(
        deployment.dir(),
        &here(harness::readme_block("run: quickstart-buf")?),
    )
    .await?;
    let answer: Value = serde_json::from_str(&output).with_context(|| output.clone())?;
    let id = answer["id"].as_str().context("an event id")?;
    eventually("both events have come", LIMIT, || async {
        let printed = std::fs::read_to_string(&log)?;
        ensure!(
            printed.lines().count() == 2 && printed.contains(id),
            "{printed}"
        );
        Ok(())
    })
    .await
}

async fn run(folder: &Path, script: &str) -> Result<String> {
    let mut command = Command::new("sh");
    command
        .arg("-euc")
        .arg(script)
        .current_dir(folder)
        .kill_on_drop(true);
    let output = timeout(LIMIT, command.output())
        .await
        .context("it does not end")??;
    let error = String::from_utf8_lossy(&output.stderr);
    let answer = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{error}\n{answer}");
    Ok(answer)
}

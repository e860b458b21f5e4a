//! How a command ends that does not do what it was told.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Result, ensure};
use harness::deployment::{Deployment, binary};
use harness::shell;
use harness::suite::Scenario;
use tokio::process::Command;
use tokio::time::timeout;

use super::LIMIT;

pub(super) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        wrong_arguments_exit_with_64_and_say_what_is_right,
        a_refusal_exits_with_1,
        a_reader_may_have_had_enough,
    ]
}

async fn wrong_arguments_exit_with_64_and_say_what_is_right(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let id = "ep_00000000-0000-4000-8000-000000000000";
    let cases: &[(&[&str], &str)] = &[
        (
            &["history", "list", "-a", "no spaces"],
            "A-Z, a-z, 0-9, _ and -",
        ),
        (
            &["history", "list", "-a", "acme", "-e", "evt_1"],
            "looks like ep_",
        ),
        (
            &["history", "list", "-a", "acme", "--after", "yesterday"],
            "how long ago",
        ),
        (
            &["history", "list", "-a", "acme", "--page-size", "101"],
            "from 1 to 100",
        ),
        (
            &["history", "list", "-a", "acme", "--failure-class", "x"],
            "egress_denied",
        ),
        (
            &["history", "list", "-a", "acme", "--tag", "person"],
            "person=4711",
        ),
        (
            &["history", "list", "-a", "acme", "--url", "localhost"],
            "http://127.0.0.1:8080",
        ),
        (
            &["history", "show", "-a", "acme", "ep_1"],
            "an event (evt_…)",
        ),
        (
            &["history", "show", "-a", "acme", id],
            "postrider endpoint get ep_00000000-0000-4000-8000-000000000000",
        ),
        (
            &["history", "stats", "-a", "acme", "-e", "ep_1"],
            "looks like ep_",
        ),
        (
            &["history", "tail", "-a", "acme", "-e", "ep_1"],
            "looks like ep_",
        ),
        (
            &["replay", "-a", "acme", "-e", id, "--after", "1h30"],
            "2026-05-13T12:00:00Z",
        ),
        (&["replay", "-a", "acme", "--show", "1"], "looks like rpl_"),
        (&["erase", "-a", "acme", "--event", "1"], "looks like evt_"),
        (
            &["erase", "-a", "acme", "--show", "rpl_1"],
            "looks like ers_",
        ),
        (
            &["resend", "-a", "acme", "evt_1", "-e", id],
            "looks like evt_",
        ),
        (&["endpoint", "get", "-a", "acme", "1"], "looks like ep_"),
        (
            &["endpoint", "update", "-a", "acme", id, "--rate-limit", "x"],
            "a whole number",
        ),
        (
            &["endpoint", "update", "-a", "acme", id],
            "nothing to change",
        ),
        (
            &[
                "event", "publish", "-a", "acme", "-t", "No", "--object", "{}",
            ],
            "message.incoming",
        ),
        (
            &[
                "event",
                "publish",
                "-a",
                "acme",
                "-t",
                "form.submitted",
                "--object",
                "{x",
            ],
            "line 1, column 2",
        ),
        (
            &[
                "key",
                "create",
                "--scope",
                "read",
                "-d",
                "x",
                "--expires-at",
                "2020-01-01",
            ],
            "still to come",
        ),
        (
            &["plan", "--events-per-second", "1e30", "--fan-out", "1"],
            "to 1000000",
        ),
    ];
    for (arguments, right) in cases {
        let told = shell::run(&deployment, arguments).await?;
        ensure!(
            told.code == Some(64) && told.stderr.contains(right) && told.stdout.is_empty(),
            "{arguments:?}: {told:?}"
        );
        for of_a_parser in [
            "invalid digit",
            "relative URL",
            "os error",
            "expected value",
        ] {
            ensure!(
                !told.stderr.contains(of_a_parser),
                "{arguments:?}: {told:?}"
            );
        }
    }
    Ok(())
}

async fn a_refusal_exits_with_1(deployment: Arc<Deployment>) -> Result<()> {
    let id = "ep_00000000-0000-4000-8000-000000000000";
    let nobody = format!("http://127.0.0.1:{}", harness::ports::free_port());
    let cases: &[(&[&str], &str)] = &[
        (
            &["history", "list", "-a", "acme", "-e", id],
            "404 ENDPOINT_NOT_FOUND",
        ),
        (
            &["history", "list", "-a", "acme", "--page-token", "x"],
            "400 PAGE_TOKEN_INVALID",
        ),
        (
            &["history", "list", "-a", "acme", "--key", "wrong"],
            "401 KEY_INVALID",
        ),
        (
            &["history", "list", "-a", "acme", "--url", &nobody],
            "cannot connect to http://127",
        ),
    ];
    for (arguments, why) in cases {
        let told = shell::run(&deployment, arguments).await?;
        ensure!(
            told.code == Some(1) && told.stderr.contains(why),
            "{arguments:?}: {told:?}"
        );
    }
    Ok(())
}

async fn a_reader_may_have_had_enough(deployment: Arc<Deployment>) -> Result<()> {
    let mut child = Command::new(binary()?)
        .args(["history", "list", "--account", "nobody", "--json"])
        .env("POSTRIDER_URL", deployment.http())
        .env("POSTRIDER_KEY", deployment.api().key())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    // Before it prints: it asks the server first.
    drop(child.stdout.take());
    let ended = timeout(LIMIT, child.wait_with_output()).await??;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success() && said.is_empty(), "{said}");
    Ok(())
}

//! Each role restarted under load as a rollout does it: the new process is
//! ready before the old one is asked to end.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::deployment::{Deployment, Mode};
use harness::load::{Load, Plan, endpoint};
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;

const ACCOUNT: &str = "rolling";
const EVENTS_PER_SECOND: u32 = 100;
const READY: Duration = Duration::from_secs(30);
const CALM: Duration = Duration::from_secs(2);
const DRAIN: Duration = Duration::from_secs(60);
/// Old and new, in the order in which the schema's readers come last.
const PAIRS: [(&str, &str); 5] = [
    ("control", "control-2"),
    ("ingest", "ingest-2"),
    ("fanout", "fanout-2"),
    ("dispatcher", "dispatcher-2"),
    ("history", "history-2"),
];

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![a_rollout_loses_nothing_and_repeats_nothing]
}

async fn a_rollout_loses_nothing_and_repeats_nothing(mode: Mode) -> Result<()> {
    let deployment = Deployment::start(mode, &[]).await?;
    let receiver = Receiver::start().await?;
    receiver.script(
        "hook",
        [Answer::status(200).after(Duration::from_millis(50))],
    );
    let api = deployment.api();
    endpoint(&api, ACCOUNT, &receiver).await?;
    // Behind a Service are both.
    deployment.start_process("ingest-2").await?;
    deployment.process_ready("ingest-2", READY).await?;
    let load = Load::start(&Plan {
        account: ACCOUNT,
        doors: ["ingest", "ingest-2"]
            .map(|door| deployment.grpc(door))
            .into(),
        key: api.key().to_owned(),
        events_per_second: EVENTS_PER_SECOND,
    });
    for (old, new) in PAIRS {
        if new != "ingest-2" {
            deployment.start_process(new).await?;
            deployment.process_ready(new, READY).await?;
        }
        tokio::time::sleep(CALM).await;
        deployment.terminate(old)?;
        tokio::time::sleep(CALM).await;
        if old == "ingest" {
            // The next door, before the load would meet one that is gone.
            deployment.start_process(old).await?;
            deployment.process_ready(old, READY).await?;
        }
    }
    let account = load.finish().await?;
    let twice = account.arrived(&receiver, DRAIN).await?;
    println!(
        "a rollout, {twice} came more than once: {}",
        account.summary()
    );
    ensure!(twice == 0, "{twice} came more than once");
    let repeats = account.most_repeats();
    ensure!(repeats <= 1, "one was repeated {repeats} times");
    Ok(())
}

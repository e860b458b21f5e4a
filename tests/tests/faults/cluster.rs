//! Three nats-servers and what happens to them, under load, as the production
//! overlay runs them.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::cluster::NODES;
use harness::deployment::{Deployment, Mode};
use harness::load::{Load, Plan, endpoint};
use harness::receiver::Receiver;
use harness::suite::Scenario;
use rustix::process::Signal;

const ACCOUNT: &str = "cluster";
const EVENTS_PER_SECOND: u32 = 100;
/// Between two faults, and before the first.
const CALM: Duration = Duration::from_secs(5);
const DRAIN: Duration = Duration::from_secs(180);
/// Without acknowledgements after a leader was killed hard: an election takes
/// 4 to 9 s, and this machine may be busy.
const ELECTION: Duration = Duration::from_secs(30);

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![
        no_accepted_event_is_lost_when_a_streams_leader_is_killed,
        no_accepted_event_is_lost_when_a_leader_hangs,
        no_accepted_event_is_lost_when_servers_are_drained_one_by_one,
        no_accepted_event_is_lost_when_two_servers_and_the_database_are_away,
    ]
}

async fn no_accepted_event_is_lost_when_a_streams_leader_is_killed(_: Mode) -> Result<()> {
    under_load("a leader killed", async |deployment| {
        for stream in ["EVENTS", "DELIVERIES"] {
            tokio::time::sleep(CALM).await;
            let leader = deployment.cluster().await.leader(stream).await?;
            deployment.cluster().await.kill(leader)?;
            tokio::time::sleep(CALM).await;
            deployment.cluster().await.start(leader)?;
            deployment.cluster().await.healthy(leader).await?;
        }
        Ok(())
    })
    .await
}

/// It comes back believing that it leads.
async fn no_accepted_event_is_lost_when_a_leader_hangs(_: Mode) -> Result<()> {
    under_load("a leader hung", async |deployment| {
        tokio::time::sleep(CALM).await;
        let leader = deployment.cluster().await.leader("EVENTS").await?;
        let cluster = deployment.cluster().await;
        cluster.signal(leader, Signal::STOP)?;
        tokio::time::sleep(3 * CALM).await;
        cluster.signal(leader, Signal::CONT)?;
        cluster.healthy(leader).await
    })
    .await
}

async fn no_accepted_event_is_lost_when_servers_are_drained_one_by_one(_: Mode) -> Result<()> {
    under_load("each server drained", async |deployment| {
        for node in 0..NODES {
            tokio::time::sleep(CALM).await;
            deployment.cluster().await.drain(node).await?;
            deployment.cluster().await.start(node)?;
            deployment.cluster().await.healthy(node).await?;
        }
        Ok(())
    })
    .await
}

/// One is no quorum: nothing is accepted, and nothing that was accepted may be
/// gone when the others are back.
async fn no_accepted_event_is_lost_when_two_servers_and_the_database_are_away(
    _: Mode,
) -> Result<()> {
    under_load("two servers and the database away", async |deployment| {
        tokio::time::sleep(CALM).await;
        for node in 0..2 {
            deployment.cluster().await.kill(node)?;
        }
        deployment.stop_database().await?;
        tokio::time::sleep(CALM).await;
        for node in 0..2 {
            deployment.cluster().await.start(node)?;
        }
        for node in 0..2 {
            deployment.cluster().await.healthy(node).await?;
        }
        deployment.start_database().await
    })
    .await
}

/// Publishes while `fault` is done, and until a while after.
async fn under_load(what: &str, fault: impl AsyncFnOnce(&Deployment) -> Result<()>) -> Result<()> {
    let settings = [
        ("POSTRIDER_RETRY_SCHEDULE", "1s,1s,2s,2s,4s"),
        ("POSTRIDER_DELIVERY_TIMEOUT", "3s"),
    ];
    let deployment = Deployment::start(Mode::Overlay, &settings).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let endpoint = endpoint(&api, ACCOUNT, &receiver).await?;
    let load = Load::start(&Plan {
        account: ACCOUNT,
        doors: vec![deployment.grpc("ingest")],
        key: api.key().to_owned(),
        events_per_second: EVENTS_PER_SECOND,
    });
    fault(&deployment).await?;
    tokio::time::sleep(CALM).await;
    let account = load.finish().await?;
    let twice = account.arrived(&receiver, "hook", DRAIN).await?;
    println!(
        "{what}: {} accepted, none lost, {twice} came more than once; {} publishes repeated; \
         {:.1} s without accepts at most",
        account.accepted.len(),
        account.repeats,
        account.longest_silence.as_secs_f64(),
    );
    ensure!(
        account.longest_silence < ELECTION + CALM,
        "{:?} without accepts",
        account.longest_silence
    );
    let stats = format!("/v1/accounts/{ACCOUNT}/endpoints/{endpoint}/stats");
    let all = account.accepted.len();
    let recorded = harness::wait::eventually("history has all of them", DRAIN, || async {
        let stats = api.get(&stats).await?;
        ensure!(stats["successful"] == all, "{stats} of {all}");
        Ok(())
    });
    recorded.await?;
    deployment.all_running()
}

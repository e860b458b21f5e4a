//! Three nats-servers, each on a host of its own, and what happens to them under
//! load, as the production overlay runs them.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::cluster::NODES;
use harness::deployment::{Deployment, Mode};
use harness::load::{Load, Phase, Plan, endpoint};
use harness::network;
use harness::receiver::Receiver;
use harness::suite::Scenario;
use harness::wait::eventually;
use rustix::process::Signal;

const ACCOUNT: &str = "cluster";
const EVENTS_PER_SECOND: u32 = 500;
/// Between two faults, and before the first.
const CALM: Duration = Duration::from_secs(5);
/// How long a server hangs or is cut off: longer than an election takes.
const AWAY: Duration = Duration::from_secs(15);
const A_MINUTE: Duration = Duration::from_secs(60);
const DRAIN: Duration = Duration::from_secs(240);
/// Without acknowledgements after a leader is lost: an election takes 4 to 9 s,
/// a dead connection is found after 12 s, and this machine may be busy.
const ELECTION: Duration = Duration::from_secs(30);

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![no_accepted_event_is_lost_whatever_happens_to_the_servers]
}

async fn no_accepted_event_is_lost_whatever_happens_to_the_servers(mode: Mode) -> Result<()> {
    if !network::is_inside() {
        let own = "no_accepted_event_is_lost_whatever_happens_to_the_servers";
        let trial = format!("{}::{own}", mode.name());
        return tokio::task::spawn_blocking(move || network::run_inside(["--exact", &trial]))
            .await?;
    }
    let settings = [
        ("POSTRIDER_RETRY_SCHEDULE", "1s,1s,2s,2s,4s"),
        ("POSTRIDER_DELIVERY_TIMEOUT", "3s"),
    ];
    let deployment = Deployment::start_on_network(&settings).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let endpoint = endpoint(&api, ACCOUNT, &receiver).await?;
    let load = Load::start(&Plan {
        account: ACCOUNT,
        doors: vec![deployment.grpc("ingest")],
        key: api.key().to_owned(),
        events_per_second: EVENTS_PER_SECOND,
    });
    let phases = faults(&deployment).await?;
    let account = load.finish().await?;
    let summaries = account.phases(&phases);
    for summary in &summaries {
        println!("{summary}");
    }
    let twice = account.arrived(&receiver, DRAIN).await?;
    let (all, (offered, reached)) = (account.events(), account.rates());
    println!(
        "{} events/s offered, {reached:.0} accepted; {all} accepted, none lost, {twice} came more \
         than once",
        offered
    );
    let stats = format!("/v1/accounts/{ACCOUNT}/endpoints/{endpoint}/stats");
    let recorded = eventually("history has all of them", DRAIN, || async {
        let stats = api.get(&stats).await?;
        ensure!(stats["successful"] == all, "{stats} of {all}");
        Ok(())
    });
    recorded.await?;
    for summary in &summaries {
        // Two of three away is no quorum for as long as they are.
        ensure!(summary.longest_silence < ELECTION + CALM, "{summary}");
    }
    deployment.all_running()
}

/// One after the other; each begins when the one before is over.
async fn faults(deployment: &Deployment) -> Result<Vec<Phase>> {
    let mut phases = vec![Phase::now("nothing happens")];
    tokio::time::sleep(CALM).await;

    phases.push(Phase::now("the leader of EVENTS killed"));
    kill_leader(deployment, "EVENTS").await?;
    phases.push(Phase::now("the leader of DELIVERIES killed"));
    kill_leader(deployment, "DELIVERIES").await?;

    // It comes back believing that it leads.
    phases.push(Phase::now("the leader of EVENTS hangs"));
    let leader = deployment.cluster().await.leader("EVENTS").await?;
    deployment.cluster().await.signal(leader, Signal::STOP)?;
    tokio::time::sleep(AWAY).await;
    deployment.cluster().await.signal(leader, Signal::CONT)?;
    settled(deployment).await?;

    phases.push(Phase::now("the leader of EVENTS cut off by its network"));
    let leader = deployment.cluster().await.leader("EVENTS").await?;
    deployment.cluster().await.network()?.pull(leader)?;
    tokio::time::sleep(AWAY).await;
    deployment.cluster().await.network()?.plug(leader)?;
    settled(deployment).await?;

    phases.push(Phase::now("the leader of EVENTS drained"));
    let leader = deployment.cluster().await.leader("EVENTS").await?;
    deployment.cluster().await.drain(leader).await?;
    deployment.cluster().await.start(leader)?;
    settled(deployment).await?;

    phases.push(Phase::now("a server lost for a minute, the database too"));
    let lost = tokio::time::Instant::now() + A_MINUTE;
    deployment.cluster().await.kill(0)?;
    tokio::time::sleep(CALM).await;
    deployment.stop_database().await?;
    tokio::time::sleep(AWAY).await;
    deployment.start_database().await?;
    tokio::time::sleep_until(lost).await;
    deployment.cluster().await.start(0)?;
    settled(deployment).await?;

    // One is no quorum: nothing is accepted meanwhile.
    phases.push(Phase::now("two servers lost"));
    for node in 0..2 {
        deployment.cluster().await.kill(node)?;
    }
    tokio::time::sleep(CALM).await;
    for node in 0..2 {
        deployment.cluster().await.start(node)?;
    }
    settled(deployment).await?;
    Ok(phases)
}

async fn kill_leader(deployment: &Deployment, stream: &str) -> Result<()> {
    let leader = deployment.cluster().await.leader(stream).await?;
    deployment.cluster().await.kill(leader)?;
    tokio::time::sleep(CALM).await;
    deployment.cluster().await.start(leader)?;
    settled(deployment).await
}

/// Until every server has what it missed, and for a while.
async fn settled(deployment: &Deployment) -> Result<()> {
    for node in 0..NODES {
        deployment.cluster().await.healthy(node).await?;
    }
    tokio::time::sleep(CALM).await;
    Ok(())
}

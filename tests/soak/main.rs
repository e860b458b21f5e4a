//! `make soak`: events at a steady rate for half an hour while parts are killed,
//! drained, cut off and restarted at random, and once the database is away for a
//! sixth of the time. Nothing that was accepted may be lost, and memory and file
//! handles must stay flat.

#![expect(clippy::print_stdout, reason = "it reports to whoever started it")]

mod chance;
mod faults;
mod footprint;
mod options;
mod outage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chance::Chance;
use faults::Fault;
use footprint::Footprints;
use harness::deployment::Deployment;
use harness::load::{Load, Plan, endpoint};
use harness::network;
use harness::receiver::Receiver;
use options::Options;

const ACCOUNT: &str = "soak";
const DRAIN: Duration = Duration::from_secs(600);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = Options::parse(arguments.clone())?;
    if !network::is_inside() {
        // Told to itself, so that a seed made here is the one that is printed.
        return network::run_inside(options.arguments());
    }
    let runtime = harness::suite::runtime();
    runtime.block_on(soak(&options))
}

async fn soak(options: &Options) -> Result<()> {
    println!(
        "{:?} at {} events/s; to repeat its faults: --seed {}",
        options.duration, options.events_per_second, options.seed
    );
    let deployment = Arc::new(Deployment::start_on_network(&[]).await?);
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let endpoint = endpoint(&api, ACCOUNT, &receiver).await?;
    let load = Load::start(&Plan {
        account: ACCOUNT,
        doors: vec![deployment.grpc("ingest")],
        key: api.key().to_owned(),
        events_per_second: options.events_per_second,
    });
    let footprints = Footprints::watch(Arc::clone(&deployment));
    break_things(options, &deployment, &receiver).await?;
    let account = load.finish().await?;
    let ended = Instant::now();
    let twice = account.arrived(&receiver, DRAIN).await?;
    let all = account.events();
    let stats = format!("/v1/accounts/{ACCOUNT}/endpoints/{endpoint}/stats");
    let recorded = harness::wait::eventually("history has all of them", DRAIN, || async {
        let stats = api.get(&stats).await?;
        ensure!(stats["successful"] == all, "{stats} of {all}");
        Ok(())
    });
    recorded.await?;
    let (offered, reached) = account.rates();
    println!(
        "{all} accepted ({reached:.0} events/s of {offered} offered), none lost, {twice} came more \
         than once; all recorded {:.0} s after the last\n{}",
        ended.elapsed().as_secs_f64(),
        account.summary()
    );
    let told = deployment.secrets_told()?;
    ensure!(told.is_empty(), "{}", told.join("\n"));
    deployment.all_running()?;
    footprints.report()
}

/// One fault after the other until the time is over; the database's outage when a
/// third of it has gone.
async fn break_things(
    options: &Options,
    deployment: &Deployment,
    receiver: &Receiver,
) -> Result<()> {
    let mut chance = Chance::new(options.seed);
    let started = Instant::now();
    let mut outage = Some(options.duration / 6);
    while started.elapsed() < options.duration {
        let calm = Duration::from_secs(10 + chance.below(20));
        tokio::time::sleep(calm).await;
        let now = started.elapsed();
        if now > options.duration / 3
            && let Some(away) = outage.take()
        {
            println!("{:>6.0} s  database away for {away:?}", now.as_secs_f64());
            outage::database(deployment, receiver, away).await?;
            continue;
        }
        let fault = Fault::any(&mut chance);
        println!("{:>6.0} s  {fault}", now.as_secs_f64());
        fault
            .happen(deployment)
            .await
            .with_context(|| format!("{fault}"))?;
    }
    Ok(())
}

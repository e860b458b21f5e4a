//! `make soak`: events at a steady rate for half an hour while parts are killed,
//! drained and restarted at random. Nothing that was accepted may be lost, and
//! memory and file handles must stay flat.

#![expect(clippy::print_stdout, reason = "it reports to whoever started it")]

mod chance;
mod faults;
mod footprint;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use chance::Chance;
use faults::Fault;
use footprint::Footprints;
use harness::deployment::{Deployment, Mode};
use harness::load::{Load, Plan, endpoint};
use harness::receiver::Receiver;

const ACCOUNT: &str = "soak";
const DRAIN: Duration = Duration::from_secs(600);
const USAGE: &str = "usage: make soak SOAK=\"[--minutes N] [--events-per-second N] [--seed N]\"";

#[derive(Debug)]
struct Options {
    duration: Duration,
    events_per_second: u32,
    seed: u64,
}

impl Options {
    fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let mut options = Self {
            duration: Duration::from_secs(30 * 60),
            events_per_second: 200,
            seed: now.as_secs(),
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .with_context(|| format!("{argument} what?"))
            };
            match argument.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--minutes" => {
                    options.duration = Duration::from_secs(60 * value()?.parse::<u64>()?);
                }
                "--events-per-second" => options.events_per_second = value()?.parse()?,
                "--seed" => options.seed = value()?.parse()?,
                _ => bail!("`{argument}` is not an option\n{USAGE}"),
            }
        }
        ensure!(options.events_per_second > 0, "{USAGE}");
        Ok(options)
    }
}

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let runtime = harness::suite::runtime();
    runtime.block_on(soak(&options))
}

async fn soak(options: &Options) -> Result<()> {
    println!(
        "{:?} at {} events/s; to repeat its faults: --seed {}",
        options.duration, options.events_per_second, options.seed
    );
    let deployment = Arc::new(Deployment::start(Mode::Overlay, &[]).await?);
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let endpoint = endpoint(&api, ACCOUNT, &receiver).await?;
    let load = Load::start(&Plan {
        account: ACCOUNT,
        doors: vec![deployment.grpc("ingest")],
        key: api.key().to_owned(),
        events_per_second: options.events_per_second,
    });
    let mut chance = Chance::new(options.seed);
    let mut footprints = Footprints::default();
    let started = Instant::now();
    while started.elapsed() < options.duration {
        let calm = Duration::from_secs(10 + chance.below(20));
        tokio::time::sleep(calm).await;
        footprints.take(&deployment).await?;
        let fault = Fault::any(&mut chance);
        println!("{:>6.0} s  {fault}", started.elapsed().as_secs_f64());
        fault
            .happen(&deployment)
            .await
            .with_context(|| format!("{fault}"))?;
    }
    let account = load.finish().await?;
    let twice = account.arrived(&receiver, "hook", DRAIN).await?;
    let all = account.accepted.len();
    let stats = format!("/v1/accounts/{ACCOUNT}/endpoints/{endpoint}/stats");
    let recorded = harness::wait::eventually("history has all of them", DRAIN, || async {
        let stats = api.get(&stats).await?;
        ensure!(stats["successful"] == all, "{stats} of {all}");
        Ok(())
    });
    recorded.await?;
    footprints.take(&deployment).await?;
    println!(
        "{all} accepted, none lost, {twice} came more than once, {} publishes repeated, {:.1} s \
         without accepts at most",
        account.repeats,
        account.longest_silence.as_secs_f64()
    );
    let told = deployment.secrets_told()?;
    ensure!(told.is_empty(), "{}", told.join("\n"));
    footprints.report()
}

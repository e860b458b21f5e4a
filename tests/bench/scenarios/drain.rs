//! A backlog that grew while no dispatcher ran.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::clock::now_ns;
use crate::meter::{Meter, load_average};
use crate::options::Options;
use crate::outcome::Outcome;
use crate::raw;
use crate::world::{Setup, WARM_UP, World};

const ACCOUNT: &str = "backlog";
const EVENT_TYPE: &str = "message.report";
const GROUP: &str = "backlog";
const ENDPOINTS: u32 = 100;

/// Each goes to every endpoint: 1,000,000 deliveries.
const EVENTS: u32 = 10_000;

/// A part of it when everything is run, to stay within the time for that.
const PART: f64 = 0.2;

pub(super) async fn run(options: Options) -> Result<Vec<Outcome>> {
    let setup = Setup::PROCESSES_1S;
    let mut outcome = Outcome::new("drain-1m", setup.name(), load_average());
    let mut world = World::start(&options, setup, &[]).await?;
    let endpoints = world
        .endpoints(ACCOUNT, GROUP, EVENT_TYPE, ENDPOINTS)
        .await?;
    let publisher = world.publisher(ACCOUNT, &[EVENT_TYPE.to_owned()]).await?;
    world.warm_up(&publisher, GROUP, &endpoints).await?;
    let raw_before = raw::fastest(&mut world.sink).await?;

    let events = options.scaled_or_part(EVENTS, PART);
    let deliveries = events as usize * endpoints.len();
    world.deployment.terminate("dispatcher")?;
    publisher.burst(events).await?;
    let all = u64::from(WARM_UP + events);
    let planned = world.counted(&endpoints, "total_messages", all).await?;
    ensure!(planned, "the backlog was not planned");

    let meter = Meter::start(&world.deployment).await?;
    let started = now_ns();
    world.deployment.start_process("dispatcher").await?;
    world
        .deployment
        .process_ready("dispatcher", Duration::from_secs(60))
        .await?;
    let ready = (now_ns() - started) as f64 / 1e9;
    let profile = world.profile("drain-1m").await?;
    let arrived = world.arrived(GROUP, deliveries).await?;
    let recorded = world.recorded(&endpoints, all).await?;
    let recorded_seconds = (now_ns() - started) as f64 / 1e9;
    let usage = meter.usage(&world.deployment).await?;
    outcome.profiles = World::profiled(profile)?;

    let arrivals = world.sink.arrivals().await?;
    let raw = raw_before.mean(raw::fastest(&mut world.sink).await?);
    let Some(span) = arrivals.span(GROUP) else {
        bail!("nothing arrived");
    };
    let seconds = span.last_arrived_ns.saturating_sub(started) as f64 / 1e9;
    let came = arrivals.firsts(GROUP).count();
    let per_second = came as f64 / seconds;
    outcome.figure("deliveries waiting", deliveries as f64, "");
    outcome.figure("dispatcher ready after", ready, "s");
    outcome.figure("deliveries", per_second, "/s");
    outcome.figure("raw limit", raw.per_second, "/s");
    outcome.figure("of the raw limit", per_second / raw.per_second, "");
    outcome.figure("until recorded", deliveries as f64 / recorded_seconds, "/s");
    outcome.usage(&usage, deliveries, None);
    outcome.figure("lost", (deliveries - came) as f64, "");
    let repeated = arrivals.of(GROUP).count() - came;
    outcome.figure("repeated", repeated as f64, "");
    outcome.part(&options);
    outcome.ended(arrived && recorded);
    outcome.errors(&world.deployment)?;
    Ok(vec![outcome])
}

//! Many retries that are due within one minute.

use anyhow::{Result, ensure};

use crate::clock::now_ns;
use crate::meter::{Meter, load_average};
use crate::options::Options;
use crate::outcome::Outcome;
use crate::sink::Answer;
use crate::world::{Endpoint, Setup, World};

const ACCOUNT: &str = "retrying";
const EVENT_TYPE: &str = "message.report";
const GROUP: &str = "retrying";

const ENDPOINTS: u32 = 20;

/// Each goes to every endpoint: 200,000 deliveries.
const EVENTS: u32 = 10_000;

/// Published first, to learn how long the first attempts will take.
const TRIAL_EVENTS: u32 = 500;

/// All are to be due within this.
const WINDOW_SECONDS: f64 = 60.0;

/// As the dispatcher adds to what an endpoint asks for.
const JITTER: f64 = 0.2;

pub(super) async fn run(options: Options) -> Result<Vec<Outcome>> {
    let setup = Setup::STANDALONE_1S;
    let mut outcome = Outcome::new("retries", setup.name(), load_average());
    // Otherwise the breaker holds them back, which is another scenario.
    let settings = [("POSTRIDER_BREAKER_FAILURES", "0")];
    let mut world = World::start(&options, setup, &settings).await?;
    let endpoints = world
        .endpoints(ACCOUNT, GROUP, EVENT_TYPE, ENDPOINTS)
        .await?;
    let publisher = world.publisher(ACCOUNT, &[EVENT_TYPE.to_owned()]).await?;
    world.warm_up(&publisher, GROUP, &endpoints).await?;

    let events = options.scaled(EVENTS);
    let deliveries = (events * ENDPOINTS) as usize;
    let started = now_ns();
    publisher.burst(TRIAL_EVENTS).await?;
    let trial = (TRIAL_EVENTS * ENDPOINTS) as usize;
    ensure!(world.arrived(GROUP, trial).await?, "the trial got stuck");
    let trial_seconds = (now_ns() - started) as f64 / 1e9;
    let first_attempts = trial_seconds * f64::from(events) / f64::from(TRIAL_EVENTS);
    world.sink.reset().await?;

    let allowance = first_attempts * 1.5 + 15.0;
    let due = due_from(allowance);
    let spread = spread_seconds(allowance);
    let answer = Answer {
        status: 503,
        retry_at: Some((due, spread)),
        ..Answer::OK
    };
    world.sink.answer(GROUP, answer).await?;
    let meter = Meter::start(&world.deployment).await?;
    publisher.burst(events).await?;
    let firsts = world.arrived(GROUP, deliveries).await?;
    let early = now_ns() < due * 1_000_000_000;
    wait_until(due).await;
    world.sink.answer(GROUP, Answer::OK).await?;
    let retried = world.arrived(GROUP, deliveries * 2).await?;
    let usage = meter.usage(&world.deployment).await?;
    let recorded = all_recorded(&world, &endpoints, events).await?;
    let recorded_at = now_ns();

    let arrivals = world.sink.arrivals().await?;
    let due_ns = due * 1_000_000_000;
    let late: Vec<u64> = arrivals
        .of(GROUP)
        .map(|one| one.arrived_ns)
        .filter(|arrived| *arrived >= due_ns)
        .collect();
    let last = late.iter().max().copied().unwrap_or(due_ns);
    let seconds = |until: u64| until.saturating_sub(due_ns) as f64 / 1e9;
    let window = f64::from(spread) + JITTER * (allowance + f64::from(spread));
    outcome.figure("retries", late.len() as f64, "");
    outcome.figure("due within", window, "s");
    outcome.figure("until all were sent again", seconds(last), "s");
    outcome.figure("until all were recorded", seconds(recorded_at), "s");
    let most = busiest(&late);
    outcome.figure("most in a second", most as f64, "");
    outcome.figure(
        "missing",
        (deliveries * 2) as f64 - arrivals.all.len() as f64,
        "",
    );
    outcome.usage(&usage, deliveries * 2, None);
    if !early {
        outcome.note("first attempts were not over when retries became due");
    }
    outcome.ended(firsts && retried && recorded);
    outcome.errors(&world.deployment)?;
    Ok(vec![outcome])
}

/// The run's clock in whole seconds, so many seconds from now.
fn due_from(seconds: f64) -> u64 {
    now_ns() / 1_000_000_000 + seconds.ceil() as u64
}

/// What the endpoints ask for is spread over so many seconds; the jitter, a
/// part of each whole delay, makes up the rest of the window.
fn spread_seconds(allowance: f64) -> u32 {
    let spread = (WINDOW_SECONDS - JITTER * allowance) / (1.0 + JITTER);
    (spread as u32).max(1)
}

async fn wait_until(due: u64) {
    let nanos = (due * 1_000_000_000).saturating_sub(now_ns());
    tokio::time::sleep(std::time::Duration::from_nanos(nanos)).await;
}

async fn all_recorded(world: &World, endpoints: &[Endpoint], events: u32) -> Result<bool> {
    let all = crate::world::WARM_UP + TRIAL_EVENTS + events;
    world.recorded(endpoints, all.into()).await
}

/// The most within one second of the clock.
fn busiest(times_ns: &[u64]) -> usize {
    let mut counts = std::collections::BTreeMap::new();
    for time in times_ns {
        *counts.entry(time / 1_000_000_000).or_insert(0) += 1;
    }
    counts.into_values().max().unwrap_or_default()
}

//! Throughput: events are published as fast as they are accepted.

use anyhow::{Result, bail};

use crate::clock::now_ns;
use crate::meter::{Meter, load_average};
use crate::options::Options;
use crate::outcome::{Outcome, Target};
use crate::raw;
use crate::world::{Setup, WARM_UP, World};

const ACCOUNT: &str = "bench";
const EVENT_TYPE: &str = "message.report";
const GROUP: &str = "fan";

/// Throughput with a number of endpoints that all get every event.
#[derive(Debug)]
pub(super) struct FanOut {
    name: &'static str,
    endpoints: u32,
    /// Published with a lazy broker, and with one that syncs always.
    events: (u32, u32),
    /// Ratio to the raw limit, and CPU seconds for 1,000 deliveries.
    targets: Option<(f64, f64)>,
}

pub(super) const ONE: FanOut = FanOut {
    name: "fan-out-1",
    endpoints: 1,
    events: (40_000, 15_000),
    targets: Some((0.20, 0.25)),
};

pub(super) const TEN: FanOut = FanOut {
    name: "fan-out-10",
    endpoints: 10,
    events: (10_000, 5_000),
    targets: Some((0.35, 0.10)),
};

pub(super) const HUNDRED: FanOut = FanOut {
    name: "fan-out-100",
    endpoints: 100,
    events: (1_500, 1_000),
    targets: None,
};

pub(super) async fn run(options: Options, fan_out: &'static FanOut) -> Result<Vec<Outcome>> {
    let (lazy, always) = fan_out.events;
    let setups = [
        ("1s", Setup::STANDALONE_1S, lazy),
        ("always", Setup::STANDALONE_ALWAYS, always),
        ("processes", Setup::PROCESSES_1S, lazy),
    ];
    let mut outcomes = Vec::new();
    for (name, setup, events) in setups {
        if options.wants(name) {
            let events = options.scaled(events);
            outcomes.push(fan_out.measure(&options, setup, events).await?);
        }
    }
    Ok(outcomes)
}

impl FanOut {
    async fn measure(&self, options: &Options, setup: Setup, events: u32) -> Result<Outcome> {
        let mut outcome = Outcome::new(self.name, setup.name(), load_average());
        let mut world = World::start(options, setup, &[]).await?;
        let endpoints = world
            .endpoints(ACCOUNT, GROUP, EVENT_TYPE, self.endpoints)
            .await?;
        let publisher = world.publisher(ACCOUNT, &[EVENT_TYPE.to_owned()]).await?;
        world.warm_up(&publisher, GROUP, &endpoints).await?;
        let raw_before = raw::fastest(&mut world.sink).await?;

        let deliveries = events as usize * endpoints.len();
        let profile = world.profile(self.name).await?;
        let meter = Meter::start(&world.deployment).await?;
        let started = now_ns();
        let publishing = publisher.burst(events);
        let (published, arrived) = tokio::try_join!(publishing, world.arrived(GROUP, deliveries))?;
        let successes = u64::from(WARM_UP + events);
        let recorded = world.recorded(&endpoints, successes).await?;
        let recorded_seconds = (now_ns() - started) as f64 / 1e9;
        let usage = meter.usage(&world.deployment).await?;
        outcome.profiles = World::profiled(profile)?;

        let arrivals = world.sink.arrivals().await?;
        let raw = raw_before.mean(raw::fastest(&mut world.sink).await?);
        let Some(span) = arrivals.span(GROUP) else {
            bail!("nothing arrived");
        };
        let came = arrivals.firsts(GROUP).count();
        let repeated = arrivals.of(GROUP).count() - came;
        let per_second = came as f64 / span.seconds();
        let (ratio, cpu) = self.targets(setup);
        outcome.figure("events", events.into(), "");
        outcome.figure("deliveries", per_second, "/s");
        outcome.figure("raw limit", raw.per_second, "/s");
        let ratio_now = per_second / raw.per_second;
        outcome.against("of the raw limit", ratio_now, "", ratio);
        let until_recorded = deliveries as f64 / recorded_seconds;
        outcome.figure("until recorded", until_recorded, "/s");
        outcome.usage(&usage, deliveries, cpu);
        outcome.figure("cpu, raw client", raw.cpu_per_1000, "CPU s / 1,000");
        outcome.disk(meter.disk(&world.deployment), events);
        outcome.figure("lost", (deliveries - came) as f64, "");
        outcome.figure("repeated", repeated as f64, "");
        outcome.figure("failed calls", published.failed_calls.into(), "");
        outcome.ended(arrived && recorded);
        outcome.errors(&world.deployment)?;
        Ok(outcome)
    }

    /// The targets hold for standalone with a lazy broker.
    fn targets(&self, setup: Setup) -> (Option<Target>, Option<Target>) {
        match self.targets {
            Some((ratio, cpu)) if setup.name() == Setup::STANDALONE_1S.name() => {
                (Some(Target::AtLeast(ratio)), Some(Target::AtMost(cpu)))
            }
            _ => (None, None),
        }
    }
}

//! Latency from when an event was to be published until it arrived, at a fixed
//! rate that waits for nobody (open loop).

use anyhow::Result;

use crate::arrivals::Latencies;
use crate::meter::{Meter, load_average};
use crate::options::Options;
use crate::outcome::{Outcome, Target};
use crate::raw;
use crate::world::{Setup, WARM_UP, World};

const ACCOUNT: &str = "bench";
const EVENT_TYPE: &str = "message.report";
const GROUP: &str = "latency";

/// A rate, one endpoint.
#[derive(Debug)]
pub(super) struct Latency {
    name: &'static str,
    per_second: u32,
    events: u32,
    /// p50, and how much p99 may exceed the raw client's; in milliseconds.
    targets: Option<(f64, f64)>,
}

pub(super) const FIFTY: Latency = Latency {
    name: "latency-50",
    per_second: 50,
    events: 2_000,
    targets: Some((3.0, 10.0)),
};

pub(super) const FIVE_HUNDRED: Latency = Latency {
    name: "latency-500",
    per_second: 500,
    events: 10_000,
    targets: None,
};

pub(super) async fn run(options: Options, latency: &'static Latency) -> Result<Vec<Outcome>> {
    let setups = [
        ("always", Setup::STANDALONE_ALWAYS),
        ("1s", Setup::STANDALONE_1S),
    ];
    let mut outcomes = Vec::new();
    for (name, setup) in setups {
        if options.wants(name) {
            outcomes.push(latency.measure(&options, setup).await?);
        }
    }
    Ok(outcomes)
}

impl Latency {
    async fn measure(&self, options: &Options, setup: Setup) -> Result<Outcome> {
        let mut outcome = Outcome::new(self.name, setup.name(), load_average());
        let mut world = World::start(options, setup, &[]).await?;
        let endpoints = world.endpoints(ACCOUNT, GROUP, EVENT_TYPE, 1).await?;
        let publisher = world.publisher(ACCOUNT, &[EVENT_TYPE.to_owned()]).await?;
        world.warm_up(&publisher, GROUP, &endpoints).await?;
        let events = options.scaled(self.events);
        let raw = raw::paced(&mut world.sink, self.per_second, events).await?;

        let profile = world.profile(self.name).await?;
        let meter = Meter::start(&world.deployment).await?;
        let published = publisher.paced(self.per_second, events).await?;
        let arrived = world.arrived(GROUP, events as usize).await?;
        let recorded = world
            .recorded(&endpoints, u64::from(WARM_UP + events))
            .await?;
        let usage = meter.usage(&world.deployment).await?;
        outcome.profiles = World::profiled(profile)?;

        let arrivals = world.sink.arrivals().await?;
        let came = arrivals.firsts(GROUP).count();
        let latencies = arrivals.latencies(GROUP).of_expected(events as usize);
        let always = setup.name() == Setup::STANDALONE_ALWAYS.name();
        let targets = self.targets.filter(|_| always);
        let p50 = targets.map(|(p50, _)| Target::AtMost(p50));
        let above = targets.map(|(_, above)| Target::AtMost(above));
        outcome.figure("events", events.into(), "");
        outcome.against("p50", latencies.percentile_ms(0.5), "ms", p50);
        add(&mut outcome, "", &latencies);
        outcome.figure("raw p50", raw.percentile_ms(0.5), "ms");
        add(&mut outcome, "raw ", &raw);
        let above_raw = latencies.percentile_ms(0.99) - raw.percentile_ms(0.99);
        outcome.against("p99 above raw p99", above_raw, "ms", above);
        let ratio = latencies.percentile_ms(0.5) / raw.percentile_ms(0.5);
        outcome.figure("p50 in raw p50s", ratio, "");
        outcome.figure("accepted p50", published.accepted.percentile_ms(0.5), "ms");
        outcome.figure("accepted p99", published.accepted.percentile_ms(0.99), "ms");
        outcome.usage(&usage, events as usize, None);
        outcome.disk(meter.disk(&world.deployment), events);
        outcome.figure("lost", latencies.missing() as f64, "");
        let repeated = arrivals.of(GROUP).count() - came;
        outcome.figure("repeated", repeated as f64, "");
        outcome.figure("failed calls", published.failed_calls.into(), "");
        outcome.ended(arrived && recorded);
        outcome.errors(&world.deployment)?;
        Ok(outcome)
    }
}

/// The percentiles behind p50.
fn add(outcome: &mut Outcome, prefix: &str, latencies: &Latencies) {
    for (name, part) in [("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
        outcome.figure(
            format!("{prefix}{name}"),
            latencies.percentile_ms(part),
            "ms",
        );
    }
}

//! What telemetry costs: pairs of runs, without and with it, one after the
//! other, so that what else the machine does falls on both.

use anyhow::Result;
use harness::collector::Collector;

use crate::meter::{Meter, load_average};
use crate::options::Options;
use crate::outcome::{Outcome, Target};
use crate::world::{Setup, World};

const ACCOUNT: &str = "bench";
const EVENT_TYPE: &str = "message.report";
const GROUP: &str = "telemetry";
const PAIRS: usize = 10;
const ENDPOINTS: u32 = 10;
const EVENTS: u32 = 3_000;
/// CPU with a tenth of the traces sampled, as a part of that without.
const LIMIT: f64 = 1.10;

pub(super) async fn run(options: Options) -> Result<Vec<Outcome>> {
    let setup = Setup::STANDALONE_1S;
    let mut outcome = Outcome::new("telemetry-cost", setup.name(), load_average());
    let collector = Collector::start()?;
    let endpoint = collector.endpoint();
    let with = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.1"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "10000"),
    ];
    let (mut off, mut on, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        // Whoever comes second finds another machine: they take turns.
        let (without, with) = if pair % 2 == 0 {
            let without = cpu(&options, setup, &[]).await?;
            (without, cpu(&options, setup, &with).await?)
        } else {
            let with = cpu(&options, setup, &with).await?;
            (cpu(&options, setup, &[]).await?, with)
        };
        off.push(without);
        on.push(with);
        ratios.push(with / without);
    }
    let events = options.scaled(EVENTS);
    outcome.figure("pairs", PAIRS as f64, "");
    outcome.figure("deliveries of a run", f64::from(events * ENDPOINTS), "");
    outcome.figure("cpu, off", median(&mut off), "CPU s / 1,000");
    outcome.figure("cpu, 10 % sampled", median(&mut on), "CPU s / 1,000");
    let ratio = median(&mut ratios);
    outcome.against("on / off", ratio, "", Target::AtMost(LIMIT));
    outcome.figure("least on / off", ratios[0], "");
    outcome.figure("most on / off", ratios[ratios.len() - 1], "");
    let posts = collector.spans(|span| span.name == "POST").len();
    let all = f64::from((events + crate::world::WARM_UP) * ENDPOINTS) * PAIRS as f64;
    outcome.figure("POSTs with a span", posts as f64 / all, "");
    Ok(vec![outcome])
}

/// CPU seconds of the server's processes for 1,000 deliveries.
async fn cpu(options: &Options, setup: Setup, settings: &[(&str, &str)]) -> Result<f64> {
    let mut world = World::start(options, setup, settings).await?;
    let endpoints = world
        .endpoints(ACCOUNT, GROUP, EVENT_TYPE, ENDPOINTS)
        .await?;
    let publisher = world.publisher(ACCOUNT, &[EVENT_TYPE.to_owned()]).await?;
    world.warm_up(&publisher, GROUP, &endpoints).await?;
    let events = options.scaled(EVENTS);
    let deliveries = (events * ENDPOINTS) as usize;
    let meter = Meter::start(&world.deployment).await?;
    let publishing = publisher.burst(events);
    let (_, arrived) = tokio::try_join!(publishing, world.arrived(GROUP, deliveries))?;
    let successes = u64::from(crate::world::WARM_UP + events);
    let recorded = world.recorded(&endpoints, successes).await?;
    anyhow::ensure!(arrived && recorded, "not all was delivered and recorded");
    let usage = meter.usage(&world.deployment).await?;
    let seconds: f64 = usage.iter().map(|usage| usage.cpu_seconds).sum();
    Ok(seconds * 1_000.0 / deliveries as f64)
}

/// Sorts them.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}

//! An endpoint with a rate limit and a backlog, beside others.

use anyhow::Result;

use crate::beside::{Beside, compare_both};
use crate::meter::{Meter, load_average};
use crate::options::Options;
use crate::outcome::{Outcome, Target};
use crate::streams::{go_on, side_by_side};
use crate::world::{Setup, World};

const ACCOUNT: &str = "paced";
/// Only the paced endpoint gets these.
const PACED_TYPE: &str = "form.submitted";
const PACED: &str = "paced";

const RATE_LIMIT: u32 = 10;
const WAITING: u32 = 1_000;

/// Before there is a backlog.
const SECONDS: u32 = 30;

pub(super) async fn run(options: Options) -> Result<Vec<Outcome>> {
    let setup = Setup::STANDALONE_ALWAYS;
    let mut outcome = Outcome::new("paced-backlog", setup.name(), load_average());
    let mut world = World::start(&options, setup, &[]).await?;
    let beside = Beside::start(&mut world, ACCOUNT, 1).await?;
    let paced_path = format!("{PACED}/0");
    let paced = world
        .endpoint(ACCOUNT, &paced_path, PACED_TYPE, Some(RATE_LIMIT))
        .await?;
    let paced_publisher = world.publisher(ACCOUNT, &[PACED_TYPE.to_owned()]).await?;
    let streams = beside.streams();
    let without = side_by_side(&mut world, &streams, SECONDS).await?;

    let waiting = options.scaled(WAITING);
    let expected = f64::from(waiting) / f64::from(RATE_LIMIT);
    let meter = Meter::start(&world.deployment).await?;
    world.sink.reset().await?;
    paced_publisher.burst(waiting).await?;
    let seconds = (expected * 0.8) as u32;
    let with = go_on(&mut world, &streams, seconds.max(1)).await?;
    let all = world.arrived(PACED, waiting as usize).await?;
    let recorded = world.recorded(&[paced], waiting.into()).await?;
    let arrivals = world.sink.arrivals().await?;

    outcome.figure("events waiting", waiting.into(), "");
    let most = arrivals.busiest_second(PACED) as f64;
    let limit = Target::AtMost(f64::from(RATE_LIMIT) + 1.0);
    outcome.against("most in any second", most, "", limit);
    let took = arrivals.span(PACED).map_or(f64::NAN, |span| span.seconds());
    outcome.figure("took", took, "s");
    let off = (took / expected - 1.0).abs();
    outcome.against("off the time it should take", off, "", Target::AtMost(0.05));
    compare_both(&mut outcome, &without, &with);
    outcome.memory(&meter.usage(&world.deployment).await?);
    let repeated = arrivals.of(PACED).count() - arrivals.firsts(PACED).count();
    outcome.figure("repeated", repeated as f64, "");
    outcome.ended(all && recorded);
    outcome.errors(&world.deployment)?;
    Ok(vec![outcome])
}

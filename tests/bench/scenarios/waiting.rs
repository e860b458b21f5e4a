//! A million deliveries wait for one endpoint; nothing else slows.

use anyhow::{Result, ensure};

use crate::beside::{Beside, compare_both};
use crate::meter::{Meter, load_average};
use crate::options::Options;
use crate::outcome::{Outcome, Target};
use crate::streams::side_by_side;
use crate::world::{Setup, World};

const ACCOUNT: &str = "waiting";
/// Only the endpoint with the backlog gets these.
const BACKLOG_TYPE: &str = "form.submitted";
const BACKLOG: &str = "backlog";

const WAITING: u32 = 1_000_000;
/// A part of it when everything is run, to stay within the time for that.
const PART: f64 = 0.05;
/// Deliveries a second that the endpoint asks for.
const RATE_LIMIT: u32 = 10;
const SECONDS: u32 = 40;

pub(super) async fn run(options: Options) -> Result<Vec<Outcome>> {
    let setup = Setup::STANDALONE_ALWAYS;
    let mut outcome = Outcome::new("waiting-1m", setup.name(), load_average());
    let mut world = World::start(&options, setup, &[]).await?;
    let beside = Beside::start(&mut world, ACCOUNT, 1).await?;
    let path = format!("{BACKLOG}/0");
    let backlog = world
        .endpoint(ACCOUNT, &path, BACKLOG_TYPE, Some(RATE_LIMIT))
        .await?;
    let backlog_publisher = world.publisher(ACCOUNT, &[BACKLOG_TYPE.to_owned()]).await?;
    let streams = beside.streams();
    let without = side_by_side(&mut world, &streams, SECONDS).await?;

    let waiting = options.scaled_or_part(WAITING, PART);
    let meter = Meter::start(&world.deployment).await?;
    backlog_publisher.burst(waiting).await?;
    let planned = world
        .counted(&[backlog], "total_messages", waiting.into())
        .await?;
    ensure!(planned, "the backlog was not planned");
    let with = side_by_side(&mut world, &streams, SECONDS).await?;
    let sent = world.sink.count(BACKLOG).await?;

    outcome.figure("deliveries waiting", waiting.into(), "");
    let pace = sent as f64 / f64::from(SECONDS);
    let limit = Target::AtMost(f64::from(RATE_LIMIT) * 1.1);
    outcome.against("sent to it meanwhile", pace, "/s", limit);
    compare_both(&mut outcome, &without, &with);
    outcome.memory(&meter.usage(&world.deployment).await?);
    outcome.part(&options);
    outcome.errors(&world.deployment)?;
    Ok(vec![outcome])
}

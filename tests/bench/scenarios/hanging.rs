//! Endpoints that hang beside healthy ones.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::arrivals::Latencies;
use crate::beside::{self, Beside, MOST, OTHER, OTHER_ACCOUNT, compare_both};
use crate::meter::{Meter, load_average};
use crate::options::Options;
use crate::outcome::Outcome;
use crate::sink::Answer;
use crate::streams::{Stream, compare, side_by_side};
use crate::world::{Setup, World};

const ACCOUNT: &str = "crowded";

/// Longer than an attempt may take.
const HANGS: Answer = Answer {
    status: 200,
    delay: Duration::from_secs(15),
    retry_at: None,
};

const ANSWERS: Answer = Answer {
    delay: Duration::ZERO,
    ..HANGS
};

/// Each phase is measured so long.
const SECONDS: u32 = 40;

/// Until what hangs holds as much as it can.
const LEAD_IN_SECONDS: u32 = 15;

/// One endpoint of ten hangs.
pub(super) async fn neighbour(options: Options) -> Result<Vec<Outcome>> {
    let setup = Setup::STANDALONE_ALWAYS;
    let mut outcome = Outcome::new("hanging-neighbour", setup.name(), load_average());
    let mut world = World::start(&options, setup, &[]).await?;
    let beside = Beside::start(&mut world, ACCOUNT, 9).await?;
    let streams = beside.streams();
    let seconds = options.scaled(SECONDS);
    let without = side_by_side(&mut world, &streams, seconds).await?;
    world.sink.answer("hanging", HANGS).await?;
    world
        .endpoint(ACCOUNT, "hanging/0", beside::EVENT_TYPE, None)
        .await?;
    // From its first event on: the beginning, when it holds as much as it can, counts.
    let profile = world.profile("hanging-neighbour").await?;
    let with = side_by_side(&mut world, &streams, seconds).await?;
    outcome.profiles = World::profiled(profile)?;
    compare_both(&mut outcome, &without, &with);
    let posts = world.sink.count("hanging").await?;
    outcome.figure("posts to the hanging endpoint", posts as f64, "");
    outcome.errors(&world.deployment)?;
    Ok(vec![outcome])
}

const CROWD: u32 = 500;
const CROWD_PER_SECOND: u32 = 500;

/// Five hundred endpoints of one account, each with a type of its own: first they
/// answer at once, which shows what their load costs, then they hang.
pub(super) async fn crowd(options: Options) -> Result<Vec<Outcome>> {
    let setup = Setup::STANDALONE_ALWAYS;
    let mut outcome = Outcome::new("hanging-crowd", setup.name(), load_average());
    let mut world = World::start(&options, setup, &[]).await?;
    let types = hanging_crowd(&mut world).await?;
    let crowd_publisher = world.publisher(ACCOUNT, &types).await?;
    let publisher = beside::live(&mut world, OTHER_ACCOUNT, OTHER).await?;
    let other = || Stream {
        publisher: &publisher,
        per_second: 50,
        watched: Some(OTHER),
    };
    let crowd = || Stream {
        publisher: &crowd_publisher,
        per_second: CROWD_PER_SECOND,
        watched: None,
    };
    let seconds = options.scaled(SECONDS);
    let without = side_by_side(&mut world, &[other()], seconds).await?;
    let answering = side_by_side(&mut world, &[other(), crowd()], seconds).await?;
    world.sink.answer("hanging", HANGS).await?;
    side_by_side(&mut world, &[other(), crowd()], LEAD_IN_SECONDS).await?;
    let before = world.sink.count("hanging").await?;
    let meter = Meter::start(&world.deployment).await?;
    let profile = world.profile("hanging-crowd").await?;
    let with = side_by_side(&mut world, &[other(), crowd()], seconds).await?;
    outcome.profiles = World::profiled(profile)?;
    compare(&mut outcome, "other account", &without[0], &with[0], MOST);
    answered(&mut outcome, &answering[0], &with[0]);
    let posts = world.sink.count("hanging").await? - before;
    let per_second = posts as f64 / f64::from(seconds);
    outcome.figure("posts to the hanging endpoints", per_second, "/s");
    outcome.memory(&meter.usage(&world.deployment).await?);
    outcome.errors(&world.deployment)?;
    Ok(vec![outcome])
}

/// Adds the latencies beside a crowd that answers, and those beside one that hangs in
/// theirs.
fn answered(outcome: &mut Outcome, answering: &Latencies, hanging: &Latencies) {
    for (name, part) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        let figure = format!("other account, {name} while the crowd answers");
        outcome.figure(figure, answering.percentile_ms(part), "ms");
    }
    let ratio = hanging.percentile_ms(0.99) / answering.percentile_ms(0.99);
    outcome.figure("other account, p99 hanging / answering", ratio, "");
}

/// Registers them and their event types.
async fn hanging_crowd(world: &mut World) -> Result<Vec<String>> {
    world.sink.answer("hanging", ANSWERS).await?;
    let mut types = Vec::new();
    for number in 0..CROWD {
        let name = format!("crowd.number_{number}");
        let body = json!({
            "name": name,
            "description": "one endpoint of a crowd",
            "schema": {"type": "object"},
            "example": {},
        });
        world.api.post(201, "/v1/event-types", &body).await?;
        world
            .endpoint(ACCOUNT, &format!("hanging/{number}"), &name, None)
            .await?;
        types.push(name);
    }
    Ok(types)
}

//! A bad hour is repaired beside live events: what failed is counted, sent
//! again, cancelled halfway, and the rest is sent by another replay, while the
//! process that does it is killed once in each.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::beside::{
    self, EVENT_TYPE, MOST, OTHER, OTHER_ACCOUNT, OTHER_PER_SECOND, SAME_PER_SECOND,
};
use crate::clock::now_ns;
use crate::meter::{Meter, load_average};
use crate::options::Options;
use crate::outcome::{Outcome, Target};
use crate::publish::Publisher;
use crate::sink::{Answer, Arrivals};
use crate::streams::{Stream, Watched, compare, side_by_side};
use crate::world::{Endpoint, Setup, World};

const ACCOUNT: &str = "repairing";
const FAILED: u32 = 50_000;
/// A part of them when everything is run, to stay within the time for that.
const PART: f64 = 0.1;

/// Before there is a replay.
const SECONDS: u32 = 30;
/// Live events go on in pieces of so many seconds until the replays are done.
const PIECE_SECONDS: u32 = 5;
/// A replay may stand still for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Its live events and the replay's go to the same endpoint.
const REPAIRED: Watched = Watched {
    group: "repaired",
    endpoints: 1,
};

pub(super) async fn run(options: Options) -> Result<Vec<Outcome>> {
    let setup = Setup::PROCESSES_ALWAYS;
    let mut outcome = Outcome::new("replay-50k", setup.name(), load_average());
    // Otherwise the breaker holds the failures back, which takes hours.
    let settings = [("POSTRIDER_BREAKER_FAILURES", "0")];
    let mut world = World::start(&options, setup, &settings).await?;
    let repaired = impatient(&world).await?;
    let publisher = world.publisher(ACCOUNT, &[EVENT_TYPE.to_owned()]).await?;
    let endpoints = std::slice::from_ref(&repaired);
    world.warm_up(&publisher, REPAIRED.group, endpoints).await?;
    let other_publisher = beside::live(&mut world, OTHER_ACCOUNT, OTHER).await?;
    let streams = [
        Stream {
            publisher: &publisher,
            per_second: SAME_PER_SECOND,
            watched: Some(REPAIRED),
        },
        Stream {
            publisher: &other_publisher,
            per_second: OTHER_PER_SECOND,
            watched: Some(OTHER),
        },
    ];
    let without = side_by_side(&mut world, &streams, SECONDS).await?;

    let failed = options.scaled_or_part(FAILED, PART);
    let down = Answer {
        status: 503,
        ..Answer::OK
    };
    world.sink.answer(REPAIRED.group, down).await?;
    publisher.burst(failed).await?;
    let all_failed = world.counted(endpoints, "failed", failed.into()).await?;
    ensure!(all_failed, "not all of them failed");
    // Each failure has an operational event, and those are not the replay's.
    ensure!(world.quiet().await?, "what the failures led to goes on");
    world.sink.answer(REPAIRED.group, Answer::OK).await?;
    world.sink.reset().await?;

    let meter = Meter::start(&world.deployment).await?;
    let began_ns = now_ns();
    let done = AtomicBool::new(false);
    let repairing = async {
        let found = repair(&world, &repaired, failed.into()).await;
        done.store(true, Ordering::Relaxed);
        found
    };
    let live = live(&publisher, &other_publisher, &done);
    let (found, seconds) = tokio::try_join!(repairing, live)?;

    let arrivals = world.sink.arrivals().await?;
    let with = [
        (REPAIRED.group, SAME_PER_SECOND * seconds),
        (OTHER.group, OTHER_PER_SECOND * seconds),
    ]
    .map(|(group, events)| {
        arrivals
            .latencies_since(group, began_ns)
            .of_expected(events as usize)
    });
    let delivered = repaired_once(&arrivals, began_ns);
    found.told(&mut outcome, failed);
    let lost = f64::from(failed) - delivered.len() as f64;
    outcome.against("not delivered", lost, "", Target::AtMost(0.0));
    let sent: usize = delivered.iter().sum();
    outcome.figure("delivered twice", (sent - delivered.len()) as f64, "");
    compare(&mut outcome, "same endpoint", &without[0], &with[0], MOST);
    compare(&mut outcome, "other account", &without[1], &with[1], MOST);
    outcome.memory(&meter.usage(&world.deployment).await?);
    outcome.part(&options);
    outcome.errors(&world.deployment)?;
    Ok(vec![outcome])
}

/// The endpoint to be repaired: an event's only attempt decides.
async fn impatient(world: &World) -> Result<Endpoint> {
    let body = json!({
        "url": world.sink.url("repaired/0"),
        "description": "repaired",
        "event_types": [EVENT_TYPE],
        "retry_schedule": [],
    });
    let call = format!("/v1/accounts/{ACCOUNT}/endpoints");
    let endpoint = world.api.post(201, &call, &body).await?;
    Ok(Endpoint {
        account: ACCOUNT.to_owned(),
        id: endpoint["id"].as_str().context("an id")?.to_owned(),
    })
}

/// Live events until the replays are done; for how many seconds.
async fn live(publisher: &Publisher, other: &Publisher, done: &AtomicBool) -> Result<u32> {
    let mut seconds = 0;
    while !done.load(Ordering::Relaxed) {
        tokio::try_join!(
            publisher.paced(SAME_PER_SECOND, SAME_PER_SECOND * PIECE_SECONDS),
            other.paced(OTHER_PER_SECOND, OTHER_PER_SECOND * PIECE_SECONDS),
        )?;
        seconds += PIECE_SECONDS;
    }
    sleep(Duration::from_secs(1)).await;
    Ok(seconds)
}

/// How often each event came that was published before `began_ns`.
fn repaired_once(arrivals: &Arrivals, began_ns: u64) -> Vec<usize> {
    let mut times = std::collections::HashMap::new();
    for one in arrivals.of(REPAIRED.group) {
        if one.sent_ns < began_ns {
            *times.entry(one.number).or_insert(0) += 1;
        }
    }
    times.into_values().collect()
}

/// What the repair took.
#[derive(Debug)]
struct Repaired {
    counting: Duration,
    cancelled: Replayed,
    rest: Replayed,
}

/// What one replay did.
#[derive(Debug)]
struct Replayed {
    matched: u64,
    sent: u64,
    succeeded: u64,
    took: Duration,
}

async fn repair(world: &World, endpoint: &Endpoint, failed: u64) -> Result<Repaired> {
    let replays = Replays { world, endpoint };
    let asked = Instant::now();
    let dry = replays.start(true).await?;
    let counting = asked.elapsed();
    ensure!(dry["matched"] == failed, "the count is wrong: {dry}");

    let began = Instant::now();
    let id = id_of(&replays.start(false).await?)?;
    replays.until(&id, failed / 4).await?;
    replays.kill().await?;
    replays.until(&id, failed / 2).await?;
    let cancel = format!("{}/cancel", path_of(&id));
    world.api.post(200, &cancel, &json!({})).await?;
    let cancelled = replayed(&replays.ended(&id).await?, began)?;

    let began = Instant::now();
    let rest = replays.start(false).await?;
    let id = id_of(&rest)?;
    let matched = rest["matched"].as_u64().context("a number")?;
    replays.until(&id, matched / 2).await?;
    replays.kill().await?;
    let rest = replayed(&replays.ended(&id).await?, began)?;
    Ok(Repaired {
        counting,
        cancelled,
        rest,
    })
}

/// Replays of one endpoint.
struct Replays<'a> {
    world: &'a World,
    endpoint: &'a Endpoint,
}

impl Replays<'_> {
    async fn start(&self, dry_run: bool) -> Result<Value> {
        let body = json!({
            "after": "2020-01-01T00:00:00Z",
            "before": "2100-01-01T00:00:00Z",
            "status": "failed",
            "dry_run": dry_run,
        });
        let Endpoint { account, id } = self.endpoint;
        let call = format!("/v1/accounts/{account}/endpoints/{id}/replay");
        self.world.api.post(202, &call, &body).await
    }

    /// Waits until it has delivered so many.
    async fn until(&self, id: &str, succeeded: u64) -> Result<()> {
        self.watch(id, |replay| replay["succeeded"].as_u64() >= Some(succeeded))
            .await?;
        Ok(())
    }

    /// Waits for its end.
    async fn ended(&self, id: &str) -> Result<Value> {
        self.watch(id, |replay| !replay["ended_at"].is_null()).await
    }

    async fn watch(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut before = Value::Null;
        let mut changed = Instant::now();
        loop {
            let replay = self.world.api.get(&path_of(id)).await?;
            if is_so(&replay) {
                return Ok(replay);
            }
            if replay["succeeded"] != before {
                (before, changed) = (replay["succeeded"].clone(), Instant::now());
            }
            ensure!(changed.elapsed() < PATIENCE, "it stands still: {replay}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Kills the process that replays, and starts it again.
    async fn kill(&self) -> Result<()> {
        let deployment = &self.world.deployment;
        deployment.kill("history")?;
        deployment.start_process("history").await?;
        deployment
            .process_ready("history", Duration::from_secs(30))
            .await
    }
}

impl Repaired {
    fn told(&self, outcome: &mut Outcome, failed: u32) {
        outcome.figure("failed before", failed.into(), "");
        let counting = self.counting.as_secs_f64() * 1e3;
        outcome.figure("counting them", counting, "ms");
        for (name, replay) in [("cancelled", &self.cancelled), ("the rest", &self.rest)] {
            outcome.figure(format!("{name}, matched"), replay.matched as f64, "");
            outcome.figure(format!("{name}, sent"), replay.sent as f64, "");
            outcome.figure(format!("{name}, succeeded"), replay.succeeded as f64, "");
            let rate = replay.sent as f64 / replay.took.as_secs_f64();
            outcome.figure(format!("{name}, pace"), rate, "/s");
        }
    }
}

fn path_of(id: &str) -> String {
    format!("/v1/accounts/{ACCOUNT}/replays/{id}")
}

fn id_of(replay: &Value) -> Result<String> {
    Ok(replay["id"].as_str().context("an id")?.to_owned())
}

fn replayed(replay: &Value, began: Instant) -> Result<Replayed> {
    let count = |name: &str| replay[name].as_u64().context("a number");
    Ok(Replayed {
        matched: count("matched")?,
        sent: count("sent")?,
        succeeded: count("succeeded")?,
        took: began.elapsed(),
    })
}

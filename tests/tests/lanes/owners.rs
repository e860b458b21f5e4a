//! Several dispatchers share the partitions, whoever comes, goes or dies.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use harness::deployment::Mode;
use harness::receiver::{Answer, Received};
use harness::suite::Scenario;
use harness::wait::eventually;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::sleep;

use crate::load::Load;
use crate::world::{LIMIT, World, event_of};

const ACCOUNT: &str = "owned";
const PER_SECOND: u32 = 25;
/// Less than comes, so that some always wait in their owner's memory.
const LIMITED_PER_SECOND: u32 = 20;
/// How long the others take, so that some are always in flight.
const SLOWLY: Duration = Duration::from_millis(100);
/// Of each kind, spread over the partitions.
const ENDPOINTS: usize = 4;
/// Longer than a lease and the look for what is free.
const ABSENCE: Duration = Duration::from_secs(6);
const SETTLE: Duration = Duration::from_secs(3);

const HANGING_ACCOUNT: &str = "hanging";
/// Set in the scenario where some hang.
const HANGING_TIMEOUT: Duration = Duration::from_secs(4);

pub(crate) fn scenarios() -> Vec<Scenario<()>> {
    harness::scenarios![
        dispatchers_come_and_go_and_nothing_is_lost,
        a_stopped_dispatcher_sends_nothing_after_its_lease,
        partitions_change_hands_beside_an_endpoint_that_hangs,
    ]
}

/// When something happened, by both clocks.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Instant,
    unix_seconds: u64,
}

impl Moment {
    fn now() -> Result<Self> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        Ok(Self {
            at: Instant::now(),
            unix_seconds: since.as_secs(),
        })
    }

    /// Whether an attempt that began in this second may have been in flight.
    fn saw_in_flight(&self, unix_seconds: u64) -> bool {
        (self.unix_seconds.saturating_sub(2)..=self.unix_seconds).contains(&unix_seconds)
    }
}

/// Endpoints at the receiver, by path.
struct Endpoints(HashMap<String, String>);

impl Endpoints {
    async fn make(world: &World) -> Result<Self> {
        let mut endpoints = HashMap::new();
        for number in 0..ENDPOINTS {
            let limit = json!({"rate_limit": LIMITED_PER_SECOND});
            for (kind, more) in [("free", json!({})), ("limited", limit)] {
                let path = format!("{kind}-{number}");
                if kind == "free" {
                    let answer = Answer::status(200).after(SLOWLY);
                    world.receiver.script(&path, [answer]);
                }
                let id = world.endpoint(ACCOUNT, &path, more).await?;
                endpoints.insert(path, id);
            }
        }
        Ok(Self(endpoints))
    }

    /// Waits until each has got each event, and gives what came to each.
    async fn all_arrived(
        &self,
        world: &World,
        events: &[String],
    ) -> Result<HashMap<&str, Vec<Received>>> {
        let mut arrived = HashMap::new();
        for path in self.0.keys() {
            let received = eventually("all have arrived", 3 * LIMIT, || async {
                let received = world.receiver.received(path);
                let ids: HashSet<String> = received.iter().map(event_of).collect();
                let missing = events.iter().filter(|id| !ids.contains(*id)).count();
                ensure!(missing == 0, "{missing} are missing at {path}");
                Ok(received)
            });
            arrived.insert(path.as_str(), received.await?);
        }
        Ok(arrived)
    }

    /// The history has one succeeded delivery of each event for each endpoint.
    async fn all_recorded(&self, world: &World, events: usize) -> Result<()> {
        let counts = [("total_messages", events), ("successful", events)];
        for id in self.0.values() {
            world.counted(ACCOUNT, id, &counts).await?;
        }
        Ok(())
    }

    /// How many attempts of an event's delivery have a record of success.
    async fn successes(&self, world: &World, path: &str, event: &str) -> Result<usize> {
        let endpoint = &self.0[path];
        let query =
            format!("/v1/accounts/{ACCOUNT}/endpoints/{endpoint}/attempts?event_id={event}");
        let page = world.api.get(&query).await?;
        let attempts = page["attempts"].as_array().context("attempts")?;
        let succeeded = attempts.iter().filter(|one| one["status"] == "succeeded");
        Ok(succeeded.count())
    }
}

/// Requests of one event to one endpoint that came more than once.
fn repeated(received: &[Received]) -> Vec<Vec<&Received>> {
    let mut by_event: HashMap<String, Vec<&Received>> = HashMap::new();
    for one in received {
        by_event.entry(event_of(one)).or_default().push(one);
    }
    by_event.retain(|_, requests| requests.len() > 1);
    by_event.into_values().collect()
}

fn began(received: &Received) -> Result<u64> {
    Ok(received.header("webhook-timestamp").parse()?)
}

/// The longest that any endpoint got nothing for in this span.
fn longest_silence(
    arrived: &HashMap<&str, Vec<Received>>,
    since: Instant,
    until: Instant,
) -> Duration {
    let silence = |received: &Vec<Received>| {
        let times = received.iter().map(|one| one.at);
        let mut last = since;
        let mut longest = Duration::ZERO;
        for at in times
            .filter(|at| *at >= since && *at < until)
            .chain([until])
        {
            longest = longest.max(at - last);
            last = at;
        }
        longest
    };
    arrived.values().map(silence).max().unwrap_or_default()
}

async fn start(world: &World, name: &'static str) -> Result<()> {
    world.deployment.start_process(name).await?;
    world.deployment.process_ready(name, LIMIT).await
}

async fn dispatchers_come_and_go_and_nothing_is_lost((): ()) -> Result<()> {
    let world = World::start(Mode::Processes, &[]).await?;
    start(&world, "dispatcher-2").await?;
    let endpoints = Endpoints::make(&world).await?;
    let load = Load::start(&world, ACCOUNT, PER_SECOND).await?;
    sleep(SETTLE).await;
    start(&world, "dispatcher-3").await?;
    sleep(SETTLE).await;
    let terminated = Moment::now()?;
    world.deployment.terminate("dispatcher-3")?;
    sleep(SETTLE).await;
    world.deployment.kill("dispatcher-2")?;
    let killed = Moment::now()?;
    sleep(ABSENCE).await;
    start(&world, "dispatcher-2").await?;
    sleep(SETTLE).await;
    world.deployment.terminate("dispatcher")?;
    let published = load.stop().await?;

    let arrived = endpoints.all_arrived(&world, &published.ids()).await?;
    let events = published.0.len();
    endpoints.all_recorded(&world, events).await?;
    println!(
        "silent at most {:.2?} around SIGTERM, {:.2?} after kill -9",
        longest_silence(&arrived, terminated.at, killed.at),
        longest_silence(&arrived, killed.at, killed.at + ABSENCE),
    );
    let mut repeats = 0;
    for (path, received) in &arrived {
        for requests in repeated(received) {
            repeats += requests.len() - 1;
            let first = requests[0];
            ensure!(
                killed.saw_in_flight(began(first)?) && requests.len() == 2,
                "{} came twice to {path}, and nobody was killed: {requests:?}",
                event_of(first)
            );
            let successes = endpoints.successes(&world, path, &event_of(first)).await?;
            ensure!(
                successes == 1,
                "{} was sent to {path} again after it was recorded",
                event_of(first)
            );
        }
    }
    println!(
        "{events} events to {} endpoints: {repeats} repeats, all in flight at the kill",
        arrived.len()
    );
    world.is_well()
}

async fn a_stopped_dispatcher_sends_nothing_after_its_lease((): ()) -> Result<()> {
    let world = World::start(Mode::Processes, &[]).await?;
    start(&world, "dispatcher-2").await?;
    let endpoints = Endpoints::make(&world).await?;
    let load = Load::start(&world, ACCOUNT, PER_SECOND).await?;
    sleep(2 * SETTLE).await;
    world.deployment.signal("dispatcher-2", Signal::STOP)?;
    let stopped = Moment::now()?;
    sleep(ABSENCE).await;
    let resumed = Moment::now()?;
    world.deployment.signal("dispatcher-2", Signal::CONT)?;
    sleep(2 * SETTLE).await;
    let published = load.stop().await?;

    let arrived = endpoints.all_arrived(&world, &published.ids()).await?;
    let events = published.0.len();
    endpoints.all_recorded(&world, events).await?;
    println!(
        "silent at most {:.2?} after SIGSTOP",
        longest_silence(&arrived, stopped.at, resumed.at)
    );
    let (mut repeats, mut late) = (0, 0);
    for (path, received) in &arrived {
        for requests in repeated(received) {
            repeats += requests.len() - 1;
            late += usize::from(requests.iter().any(|one| one.at > resumed.at));
            // Its own was begun before it was stopped; the other is the next
            // owner's.
            let begun: Result<Vec<u64>> = requests.iter().map(|one| began(one)).collect();
            let begun = begun?;
            ensure!(
                begun.iter().any(|one| stopped.saw_in_flight(*one)) && requests.len() == 2,
                "{} came twice to {path}, begun at {begun:?}: stopped {stopped:?}, resumed {resumed:?}",
                event_of(requests[0])
            );
        }
    }
    println!("{events} events: {repeats} repeats, {late} of them seen after SIGCONT");
    world.is_well()
}

async fn partitions_change_hands_beside_an_endpoint_that_hangs((): ()) -> Result<()> {
    let settings = [
        ("POSTRIDER_DELIVERY_TIMEOUT", "4s"),
        ("POSTRIDER_BREAKER_FAILURES", "0"),
    ];
    let world = World::start(Mode::Processes, &settings).await?;
    let endpoints = Endpoints::make(&world).await?;
    // As many as there are partitions, so that each has some.
    for number in 0..16 {
        let path = format!("hanging-{number}");
        let never = Answer::status(200).after(2 * LIMIT);
        world.receiver.script(&path, [never]);
        world.endpoint(HANGING_ACCOUNT, &path, json!({})).await?;
    }
    let load = Load::start(&world, ACCOUNT, 10).await?;
    let hanging_load = Load::start(&world, HANGING_ACCOUNT, 10).await?;
    sleep(SETTLE).await;
    let joined = Instant::now();
    start(&world, "dispatcher-2").await?;
    sleep(2 * SETTLE).await;
    let terminated = Instant::now();
    world.deployment.terminate("dispatcher-2")?;
    sleep(SETTLE).await;
    let over = Instant::now();
    let published = load.stop().await?;
    hanging_load.stop().await?;
    let arrived = endpoints.all_arrived(&world, &published.ids()).await?;
    for (path, received) in &arrived {
        let repeats = repeated(received);
        ensure!(repeats.is_empty(), "sent again to {path}: {repeats:?}");
    }
    let after_joining = longest_silence(&arrived, joined, terminated);
    let after_leaving = longest_silence(&arrived, terminated, over);
    println!(
        "silent at most {after_joining:.2?} after one joined, {after_leaving:.2?} after it left"
    );
    ensure!(
        after_joining.max(after_leaving) < HANGING_TIMEOUT,
        "others waited for what hangs"
    );
    world.is_well()
}

//! Another number of partitions while events come, as docs/upgrade.md describes it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::deployment::{Deployment, Mode};
use harness::load::{self, Load, Plan};
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::{Value, json};

use crate::chaos::was_in_flight;

const LIMIT: Duration = Duration::from_secs(90);
const READY: Duration = Duration::from_secs(30);
const ACCOUNT: &str = "moves";
/// Of another account, whose events come all the time.
const FLOWING: &str = "flows";
const EVENTS_PER_SECOND: u32 = 50;
/// Of each kind.
const ENDPOINTS: usize = 8;
const EVENTS: usize = 40;
/// So what waits for it is parked for 20 s.
const RATE_LIMIT: u32 = 2;
/// Those who work with partitions, in the order in which they are stopped.
const STOPPED: [&str; 4] = ["dispatcher", "fanout", "history", "control"];

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![the_number_of_partitions_changes_and_nothing_is_lost]
}

async fn the_number_of_partitions_changes_and_nothing_is_lost(mode: Mode) -> Result<()> {
    let settings = [
        ("POSTRIDER_PARTITIONS", "5"),
        ("POSTRIDER_RETRY_SCHEDULE", "15s,15s"),
        ("POSTRIDER_BREAKER_FAILURES", "0"),
    ];
    let deployment = Deployment::start(mode, &settings).await?;
    let world = World::new(&deployment).await?;
    let api = deployment.api();
    load::endpoint(&api, FLOWING, &world.receiver).await?;
    let load = Load::start(&Plan {
        account: FLOWING,
        doors: vec![deployment.grpc("ingest")],
        key: api.key().to_owned(),
        events_per_second: EVENTS_PER_SECOND,
    });

    deployment.set("POSTRIDER_PARTITIONS", "16");
    let refused = deployment.migrate(&[]).await;
    let refused = format!("{:?}", refused.err().context("the count is another")?);
    ensure!(refused.contains("--repartition"), "{refused}");
    let refused = deployment.migrate(&["--repartition"]).await;
    let refused = format!("{:?}", refused.err().context("they still work")?);
    ensure!(refused.contains("still runs"), "{refused}");

    let first = world.publish().await?;
    for role in STOPPED {
        deployment.terminate(role)?;
    }
    let moved = timed(&deployment, "5 to 16 partitions").await?;
    for stream in ["KV_endpoints", "ATTEMPTS", "PARKED", "RETRIES"] {
        let none = format!("{stream}: 0 ");
        ensure!(!moved.contains(&none) && moved.contains(stream), "{moved}");
    }
    let again = deployment.migrate(&["--repartition"]).await?;
    ensure!(!again.contains("moved"), "nothing is left to do: {again}");
    start(&deployment).await?;
    let twice = world.arrived(&first).await?;
    ensure!(twice.is_empty(), "nothing was killed, and twice: {twice:?}");

    let second = world.publish().await?;
    deployment.kill("dispatcher")?;
    for role in &STOPPED[1..] {
        deployment.terminate(role)?;
    }
    deployment.set("POSTRIDER_PARTITIONS", "3");
    timed(&deployment, "16 to 3 partitions, a dispatcher killed").await?;
    start(&deployment).await?;
    let twice = world.arrived(&second).await?;
    let all = [first, second].concat();
    world.all_recorded(all.len()).await?;
    for (path, event) in &twice {
        was_in_flight(&deployment, ACCOUNT, &world.endpoints[path], event).await?;
    }

    deployment.terminate("ingest")?;
    deployment.start_process("ingest").await?;
    deployment.ready(READY).await?;
    let account = load.finish().await?;
    let flowed_twice = account.arrived(&world.receiver, LIMIT).await?;
    println!(
        "{} of {} deliveries came more than once, and of what flowed {flowed_twice}: {}",
        twice.len(),
        all.len() * 3 * ENDPOINTS,
        account.summary()
    );
    deployment.all_running()
}

async fn timed(deployment: &Deployment, what: &str) -> Result<String> {
    let began = Instant::now();
    let moved = deployment.migrate(&["--repartition"]).await?;
    println!("{what}, {:.1} s:\n{moved}", began.elapsed().as_secs_f64());
    Ok(moved)
}

async fn start(deployment: &Deployment) -> Result<()> {
    for role in STOPPED {
        deployment.start_process(role).await?;
    }
    for role in STOPPED {
        deployment.process_ready(role, READY).await?;
    }
    Ok(())
}

/// Endpoints whose deliveries wait in each way there is.
struct World<'a> {
    deployment: &'a Deployment,
    receiver: Receiver,
    /// Ids by path.
    endpoints: HashMap<String, String>,
}

impl<'a> World<'a> {
    async fn new(deployment: &'a Deployment) -> Result<Self> {
        let receiver = Receiver::start().await?;
        let api = deployment.api();
        let at = format!("/v1/accounts/{ACCOUNT}/endpoints");
        let mut endpoints = HashMap::new();
        for number in 0..ENDPOINTS {
            for kind in ["free", "limited", "failing"] {
                let path = format!("{kind}-{number}");
                let mut body = json!({
                    "url": receiver.url(&path), "description": path,
                    "event_types": ["message.report"],
                });
                if kind == "limited" {
                    body["rate_limit"] = json!(RATE_LIMIT);
                }
                let made = api.post(201, &at, &body).await?;
                let id = made["id"].as_str().context("an id")?.to_owned();
                endpoints.insert(path, id);
            }
        }
        Ok(Self {
            deployment,
            receiver,
            endpoints,
        })
    }

    /// Until those that take at once have got all, and those that fail have failed
    /// once.
    async fn publish(&self) -> Result<Vec<String>> {
        let failing = vec![Answer::status(500); EVENTS];
        for path in self.paths("failing") {
            let answers = failing.iter().cloned().chain([Answer::status(200)]);
            self.receiver.script(path, answers);
        }
        let event = |n: usize| json!({"type": "message.report", "object": {"n": n}});
        let events: Vec<Value> = (0..EVENTS).map(event).collect();
        let path = format!("/v1/accounts/{ACCOUNT}/events/batch");
        let body = json!({"events": events});
        let answer = self.deployment.api().post(200, &path, &body).await?;
        let results = answer["results"].as_array().context("results")?.iter();
        let ids: Option<Vec<String>> = results
            .map(|result| Some(result["id"].as_str()?.to_owned()))
            .collect();
        let ids = ids.context("each was accepted")?;
        let begun = eventually("the first attempts are made", LIMIT, || async {
            for path in self.paths("free").chain(self.paths("failing")) {
                let times = self.times(path);
                let missing = ids.iter().filter(|id| !times.contains_key(*id)).count();
                ensure!(missing == 0, "{missing} at {path}");
            }
            Ok(())
        });
        begun.await?;
        Ok(ids)
    }

    /// Waits until each endpoint has got each of these events; who got which more
    /// often than it should.
    async fn arrived(&self, events: &[String]) -> Result<Vec<(String, String)>> {
        let due = |path: &str| if path.starts_with("failing") { 2 } else { 1 };
        let all = eventually("every event has arrived everywhere", LIMIT, || async {
            for path in self.endpoints.keys() {
                let times = self.times(path);
                let came = |id: &&String| times.get(*id).copied().unwrap_or_default();
                let missing = events.iter().filter(|id| came(id) < due(path)).count();
                ensure!(missing == 0, "{missing} at {path}");
            }
            Ok(())
        });
        all.await?;
        let mut more = Vec::new();
        for path in self.endpoints.keys() {
            let times = self.times(path);
            let often = events.iter().filter(|id| times[*id] > due(path));
            more.extend(often.map(|id| (path.clone(), id.clone())));
        }
        Ok(more)
    }

    async fn all_recorded(&self, events: usize) -> Result<()> {
        let api = self.deployment.api();
        for (path, id) in &self.endpoints {
            let stats = format!("/v1/accounts/{ACCOUNT}/endpoints/{id}/stats");
            let recorded = eventually("history has all of them", LIMIT, || async {
                let stats = api.get(&stats).await?;
                let all = stats["successful"] == events && stats["total_messages"] == events;
                ensure!(all, "{path}: {stats} of {events}");
                Ok(())
            });
            recorded.await?;
        }
        Ok(())
    }

    fn paths(&self, kind: &'static str) -> impl Iterator<Item = &str> {
        let paths = self.endpoints.keys().map(String::as_str);
        paths.filter(move |path| path.starts_with(kind))
    }

    fn times(&self, path: &str) -> HashMap<String, usize> {
        let mut times = HashMap::new();
        for one in self.receiver.received(path) {
            let id = one.header("webhook-id").to_owned();
            *times.entry(id).or_default() += 1;
        }
        times
    }
}

//! What it costs to record: `cargo bench -p postrider-tests --bench recording`.
//!
//! Synthetic events with their plans and outcomes go into SQLite and
//! PostgreSQL as history would write them. Printed per delivery: wall time, and
//! CPU time of this process and of the database's; and per event the disk that
//! the database's files have grown by, its write-ahead log left out.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use domain::{
    AcceptedEvent, AccountId, Attempt, AttemptId, Cause, DeliveryId, EndpointId, EventId,
    EventType, Headers, NotSent, Outcome, Plan, PlannedDelivery, Record, Tags, Timestamp,
    TraceContext,
};
use harness::postgres::Postgres;
use store::{Batch, History, Pool};
use tempfile::TempDir;

/// Deliveries of one run.
const DELIVERIES: usize = 40_000;
/// Endpoints of the one account.
const ENDPOINTS: usize = 50;
/// Ticks of `/proc/<pid>/stat`, which are 10 ms on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// Events with what became of them.
#[derive(Default)]
struct Story {
    events: Vec<AcceptedEvent>,
    plans: Vec<Plan>,
    records: Vec<Record>,
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(run())
}

#[expect(clippy::print_stdout, reason = "this is what it is for")]
async fn run() -> Result<()> {
    let dir = TempDir::new()?;
    let mut postgres = Postgres::new(dir.path())?;
    postgres.start().await?;
    println!("per delivery            fan-out  batch   wall us  client us  server us  B/event");
    for (fan_out, batch) in [(1, 1), (1, 16), (1, 500), (10, 500)] {
        let path = dir.path().join(format!("{fan_out}-{batch}.db"));
        let sqlite = format!("sqlite://{}", path.display());
        for (name, url, server) in [
            ("sqlite", sqlite, None),
            ("postgres", postgres.url(), postgres.id().ok()),
        ] {
            let history = History::new(Pool::open(&url).await?);
            history.pool().migrate().await?;
            let files = match server {
                None => path.clone(),
                Some(_) => dir.path().join("postgres/base"),
            };
            let before = bytes(&files)?;
            let [wall, client, server] = measure(&history, fan_out, batch, server).await?;
            let events = deliveries(fan_out, batch) / fan_out;
            drop(history);
            let disk = bytes(&files)?.saturating_sub(before) / events as u64;
            println!(
                "{name:<24}{fan_out:>7}{batch:>7}{wall:>10.1}{client:>11.1}{server:>11.1}{disk:>9}"
            );
        }
    }
    Ok(())
}

/// Small batches cost a commit each: fewer of them tell enough.
fn deliveries(fan_out: usize, batch: usize) -> usize {
    DELIVERIES.min(batch * 2_000).max(fan_out)
}

/// The size of a file, or of all in a folder.
fn bytes(path: &Path) -> Result<u64> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let mut sum = 0;
    for entry in std::fs::read_dir(path)? {
        // One may be removed meanwhile.
        sum += bytes(&entry?.path()).unwrap_or(0);
    }
    Ok(sum)
}

/// Microseconds per delivery: wall, this process, the database's processes.
async fn measure(
    history: &History,
    fan_out: usize,
    batch: usize,
    server: Option<u32>,
) -> Result<[f64; 3]> {
    let endpoints: Vec<EndpointId> = (0..ENDPOINTS).map(|_| EndpointId::new()).collect();
    let deliveries = deliveries(fan_out, batch);
    let stories = stories(&endpoints, deliveries, fan_out, batch)?;
    let own = std::process::id();
    let before = (cpu_of(own)?, cpu_of_tree(server)?);
    let started = Instant::now();
    for story in &stories {
        record(history, story).await?;
    }
    let wall = started.elapsed();
    let per_delivery = |time: Duration| time.as_secs_f64() * 1e6 / deliveries as f64;
    Ok([
        per_delivery(wall),
        per_delivery(cpu_of(own)? - before.0),
        per_delivery(cpu_of_tree(server)? - before.1),
    ])
}

async fn record(history: &History, story: &Story) -> Result<()> {
    let batch = Batch {
        events: &story.events,
        plans: &story.plans,
        records: &story.records,
    };
    history.record(batch).await?;
    Ok(())
}

/// Stories with `batch` deliveries each.
fn stories(
    endpoints: &[EndpointId],
    deliveries: usize,
    fan_out: usize,
    batch: usize,
) -> Result<Vec<Story>> {
    let mut stories = Vec::new();
    let mut story = Story::default();
    for number in 0..deliveries / fan_out {
        let chosen = (0..fan_out).map(|n| endpoints[(number * fan_out + n) % endpoints.len()]);
        story.tell(&chosen.collect::<Vec<_>>())?;
        if story.records.len() >= batch {
            stories.push(std::mem::take(&mut story));
        }
    }
    stories.push(story);
    Ok(stories)
}

impl Story {
    /// An event that every endpoint answers with 200.
    fn tell(&mut self, endpoints: &[EndpointId]) -> Result<()> {
        let account = AccountId::parse("acme").ok().context("an account")?;
        let event_type = EventType::parse("message.report")?;
        let now = Timestamp::from(std::time::SystemTime::now());
        let id = EventId::new();
        self.events.push(AcceptedEvent {
            id,
            account: account.clone(),
            event_type: event_type.clone(),
            body: Bytes::from(vec![b'x'; 400]),
            tags: Tags::default(),
            live_mode: true,
            accepted_at: now,
            trace: TraceContext::root([1; 24]),
            target: None,
            excluded: None,
        });
        let planned = |endpoint: &EndpointId| PlannedDelivery {
            id: DeliveryId::planned(id, *endpoint),
            endpoint_id: *endpoint,
            cause: Cause::Event,
            endpoint_generation: 0,
        };
        self.plans.push(Plan {
            event_id: id,
            account: account.clone(),
            event_type: event_type.clone(),
            accepted_at: now,
            planned_at: now,
            deliveries: endpoints.iter().map(planned).collect(),
            not_sent: NotSent::default(),
        });
        for endpoint in endpoints {
            self.records.push(Record {
                delivery_id: DeliveryId::planned(id, *endpoint),
                event_id: id,
                endpoint_id: *endpoint,
                account: account.clone(),
                event_type: event_type.clone(),
                cause: Cause::Event,
                accepted_at: now,
                endpoint_generation: 0,
                attempt_number: 1,
                outcome: Outcome::Attempt(Box::new(attempt(id, now))),
            });
        }
        Ok(())
    }
}

fn attempt(event: EventId, at: Timestamp) -> Attempt {
    let header = |name: &'static str, value: &str| (name, value.to_owned());
    Attempt {
        id: AttemptId::new(),
        started_at: at,
        duration: Duration::from_millis(3),
        url: "https://hooks.example.com/postrider/acme".to_owned(),
        request_headers: Headers::from_iter([
            header("content-type", "application/json"),
            header("user-agent", "Postrider/0.1.0"),
            header("webhook-id", &event.to_string()),
            header("webhook-timestamp", "1747147674"),
            header("webhook-signature", &format!("v1,{}", "A".repeat(44))),
            header("x-webhook-signature", &"a".repeat(64)),
            header(
                "traceparent",
                &format!("00-{}-{}-01", "1".repeat(32), "2".repeat(16)),
            ),
        ]),
        response_status: Some(200),
        response_headers: Headers::from_iter([
            header("content-type", "text/plain"),
            header("content-length", "2"),
            header("date", "Tue, 13 May 2025 14:47:54 GMT"),
        ]),
        response_body: Bytes::from_static(b"ok"),
        response_truncated: false,
        failure: None,
        next_attempt_at: None,
        trace: TraceContext::root([2; 24]),
    }
}

/// CPU time, user and system, of a process, of its ended children too.
fn cpu_of(id: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("stat"))?;
    // The name in parentheses may hold anything; `utime` is the 12th behind it.
    let (_, behind) = stat.rsplit_once(") ").context("a process has a name")?;
    let ticks = behind.split(' ').skip(11).take(4).map(str::parse::<u32>);
    Ok(TICK * ticks.sum::<Result<u32, _>>()?)
}

/// CPU time of a process and its children.
fn cpu_of_tree(root: Option<u32>) -> Result<Duration> {
    let Some(root) = root else {
        return Ok(Duration::ZERO);
    };
    let children = format!("/proc/{root}/task/{root}/children");
    let children = std::fs::read_to_string(children)?;
    let mut sum = cpu_of(root)?;
    for child in children.split_whitespace() {
        // One may end meanwhile; its parent has its time then.
        sum += cpu_of(child.parse()?).unwrap_or_default();
    }
    Ok(sum)
}

//! A long history: what questions and recording take, and dropping a day.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use domain::page::{Cursor, Direction};
use domain::{AccountId, AttemptId, DeliveryId, EventId, Outcome as Told, Record, Timestamp};
use harness::past::{Past, UPSTREAM};
use harness::postgres::Postgres;
use harness::repository;
use store::{AttemptFilter, Day, EventFilter, Expiry, History, Pool};
use tempfile::TempDir;
use tokio::spawn;
use tokio::time::{interval, sleep_until};
use uuid::Uuid;

use crate::meter::load_average;
use crate::options::Options;
use crate::outcome::{Outcome, Target};

const ATTEMPTS: u32 = 10_000_000;
/// A part of them when everything is run, to stay within the time for that.
const PART: f64 = 0.02;
const DAYS: u32 = 90;
const ENDPOINTS: usize = 1_000;

/// As k8s/components/cloudnative-pg has them.
const SETTINGS: [(&str, &str); 4] = [
    ("shared_buffers", "1GB"),
    ("wal_compression", "lz4"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "15min"),
];

/// Of each question.
const SAMPLES: usize = 300;

/// Times that each is asked before: every connection has planned it then, and has opened
/// most days' tables.
const WARMING: usize = 100;

/// Questions a second, one at a time.
const PER_SECOND: f64 = 50.0;

/// Attempts a second that are offered meanwhile.
const OFFERED: f64 = 10_200.0;

pub(super) async fn run(options: Options) -> Result<Vec<Outcome>> {
    let name = format!("PostgreSQL, {DAYS} days, {ENDPOINTS} endpoints");
    let mut outcome = Outcome::new("history", name, load_average());
    let dir = TempDir::new()?;
    let mut postgres = Postgres::new(dir.path())?;
    let deployed = repository().join("k8s/components/cloudnative-pg/cluster.yaml");
    let deployed = std::fs::read_to_string(deployed)?;
    for (name, value) in SETTINGS {
        let line = format!("{name}: {value}\n");
        ensure!(
            deployed.contains(&line),
            "the component says otherwise than {line}"
        );
    }
    postgres.configure(&SETTINGS)?;
    postgres.start().await?;
    let history = History::new(Pool::open(&postgres.url()).await?);
    history.pool().migrate().await?;
    let today = Day::of(Timestamp::from(SystemTime::now()));
    let start = today.plus(-i64::from(DAYS)).start();
    // One delivery in 20 has two attempts.
    let attempts = options.scaled_or_part(ATTEMPTS, PART);
    let per_day = (attempts / DAYS * 20 / 21).max(1);
    let past = Past::new(ENDPOINTS, start, per_day)?;
    let loading = Instant::now();
    let mut attempts = 0;
    let mut known = Vec::new();
    for day in 0..DAYS {
        for chapter in past.chapters(day) {
            let chapter = chapter?;
            history.record(chapter.batch()).await?;
            attempts += chapter.records.len();
            let place = known.len() % chapter.records.len();
            known.extend(chapter.records.into_iter().nth(place).and_then(Known::of));
        }
    }
    outcome.figure("attempts", attempts as f64, "");
    let rate = attempts as f64 / loading.elapsed().as_secs_f64();
    outcome.figure("recorded while filling", rate, "attempts/s");
    let bytes = folder_bytes(&dir.path().join("postgres/base"))?;
    let events = f64::from(per_day * DAYS);
    outcome.figure("disk", bytes as f64 / events, "B / event");

    // In ninety days autovacuum came for what has changed, and for nothing else, and each
    // day was closed when it was over.
    postgres.execute("postgres", "VACUUM deliveries")?;
    let closed = history.close_days(today.plus(1).start(), DAYS).await?;
    ensure!(closed == u64::from(DAYS), "{closed} days are closed");
    let asking = Arc::new(AtomicBool::new(true));
    let recorded = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    // A task of its own, as in history: questions do not wait while it works.
    let recording = spawn(record(
        history.clone(),
        today.start(),
        Arc::clone(&asking),
        Arc::clone(&recorded),
    ));
    let asked = ask(&history, &past, &known, &mut outcome).await;
    asking.store(false, Ordering::Relaxed);
    recording.await??;
    asked?;
    let rate = recorded.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    let wanted = Target::AtLeast(10_000.0);
    outcome.against("recorded while asked", rate, "attempts/s", wanted);

    let before = folder_bytes(&dir.path().join("postgres/base"))?;
    let dropping = Instant::now();
    let expiry = Expiry {
        events_before: past.day(1),
        records_before: past.day(1),
    };
    history.expire(expiry).await?;
    let took = dropping.elapsed().as_secs_f64();
    outcome.against("a day is dropped in", took, "s", Target::AtMost(1.0));
    let after = folder_bytes(&dir.path().join("postgres/base"))?;
    let freed = before.saturating_sub(after) as f64 / 1e6;
    outcome.figure("disk that comes back", freed, "MB");
    outcome.note(format!("changed pages are written out from {} on", dirty()));
    outcome.part(&options);
    Ok(vec![outcome])
}

/// How much Linux lets lie for 30 s before it begins to write, as it is set.
fn dirty() -> String {
    let set = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/vm/{name}")).unwrap_or_default();
        text.trim().to_owned()
    };
    match set("dirty_background_bytes").as_str() {
        "" | "0" => format!("{} % of memory", set("dirty_background_ratio")),
        bytes => format!("{bytes} bytes"),
    }
}

/// Records what is offered while questions are asked, and counts it.
async fn record(
    history: History,
    start: Timestamp,
    asking: Arc<AtomicBool>,
    recorded: Arc<AtomicU64>,
) -> Result<()> {
    let busy = Past::new(ENDPOINTS, start, 2_000_000)?;
    let began = Instant::now();
    for chapter in busy.chapters(0) {
        if !asking.load(Ordering::Relaxed) {
            break;
        }
        let chapter = chapter?;
        let before = recorded.load(Ordering::Relaxed);
        let due = began + Duration::from_secs_f64(before as f64 / OFFERED);
        sleep_until(due.into()).await;
        history.record(chapter.batch()).await?;
        recorded.fetch_add(chapter.records.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Asks each question of many endpoints, accounts and records in turn.
async fn ask(history: &History, past: &Past, known: &[Known], outcome: &mut Outcome) -> Result<()> {
    let any = AttemptFilter::default;
    let lists = [
        ("first page", None, any()),
        ("middle page", Some(DAYS / 2), any()),
        ("last page", Some(1), any()),
        ("failed", None, failed()),
        ("of a type", None, of_type("form.submitted")),
        ("of a type (none)", None, of_type("form.deleted")),
    ];
    for (name, day, filter) in lists {
        let cursor = day.map(|day| cursor(past.day(day)));
        let question = async |sample: usize| {
            let (account, endpoint) = past.endpoint(sample * 37);
            let filter = AttemptFilter {
                endpoint: Some(*endpoint),
                ..filter.clone()
            };
            let page = history.attempts(account, &filter, cursor.as_ref(), 21);
            page.await?;
            Ok(())
        };
        sample(outcome, name, question).await?;
    }
    let of_account = [
        ("account", any()),
        ("account, timeouts", timeouts()),
        ("account, answered 500", answered(500)),
        ("account, answered 204 (none)", answered(204)),
    ];
    for (name, filter) in of_account {
        let question = async |sample: usize| {
            let (account, _) = past.endpoint(sample * 37);
            let page = history.attempts(account, &filter, None, 21);
            page.await?;
            Ok(())
        };
        sample(outcome, name, question).await?;
    }
    let stats = async |sample: usize| {
        let (_, endpoint) = past.endpoint(sample * 37);
        history.stats(*endpoint, None, None).await?;
        Ok(())
    };
    sample(outcome, "stats", stats).await?;
    let tagged = async |sample: usize| {
        let (account, _) = past.endpoint(sample * 37);
        let filter = EventFilter {
            tag: Some(("chat".to_owned(), (sample % 1_000).to_string())),
            ..EventFilter::default()
        };
        let page = history.events(account, &filter, None, 21);
        page.await?;
        Ok(())
    };
    sample(outcome, "events with a tag", tagged).await?;
    find(history, known, outcome).await
}

/// An attempt that is known to be there.
struct Known {
    account: AccountId,
    event: EventId,
    delivery: DeliveryId,
    attempt: AttemptId,
    /// 32 hex digits.
    trace: String,
    /// Another service has begun the trace.
    of_upstream: bool,
}

impl Known {
    fn of(record: Record) -> Option<Self> {
        let Told::Attempt(attempt) = record.outcome else {
            return None;
        };
        Some(Self {
            account: record.account,
            event: record.event_id,
            delivery: record.delivery_id,
            attempt: attempt.id,
            trace: attempt.trace.trace_id_hex(),
            of_upstream: attempt.trace.state == UPSTREAM,
        })
    }
}

/// Asks where ids lead, each time of another attempt, of any day.
async fn find(history: &History, all: &[Known], outcome: &mut Outcome) -> Result<()> {
    ensure!(!all.is_empty(), "nothing was recorded");
    // A prime, so that days come in no order.
    let known = |sample: usize| &all[sample * 7_919 % all.len()];
    let event = async |sample| {
        let known = known(sample);
        let event = history.event(&known.account, known.event).await?;
        event.map(drop).context("an event that is not there")
    };
    sample(outcome, "an event", event).await?;
    let attempt = async |sample| {
        let known = known(sample);
        let attempt = history.attempt(&known.account, known.attempt).await?;
        attempt.map(drop).context("an attempt that is not there")
    };
    sample(outcome, "an attempt", attempt).await?;
    let listed = async |known: &Known, filter| {
        let page = history.attempts(&known.account, &filter, None, 21).await?;
        ensure!(!page.rows.is_empty(), "an attempt that is not listed");
        Ok(())
    };
    let of_delivery = async |sample| {
        let known = known(sample);
        let filter = AttemptFilter {
            delivery: Some(known.delivery),
            ..AttemptFilter::default()
        };
        listed(known, filter).await
    };
    sample(outcome, "by delivery", of_delivery).await?;
    // Ids that are not Postrider's own come in no order.
    for (name, of_upstream) in [("by trace", false), ("by an upstream's trace", true)] {
        let some = all.iter().filter(|known| known.of_upstream == of_upstream);
        let some: Vec<&Known> = some.collect();
        ensure!(!some.is_empty(), "no such trace");
        let of_trace = async |sample: usize| {
            let known = some[sample * 7_919 % some.len()];
            let filter = AttemptFilter {
                trace_id: known.trace.clone(),
                ..AttemptFilter::default()
            };
            listed(known, filter).await
        };
        sample(outcome, name, of_trace).await?;
    }
    Ok(())
}

fn failed() -> AttemptFilter {
    AttemptFilter {
        succeeded: Some(false),
        ..AttemptFilter::default()
    }
}

fn of_type(event_type: &str) -> AttemptFilter {
    AttemptFilter {
        event_type: event_type.to_owned(),
        ..AttemptFilter::default()
    }
}

fn timeouts() -> AttemptFilter {
    AttemptFilter {
        failure_class: "timeout".to_owned(),
        ..AttemptFilter::default()
    }
}

fn answered(status: u16) -> AttemptFilter {
    AttemptFilter {
        response_status: Some(status),
        ..AttemptFilter::default()
    }
}

fn cursor(at: Timestamp) -> Cursor {
    Cursor {
        at: at.unix_millis(),
        id: Uuid::nil(),
        direction: Direction::Next,
    }
}

/// Asks at a steady rate, and adds the 99th percentile of the times.
async fn sample(
    outcome: &mut Outcome,
    name: &str,
    question: impl AsyncFn(usize) -> Result<()>,
) -> Result<()> {
    for warming in 0..WARMING {
        question(warming).await?;
    }
    let mut times = Vec::with_capacity(SAMPLES);
    let mut turn = interval(Duration::from_secs_f64(1.0 / PER_SECOND));
    for sample in 0..SAMPLES {
        turn.tick().await;
        let asked = Instant::now();
        question(sample).await?;
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    let percentile = |percent: usize| {
        let time = times.get(times.len() * percent / 100).copied();
        time.unwrap_or_default().as_secs_f64() * 1e3
    };
    outcome.figure(format!("p50, {name}"), percentile(50), "ms");
    let wanted = Target::AtMost(20.0);
    outcome.against(format!("p99, {name}"), percentile(99), "ms", wanted);
    Ok(())
}

/// What the files of a folder take, folders within included.
fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // A table's file may go meanwhile.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        bytes += if metadata.is_dir() {
            folder_bytes(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(bytes)
}

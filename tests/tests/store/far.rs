//! Lists through so many days that several connections look at once: whole, each row
//! once, in order, both ways.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use domain::page::{Cursor, Direction};
use domain::{AccountId, EventType, Outcome, Record, Timestamp};
use futures::future::try_join;
use harness::past::{Chapter, Past};
use libtest_mimic::{Failed, Trial};
use store::{AttemptFilter, Day, EventFilter, Expiry, History, Pool};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::{Databases, Engine};

/// Until now.
const DAYS: u32 = 105;
/// From one day that has something to the next.
const APART: usize = 7;
const PER_DAY: u32 = 1_200;
/// Events of a day that come after it is closed.
const LATE: u32 = 3_000;
/// What is before this day of it is too old in the end; 32 days that begin with one that
/// can be divided by 32 are among them.
const OLD: u32 = 70;
const SIZES: [u32; 2] = [17, 150];

pub(crate) fn trials(runtime: &Arc<Runtime>, databases: &Arc<Databases>) -> Vec<Trial> {
    let trial = |name: &str, engine: Engine| {
        let (runtime, databases) = (Arc::clone(runtime), Arc::clone(databases));
        Trial::test(format!("{name}::lists_of_far_days_are_whole"), move || {
            let walked = runtime.block_on(async {
                let pool = match engine {
                    Engine::Sqlite => databases.open(engine).await?,
                    // Other scenarios' questions go through no table of these days.
                    Engine::Postgres => {
                        let url = databases.postgres_database("far", "SELECT 1").await?;
                        let pool = Pool::open(&url).await?;
                        pool.migrate().await?;
                        pool
                    }
                };
                lists_of_far_days_are_whole(pool, matches!(engine, Engine::Postgres)).await
            });
            walked.map_err(|error| Failed::from(format!("{error:?}")))
        })
    };
    vec![
        trial("sqlite", Engine::Sqlite),
        trial("postgres", Engine::Postgres),
    ]
}

async fn lists_of_far_days_are_whole(pool: Pool, closes: bool) -> Result<()> {
    let history = History::new(pool);
    let today = Day::of(Timestamp::from(SystemTime::now()));
    let start = today.plus(-i64::from(DAYS)).start();
    let past = Past::new(2, start, PER_DAY)?;
    let mut told = Vec::new();
    for day in (0..DAYS).step_by(APART) {
        for chapter in past.chapters(day) {
            let chapter = chapter?;
            history.record(chapter.batch()).await?;
            told.push(chapter);
        }
    }
    whole(&history, &past, &told).await?;
    // Closed days say what they have nothing of, and a late comer is found all the same:
    // one that comes while its day is closed, and one that comes later.
    let (account, endpoint) = past.endpoint(0).clone();
    let late = |day: usize| {
        let day = past.day((day * APART) as u32);
        Past::of(account.clone(), endpoint, day, LATE)
    };
    let (during, later) = (late(3), late(11));
    let close = |days: i64| history.close_days(today.plus(days).start(), DAYS);
    let closing = async { Ok(close(1).await?) };
    let (closed, busy) = try_join(closing, record_late(&history, &during)).await?;
    told.extend(busy);
    whole(&history, &past, &told).await?;
    let days = if closes { told_days(&told) } else { 0 };
    ensure!(closed <= days, "{closed} days are closed");
    let rest = close(3).await?;
    ensure!(
        closed + rest >= days,
        "{closed} and {rest} of {days} days are closed"
    );
    let none = close(3).await?;
    ensure!(none == 0, "{none} days are closed again");
    whole(&history, &past, &told).await?;
    told.extend(record_late(&history, &later).await?);
    whole(&history, &past, &told).await?;
    // A day later, and not before.
    let closed = (close(2).await?, close(3).await?);
    ensure!(
        closed == (0, days.min(1)),
        "{closed:?} days are closed again"
    );
    whole(&history, &past, &told).await?;
    let before = past.day(OLD);
    let expiry = Expiry {
        events_before: before,
        records_before: before,
    };
    let expired = history.expire(expiry).await?;
    // Six of each day, and some with keys.
    let of_days = u64::from(OLD).div_ceil(APART as u64) * 6;
    ensure!(!closes || expired.tables > of_days, "{expired:?}");
    let is_kept = |chapter: &Chapter| {
        chapter
            .events
            .iter()
            .all(|event| event.accepted_at >= before)
    };
    told.retain(is_kept);
    whole(&history, &past, &told).await
}

/// Records a past of one day, of a type that the day had nothing of.
async fn record_late(history: &History, late: &Past) -> Result<Vec<Chapter>> {
    let event_type = EventType::parse("form.deleted")?;
    let mut told = Vec::new();
    for chapter in late.chapters(0) {
        let mut chapter = chapter?;
        let of_events = chapter.events.iter_mut().map(|event| &mut event.event_type);
        let of_plans = chapter.plans.iter_mut().map(|plan| &mut plan.event_type);
        let of_records = chapter.records.iter_mut();
        let of_records = of_records.map(|record| &mut record.event_type);
        for told in of_events.chain(of_plans).chain(of_records) {
            *told = event_type.clone();
        }
        history.record(chapter.batch()).await?;
        told.push(chapter);
    }
    Ok(told)
}

/// How many have something.
fn told_days(told: &[Chapter]) -> u64 {
    let events = told.iter().flat_map(|chapter| &chapter.events);
    let days: BTreeSet<Day> = events.map(|event| Day::of(event.accepted_at)).collect();
    days.len() as u64
}

/// Walks through every list of it.
async fn whole(history: &History, past: &Past, told: &[Chapter]) -> Result<()> {
    let (account, endpoint) = past.endpoint(0).clone();
    let any = AttemptFilter::default;
    let of_endpoint = || AttemptFilter {
        endpoint: Some(endpoint),
        ..any()
    };
    // A few of its rows on each day, and looked for one by one through all others.
    let filters = [
        of_endpoint(),
        AttemptFilter {
            event_type: "form.submitted".to_owned(),
            ..of_endpoint()
        },
        AttemptFilter {
            event_type: "form.deleted".to_owned(),
            ..of_endpoint()
        },
        AttemptFilter {
            event_type: "form.submitted".to_owned(),
            ..any()
        },
        AttemptFilter {
            failure_class: "timeout".to_owned(),
            ..any()
        },
        AttemptFilter {
            response_status: Some(204),
            ..any()
        },
    ];
    for filter in &filters {
        let expected = matching(told, filter)?;
        for size in SIZES {
            let way = format!("{filter:?}, pages of {size}");
            let forward = attempts(history, &account, filter, Direction::Next, size).await?;
            ensure!(forward.iter().eq(expected.iter().rev()), "{way}");
            let back = attempts(history, &account, filter, Direction::Prev, size).await?;
            ensure!(back == expected, "{way}, backwards");
        }
    }
    single_things(history, &account, told).await
}

/// A trace of each day, and a tag of all of them.
async fn single_things(history: &History, account: &AccountId, told: &[Chapter]) -> Result<()> {
    for chapter in told {
        let event = chapter.events.last().context("an event")?;
        let trace_id = event.trace.trace_id_hex();
        let filter = AttemptFilter {
            trace_id: trace_id.clone(),
            ..AttemptFilter::default()
        };
        let found = history.attempts(account, &filter, None, 20).await?;
        let found: Vec<Uuid> = found.rows.iter().map(|row| row.id).collect();
        let expected = matching(told, &filter)?;
        ensure!(!found.is_empty() && found == expected, "{found:?}");
        let filter = EventFilter {
            trace_id,
            ..EventFilter::default()
        };
        let found = history.events(account, &filter, None, 20).await?;
        let found: Vec<Uuid> = found.rows.iter().map(|row| row.id).collect();
        ensure!(found == [event.id.uuid()], "{found:?}");
    }
    for event_type in ["", "form.submitted"] {
        let filter = EventFilter {
            tag: Some(("chat".to_owned(), "3".to_owned())),
            event_type: event_type.to_owned(),
            ..EventFilter::default()
        };
        let events = told.iter().flat_map(|chapter| &chapter.events);
        let mut expected: Vec<(Timestamp, Uuid)> = events
            .filter(|event| event.tags.as_map()["chat"] == "3")
            .filter(|event| event_type.is_empty() || event.event_type.as_str() == event_type)
            .map(|event| (event.accepted_at, event.id.uuid()))
            .collect();
        expected.sort_unstable();
        let expected: Vec<Uuid> = expected.into_iter().map(|(_, id)| id).rev().collect();
        let mut found = Vec::new();
        let mut cursor = None;
        loop {
            let page = history
                .events(account, &filter, cursor.as_ref(), 17)
                .await?;
            let whole = page.rows.iter().all(|row| row.deliveries.len() == 1);
            ensure!(whole, "an event without its delivery");
            found.extend(page.rows.iter().map(|row| row.id));
            let Some(last) = page.rows.last() else { break };
            cursor = Some(Cursor {
                at: last.accepted_at.unix_millis(),
                id: last.id,
                direction: Direction::Next,
            });
        }
        ensure!(found == expected, "{} of {}", found.len(), expected.len());
    }
    Ok(())
}

/// Ids of attempts, page by page from one end to the other.
async fn attempts(
    history: &History,
    account: &AccountId,
    filter: &AttemptFilter,
    direction: Direction,
    size: u32,
) -> Result<Vec<Uuid>> {
    let mut cursor = match direction {
        Direction::Next => None,
        Direction::Prev => Some(Cursor {
            at: 0,
            id: Uuid::nil(),
            direction,
        }),
    };
    let mut ids = Vec::new();
    loop {
        let page = history.attempts(account, filter, cursor.as_ref(), size);
        let page = page.await?;
        let last = page.rows.last().map(|row| (row.started_at, row.id));
        let is_full = page.rows.len() == size as usize;
        ids.extend(page.rows.iter().map(|row| row.id));
        let Some((at, id)) = (if is_full { last } else { page.ended_at }) else {
            return Ok(ids);
        };
        cursor = Some(Cursor { at, id, direction });
    }
}

/// What was told of attempts that match, in the order of time.
fn matching(told: &[Chapter], filter: &AttemptFilter) -> Result<Vec<Uuid>> {
    let records = told.iter().flat_map(|chapter| &chapter.records);
    let mut rows = Vec::new();
    for record in records.filter(|record| is_of(record, filter)) {
        let Outcome::Attempt(attempt) = &record.outcome else {
            continue;
        };
        let class = attempt
            .failure
            .as_ref()
            .map(|failure| failure.class.as_str());
        let is_meant = (filter.failure_class.is_empty()
            || class == Some(filter.failure_class.as_str()))
            && filter
                .response_status
                .is_none_or(|status| attempt.response_status == Some(status))
            && (filter.trace_id.is_empty() || attempt.trace.trace_id_hex() == filter.trace_id);
        if is_meant {
            rows.push((attempt.started_at, attempt.id.uuid()));
        }
    }
    rows.sort_unstable();
    Ok(rows.into_iter().map(|(_, id)| id).collect())
}

fn is_of(record: &Record, filter: &AttemptFilter) -> bool {
    let event_type = filter.event_type.as_str();
    filter
        .endpoint
        .is_none_or(|endpoint| endpoint == record.endpoint_id)
        && (event_type.is_empty() || event_type == record.event_type.as_str())
}

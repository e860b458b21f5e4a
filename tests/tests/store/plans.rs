//! How the engines answer what they are asked: through an index, and reading no
//! more rows than a page needs.
//!
//! - `postgres`: it tells each plan itself (auto_explain), as it was carried out
//! - `sqlite`: it explains the statements that the driver tells

pub(crate) mod postgres;
mod sqlite;

use std::future::Future;
use std::sync::Arc;

use anyhow::Result;
use domain::page::{Cursor, Direction};
use domain::{
    AttemptId, DeliveryId, EndpointId, ErasureId, EventId, ReplayId, ReplayStatus, Timestamp,
};
use harness::past::{Chapter, Past};
use libtest_mimic::{Failed, Trial};
use store::{Asked, AttemptFilter, Error, EventFilter, History, NewReplay};
use tokio::runtime::Runtime;

use crate::Databases;

const START: Timestamp = Timestamp::from_unix_millis(1_199_145_600_000);
const DAYS: u32 = 12;
const PER_DAY: u32 = 1_000;

/// A page of 20 and one more; each row may be met by several steps of a plan, of which
/// PostgreSQL tells the rows of a repeated one as their rounded mean.
const ROWS: u64 = 21 * 6;

/// Rows that one index is looked at for where it does not tell all apart.
const LOOKED_AT: u64 = 1_000;

pub(crate) fn trials(runtime: &Arc<Runtime>, databases: &Arc<Databases>) -> Vec<Trial> {
    let trial = |engine: &str, asks: fn(&Runtime, &Databases) -> Result<()>| {
        let (runtime, databases) = (Arc::clone(runtime), Arc::clone(databases));
        let name = format!("{engine}::every_question_goes_along_an_index");
        Trial::test(name, move || {
            let asked = asks(&runtime, &databases);
            asked.map_err(|error| Failed::from(format!("{error:?}")))
        })
    };
    vec![
        trial("sqlite", |runtime, databases| {
            runtime.block_on(sqlite::every_question_goes_along_an_index(databases))
        }),
        trial("postgres", |runtime, databases| {
            runtime.block_on(postgres::every_question_goes_along_an_index(databases))
        }),
    ]
}

/// Asks, and looks at how it is answered.
pub(crate) trait Asks {
    fn history(&self) -> &History;

    async fn reads<T>(
        &self,
        what: &str,
        at_most: u64,
        question: impl Future<Output = Result<T, Error>>,
    ) -> Result<()>;
}

/// A past that is worth to be asked about.
async fn recorded(history: &History) -> Result<(Past, Vec<Chapter>)> {
    let past = Past::new(40, START, PER_DAY)?;
    let mut told = Vec::new();
    for day in 0..DAYS {
        for chapter in past.chapters(day) {
            let chapter = chapter?;
            history.record(chapter.batch()).await?;
            told.push(chapter);
        }
    }
    Ok((past, told))
}

/// Every question that there is.
async fn ask_everything(asked: &impl Asks, past: &Past, told: &[Chapter]) -> Result<()> {
    lists_of_attempts(asked, past, told).await?;
    events_and_single_things(asked, past, told).await?;
    work_in_the_background(asked, past, told).await
}

async fn lists_of_attempts(asked: &impl Asks, past: &Past, told: &[Chapter]) -> Result<()> {
    let (account, endpoint) = past.endpoint(3).clone();
    let record = &told[told.len() / 2].records[3];
    let of_record = &record.account;
    let any = AttemptFilter::default;
    let lists = [
        (
            ROWS,
            AttemptFilter {
                endpoint: Some(endpoint),
                ..any()
            },
        ),
        (ROWS, any()),
        (
            ROWS,
            AttemptFilter {
                endpoint: Some(endpoint),
                succeeded: Some(false),
                ..any()
            },
        ),
        (
            ROWS,
            AttemptFilter {
                endpoint: Some(endpoint),
                event_type: "message.report".to_owned(),
                ..any()
            },
        ),
        (
            ROWS,
            AttemptFilter {
                endpoint: Some(endpoint),
                after: Some(past.day(2)),
                before: Some(past.day(4)),
                ..any()
            },
        ),
        (
            ROWS,
            AttemptFilter {
                succeeded: Some(false),
                ..any()
            },
        ),
        (
            ROWS,
            AttemptFilter {
                failure_class: "timeout".to_owned(),
                ..any()
            },
        ),
        (
            ROWS,
            AttemptFilter {
                response_status: Some(500),
                ..any()
            },
        ),
        (
            LOOKED_AT * 3,
            AttemptFilter {
                response_status: Some(204),
                ..any()
            },
        ),
        (
            LOOKED_AT * 3,
            AttemptFilter {
                event_type: "none.such".to_owned(),
                ..any()
            },
        ),
    ];
    for (rows, filter) in &lists {
        for (at, direction) in [
            (None, Direction::Next),
            (Some(past.day(DAYS / 2)), Direction::Next),
            (Some(past.day(DAYS / 2)), Direction::Prev),
            (Some(past.day(1)), Direction::Next),
        ] {
            let cursor = at.map(|at| Cursor {
                at: at.unix_millis(),
                id: uuid::Uuid::nil(),
                direction,
            });
            let what = format!("{filter:?} {cursor:?}");
            let list = asked
                .history()
                .attempts(&account, filter, cursor.as_ref(), 21);
            asked.reads(&what, *rows, list).await?;
        }
    }
    for filter in [
        AttemptFilter {
            event: Some(record.event_id),
            ..any()
        },
        AttemptFilter {
            delivery: Some(record.delivery_id),
            ..any()
        },
        AttemptFilter {
            trace_id: told[3].events[1].trace.trace_id_hex(),
            ..any()
        },
    ] {
        let list = asked.history().attempts(of_record, &filter, None, 21);
        asked.reads(&format!("{filter:?}"), ROWS, list).await?;
    }
    Ok(())
}

async fn events_and_single_things(asked: &impl Asks, past: &Past, told: &[Chapter]) -> Result<()> {
    let (account, endpoint) = past.endpoint(3).clone();
    let record = &told[told.len() / 2].records[3];
    let of_record = &record.account;
    let any = AttemptFilter::default;
    let tag = Some(("chat".to_owned(), "3".to_owned()));
    for filter in [
        EventFilter::default(),
        EventFilter {
            event_type: "form.submitted".to_owned(),
            ..EventFilter::default()
        },
        EventFilter {
            trace_id: told[3].events[1].trace.trace_id_hex(),
            ..EventFilter::default()
        },
        EventFilter {
            tag,
            ..EventFilter::default()
        },
    ] {
        let list = asked.history().events(&account, &filter, None, 21);
        asked.reads(&format!("{filter:?}"), ROWS, list).await?;
    }
    asked
        .reads(
            "an event",
            8,
            asked.history().event(of_record, record.event_id),
        )
        .await?;
    let nowhere = EventId::new();
    asked
        .reads("no event", 8, asked.history().event(of_record, nowhere))
        .await?;
    if let domain::Outcome::Attempt(attempt) = &record.outcome {
        asked
            .reads(
                "an attempt",
                8,
                asked.history().attempt(of_record, attempt.id),
            )
            .await?;
    }
    asked
        .reads(
            "no attempt",
            8,
            asked.history().attempt(of_record, AttemptId::new()),
        )
        .await?;
    let none = AttemptFilter {
        delivery: Some(DeliveryId::from_uuid(uuid::Uuid::new_v4())),
        ..any()
    };
    asked
        .reads(
            "no delivery",
            8,
            asked.history().attempts(of_record, &none, None, 21),
        )
        .await?;
    let source = asked
        .history()
        .resend_source(of_record, record.event_id, record.endpoint_id);
    asked.reads("what is resent", 8, source).await?;
    let hours = u64::from(DAYS) * 24 * 2;
    asked
        .reads(
            "all stats",
            hours,
            asked.history().stats(endpoint, None, None),
        )
        .await?;
    let odd = past.day(2).plus(std::time::Duration::from_secs(1_801));
    let span = asked
        .history()
        .stats(endpoint, Some(odd), Some(past.day(5)));
    asked.reads("stats of a span", hours, span).await?;
    asked
        .reads("health", 8, asked.history().health(&[endpoint]))
        .await?;
    asked
        .reads("hours", hours, asked.history().hours(&[endpoint], 0))
        .await?;
    Ok(())
}

async fn work_in_the_background(asked: &impl Asks, past: &Past, told: &[Chapter]) -> Result<()> {
    let (account, endpoint) = past.endpoint(3).clone();
    let record = &told[told.len() / 2].records[3];
    let history = asked.history();
    // A batch that is told again reads what it is about, and no more.
    let again = told[told.len() / 2].batch();
    let rows = 8 * again.records.len() as u64;
    asked
        .reads("recording", rows, history.record(again))
        .await?;
    let replay = NewReplay {
        id: ReplayId::new(),
        account: account.clone(),
        endpoint,
        status: ReplayStatus::Failed,
        event_types: Vec::new(),
        after: past.day(1),
        before: past.day(DAYS),
        dry_run: false,
        created_at: past.day(DAYS),
    };
    // None has failed for good; other scenarios have left replays open.
    asked
        .reads("a replay of failures", 16, history.start_replay(&replay))
        .await?;
    let all = NewReplay {
        id: ReplayId::new(),
        status: ReplayStatus::All,
        ..replay.clone()
    };
    // Each with its event, which may be erased.
    let of_endpoint = u64::from(DAYS * PER_DAY) / 40 * 3;
    asked
        .reads("a replay of all", of_endpoint, history.start_replay(&all))
        .await?;
    if let Some(row) = history.replay(&account, all.id).await? {
        asked
            .reads(
                // Each with its event, tags and other deliveries.
                "a replay's next events",
                32 * 12,
                history.candidates(&row, 32, all.created_at),
            )
            .await?;
    }
    asked
        .reads("a replay's end", 8, history.unfinished(all.id))
        .await?;
    asked
        // Those too that other tests leave.
        .reads("open replays", 16, history.open_replays())
        .await?;
    asked
        .reads("open erasures", 8, history.open_erasures())
        .await?;
    let earlier = history.is_earlier_open(ErasureId::new(), &account);
    asked.reads("an earlier erasure", 8, earlier).await?;
    let (start, nobody) = (past.day(0), uuid::Uuid::nil());
    let (tag, end) = (("chat", "3"), past.day(DAYS));
    let tagged = history.tagged(&account, tag, (start, nobody), end, 20);
    asked.reads("events with a tag", ROWS, tagged).await?;
    let none = history.erase_events(ErasureId::new(), nobody, 20);
    asked.reads("marked events", 8, none).await?;
    let item = Asked {
        event: record.event_id,
        account: &record.account,
        accepted_at: record.accepted_at,
    };
    asked
        .reads("a mark", 8, history.erased_among(&[item]))
        .await?;
    let endpoints = [endpoint, EndpointId::new()].into();
    asked
        .reads("deleted endpoints", 8, history.deleted_among(&endpoints))
        .await?;
    let overdue = history.overdue(past.day(DAYS), (i64::MIN, nobody), 20);
    asked.reads("what is overdue", ROWS, overdue).await?;
    let body = history.body(record.event_id, record.accepted_at);
    asked.reads("a body", 8, body).await?;
    let retention = history.retention_of(&account);
    asked.reads("an account's retention", 8, retention).await
}

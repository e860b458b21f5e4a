//! How PostgreSQL answers what it is asked: through an index, and reading no
//! more rows than a page needs. It tells each plan itself (auto_explain), as it
//! was carried out.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use domain::page::{Cursor, Direction};
use domain::{AttemptId, DeliveryId, EventId, Timestamp};
use harness::past::Past;
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use store::{AttemptFilter, EventFilter, History, Pool};
use tokio::runtime::Runtime;

use crate::{Databases, Engine};

const START: Timestamp = Timestamp::from_unix_millis(1_199_145_600_000);
const DAYS: u32 = 12;
const PER_DAY: u32 = 1_000;

/// A page of 20 and one more; each row may be met by several steps of a plan.
const ROWS: u64 = 21 * 4;

/// Rows that one index is looked at for where it does not tell all apart.
const LOOKED_AT: u64 = 2_000;

pub(crate) fn trial(runtime: &Arc<Runtime>, databases: &Arc<Databases>) -> Trial {
    let (runtime, databases) = (Arc::clone(runtime), Arc::clone(databases));
    Trial::test("postgres::every_question_goes_along_an_index", move || {
        let asked = runtime.block_on(every_question_goes_along_an_index(&databases));
        asked.map_err(|error| Failed::from(format!("{error:?}")))
    })
}

async fn every_question_goes_along_an_index(databases: &Databases) -> Result<()> {
    let history = History::new(databases.open(Engine::Postgres).await?);
    let past = Past::new(40, START, PER_DAY)?;
    let mut told = Vec::new();
    for day in 0..DAYS {
        for chapter in past.chapters(day) {
            let chapter = chapter?;
            history.record(chapter.batch()).await?;
            told.push(chapter);
        }
    }
    let (url, log) = databases.postgres().await?;
    let explained = [
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_analyze", "on"),
        ("auto_explain.log_format", "json"),
    ];
    let options = explained.map(|(name, value)| format!("options[{name}]={value}"));
    let url = format!("{url}?{}", options.join("&"));
    let history = History::new(Pool::open(&url).await?);
    let asked = Asked { history, log: &log };

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
                .history
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
        let list = asked.history.attempts(of_record, &filter, None, 21);
        asked.reads(&format!("{filter:?}"), ROWS, list).await?;
    }
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
        let list = asked.history.events(&account, &filter, None, 21);
        asked.reads(&format!("{filter:?}"), ROWS, list).await?;
    }
    asked
        .reads(
            "an event",
            8,
            asked.history.event(of_record, record.event_id),
        )
        .await?;
    let nowhere = EventId::new();
    asked
        .reads("no event", 8, asked.history.event(of_record, nowhere))
        .await?;
    if let domain::Outcome::Attempt(attempt) = &record.outcome {
        asked
            .reads(
                "an attempt",
                8,
                asked.history.attempt(of_record, attempt.id),
            )
            .await?;
    }
    asked
        .reads(
            "no attempt",
            8,
            asked.history.attempt(of_record, AttemptId::new()),
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
            asked.history.attempts(of_record, &none, None, 21),
        )
        .await?;
    let source = asked
        .history
        .resend_source(of_record, record.event_id, record.endpoint_id);
    asked.reads("what is resent", 8, source).await?;
    let hours = u64::from(DAYS) * 24 * 2;
    asked
        .reads(
            "all stats",
            hours,
            asked.history.stats(endpoint, None, None),
        )
        .await?;
    let odd = past.day(2).plus(std::time::Duration::from_secs(1_801));
    let span = asked.history.stats(endpoint, Some(odd), Some(past.day(5)));
    asked.reads("stats of a span", hours, span).await?;
    asked
        .reads("health", 8, asked.history.health(&[endpoint]))
        .await?;
    // A batch that is told again reads what it is about, and no more.
    let again = told[told.len() / 2].batch();
    let rows = 8 * again.records.len() as u64;
    asked
        .reads("recording", rows, asked.history.record(again))
        .await?;
    Ok(())
}

struct Asked<'a> {
    history: History,
    log: &'a Path,
}

impl Asked<'_> {
    /// Asks, and looks at how it was answered.
    async fn reads<T>(
        &self,
        what: &str,
        at_most: u64,
        question: impl Future<Output = Result<T, store::Error>>,
    ) -> Result<()> {
        let before = std::fs::metadata(self.log)?.len();
        question.await.with_context(|| what.to_owned())?;
        let log = std::fs::read(self.log)?;
        let log = String::from_utf8_lossy(&log[usize::try_from(before)?..]);
        let plans = plans(&log)?;
        ensure!(
            !plans.is_empty(),
            "{what}: PostgreSQL tells no plan:\n{log}"
        );
        let mut rows = 0;
        for plan in &plans {
            let mut steps = Vec::new();
            collect(&plan["Plan"], &mut steps);
            for step in steps {
                let kind = step["Node Type"].as_str().unwrap_or_default();
                let table = step["Relation Name"].as_str();
                ensure!(
                    kind != "Seq Scan",
                    "{what}: all of {table:?} is read by {}",
                    plan["Query Text"]
                );
                if table.is_some() || kind == "Bitmap Index Scan" {
                    rows += read_by(step);
                }
            }
        }
        ensure!(
            rows <= at_most,
            "{what}: {rows} rows are read, not {at_most}\n{log}"
        );
        Ok(())
    }
}

/// Rows that a step read, wanted or not.
fn read_by(step: &Value) -> u64 {
    let number = |name: &str| step[name].as_f64().unwrap_or_default();
    let each = number("Actual Rows")
        + number("Rows Removed by Filter")
        + number("Rows Removed by Index Recheck");
    (each * number("Actual Loops")) as u64
}

fn collect<'p>(plan: &'p Value, steps: &mut Vec<&'p Value>) {
    steps.push(plan);
    for inner in plan["Plans"].as_array().into_iter().flatten() {
        collect(inner, steps);
    }
}

/// The plans in a log: JSON that begins behind `plan:` and whose lines are
/// indented by a tab.
fn plans(log: &str) -> Result<Vec<Value>> {
    log.split("plan:\n")
        .skip(1)
        .map(|behind| {
            let lines = behind.lines().take_while(|line| line.starts_with('\t'));
            let json: String = lines.collect();
            serde_json::from_str(&json).with_context(|| json)
        })
        .collect()
}

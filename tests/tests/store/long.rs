//! What a page of the dashboard's Message History costs when it is long.

use std::sync::Arc;

use anyhow::{Result, ensure};
use domain::Timestamp;
use domain::page::{Cursor, Direction};
use harness::past::Past;
use libtest_mimic::{Failed, Trial};
use store::{AttemptFilter, History};
use tokio::runtime::Runtime;

use crate::plans::Asks as _;
use crate::plans::postgres::Explained;
use crate::{Databases, Engine};

const START: Timestamp = Timestamp::from_unix_millis(1_293_840_000_000);
const DAYS: u32 = 5;
/// One in 20 deliveries has a second attempt.
const PER_DAY: u32 = 19_200;
const ATTEMPTS: u32 = 100_000;

/// A page of 20 and one more; each row may be met by several steps of a plan.
const ROWS: u64 = 21 * 4;

pub(crate) fn trial(runtime: &Arc<Runtime>, databases: &Arc<Databases>) -> Trial {
    let (runtime, databases) = (Arc::clone(runtime), Arc::clone(databases));
    let name = "postgres::a_page_of_100_000_attempts_costs_as_little_as_the_first";
    Trial::test(name, move || {
        let asked = runtime.block_on(first_and_last_pages_read_few_rows(&databases));
        asked.map_err(|error| Failed::from(format!("{error:?}")))
    })
}

async fn first_and_last_pages_read_few_rows(databases: &Databases) -> Result<()> {
    let history = History::new(databases.open(Engine::Postgres).await?);
    let past = Past::new(1, START, PER_DAY)?;
    let mut attempts = 0;
    for day in 0..DAYS {
        for chapter in past.chapters(day) {
            let chapter = chapter?;
            attempts += chapter.records.len();
            history.record(chapter.batch()).await?;
        }
    }
    ensure!(attempts >= ATTEMPTS as usize, "{attempts}");
    let asked = Explained::open(databases).await?;
    let (account, endpoint) = past.endpoint(0).clone();
    let all = AttemptFilter {
        endpoint: Some(endpoint),
        ..AttemptFilter::default()
    };
    let failed = AttemptFilter {
        succeeded: Some(false),
        ..all.clone()
    };
    // Behind the last page there is nothing: it is read backwards from there.
    let end = Cursor {
        at: past.day(0).unix_millis(),
        id: uuid::Uuid::nil(),
        direction: Direction::Prev,
    };
    let middle = Cursor {
        at: past.day(DAYS / 2).unix_millis(),
        id: uuid::Uuid::nil(),
        direction: Direction::Next,
    };
    for filter in [&all, &failed] {
        for cursor in [None, Some(&middle), Some(&end)] {
            let what = format!("{filter:?} from {cursor:?}");
            let page = asked.history().attempts(&account, filter, cursor, 21);
            asked.reads(&what, ROWS, page).await?;
            let page = asked.history().attempts(&account, filter, cursor, 21);
            let found = page.await?.rows.len();
            ensure!(found == 21, "{what}: {found} rows");
        }
    }
    // The cards: an hour of counts is a row, however many there were.
    let hours = u64::from(DAYS) * 24 * 2;
    let stats = asked.history().stats(endpoint, None, None);
    asked.reads("the cards", hours, stats).await
}

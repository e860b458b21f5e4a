//! Lists by every filter, there and back again.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use domain::page::{Cursor, Direction};
use domain::{AccountId, DeliveryId, EventId, Timestamp};
use harness::past::{Chapter, Past};
use harness::suite::Scenario;
use store::{AttemptFilter, AttemptSummary, EventFilter, History, Pool};

pub(crate) fn scenarios() -> Vec<Scenario<Pool>> {
    harness::scenarios![
        every_filter_finds_what_matches_and_nothing_else,
        a_list_is_the_same_there_and_back,
        a_page_that_looked_at_enough_goes_on,
        events_are_found_by_trace_and_tag,
    ]
}

const START: Timestamp = Timestamp::from_unix_millis(1_104_537_600_000);

/// One account with two endpoints, some days of it.
async fn world(pool: Pool, start: i64, per_day: u32) -> Result<(History, Past, Vec<Chapter>)> {
    let history = History::new(pool);
    let start = Timestamp::from_unix_millis(START.unix_millis() + start * 86_400_000);
    let past = Past::new(2, start, per_day)?;
    let chapters: Vec<Chapter> = (0..3)
        .flat_map(|day| past.chapters(day))
        .collect::<Result<_>>()?;
    for chapter in &chapters {
        history.record(chapter.batch()).await?;
    }
    Ok((history, past, chapters))
}

/// All of a list, page by page.
async fn all(
    history: &History,
    account: &AccountId,
    filter: &AttemptFilter,
    from: Option<Cursor>,
) -> Result<Vec<AttemptSummary>> {
    let mut cursor = from;
    let direction = from.map_or(Direction::Next, |cursor| cursor.direction);
    let mut rows = Vec::new();
    loop {
        let found = history
            .attempts(account, filter, cursor.as_ref(), 20)
            .await?;
        let last = found.rows.last().map(|row| (row.started_at, row.id));
        let full = found.rows.len() == 20;
        rows.extend(found.rows);
        let Some((at, id)) = (if full { last } else { found.ended_at }) else {
            return Ok(rows);
        };
        cursor = Some(Cursor { at, id, direction });
    }
}

async fn every_filter_finds_what_matches_and_nothing_else(pool: Pool) -> Result<()> {
    let (history, past, _) = world(pool, 0, 200).await?;
    let (account, endpoint) = past.endpoint(0).clone();
    let everything = all(&history, &account, &AttemptFilter::default(), None).await?;
    ensure!(everything.len() == 3 * 210, "{}", everything.len());
    let one = everything
        .iter()
        .find(|row| row.number == 2)
        .context("a retry")?;
    let trace = history
        .attempt(&account, domain::AttemptId::from_uuid(one.id))
        .await?;
    let trace = trace.context("the attempt")?.trace_id;
    type Matches<'a> = Box<dyn Fn(&AttemptSummary) -> bool + Send + Sync + 'a>;
    let any = AttemptFilter::default;
    let (after, before) = (past.day(1), past.day(2));
    let cases: Vec<(AttemptFilter, Matches<'_>)> = vec![
        (
            AttemptFilter {
                endpoint: Some(endpoint),
                ..any()
            },
            Box::new(|row| row.endpoint_id == endpoint.uuid()),
        ),
        (
            AttemptFilter {
                event: Some(EventId::from_uuid(one.event_id)),
                ..any()
            },
            Box::new(|row| row.event_id == one.event_id),
        ),
        (
            AttemptFilter {
                delivery: Some(DeliveryId::from_uuid(one.delivery_id)),
                ..any()
            },
            Box::new(|row| row.delivery_id == one.delivery_id),
        ),
        (
            AttemptFilter {
                trace_id: trace,
                ..any()
            },
            Box::new(|row| row.id == one.id),
        ),
        (
            AttemptFilter {
                event_type: "form.submitted".to_owned(),
                ..any()
            },
            Box::new(|row| row.event_type == "form.submitted"),
        ),
        (
            AttemptFilter {
                succeeded: Some(false),
                ..any()
            },
            Box::new(|row| !row.succeeded),
        ),
        (
            AttemptFilter {
                succeeded: Some(true),
                ..any()
            },
            Box::new(|row| row.succeeded),
        ),
        (
            AttemptFilter {
                response_status: Some(500),
                ..any()
            },
            Box::new(|row| row.response_status == Some(500)),
        ),
        (
            AttemptFilter {
                response_status: Some(200),
                ..any()
            },
            Box::new(|row| row.response_status == Some(200)),
        ),
        (
            AttemptFilter {
                failure_class: "timeout".to_owned(),
                ..any()
            },
            Box::new(|row| row.failure_class == "timeout"),
        ),
        (
            AttemptFilter {
                after: Some(after),
                before: Some(before),
                ..any()
            },
            Box::new(|row| (after.unix_millis()..before.unix_millis()).contains(&row.started_at)),
        ),
        (
            AttemptFilter {
                endpoint: Some(endpoint),
                event_type: "form.submitted".to_owned(),
                succeeded: Some(false),
                failure_class: "timeout".to_owned(),
                ..any()
            },
            Box::new(|row| {
                row.endpoint_id == endpoint.uuid()
                    && row.event_type == "form.submitted"
                    && row.failure_class == "timeout"
            }),
        ),
        (
            AttemptFilter {
                endpoint: Some(endpoint),
                event_type: "form.submitted".to_owned(),
                after: Some(after),
                ..any()
            },
            Box::new(|row| {
                row.endpoint_id == endpoint.uuid()
                    && row.event_type == "form.submitted"
                    && row.started_at >= after.unix_millis()
            }),
        ),
    ];
    for (filter, matches) in cases {
        let found = all(&history, &account, &filter, None).await?;
        let expected: Vec<AttemptSummary> = everything
            .iter()
            .filter(|row| matches(row))
            .cloned()
            .collect();
        ensure!(
            !expected.is_empty() || filter.endpoint.is_some(),
            "{filter:?} matches nothing"
        );
        ensure!(
            found == expected,
            "{filter:?}: {} rows, not {}",
            found.len(),
            expected.len()
        );
        let others = AccountId::parse("another")?;
        ensure!(
            all(&history, &others, &filter, None).await?.is_empty(),
            "{filter:?}"
        );
    }
    Ok(())
}

async fn a_list_is_the_same_there_and_back(pool: Pool) -> Result<()> {
    let (history, past, _) = world(pool, 10, 200).await?;
    let (account, endpoint) = past.endpoint(1).clone();
    let filter = AttemptFilter {
        endpoint: Some(endpoint),
        ..AttemptFilter::default()
    };
    let there = all(&history, &account, &filter, None).await?;
    let ids: HashSet<_> = there.iter().map(|row| row.id).collect();
    ensure!(ids.len() == there.len(), "one is there twice");
    ensure!(there.is_sorted_by(|a, b| (a.started_at, a.id) > (b.started_at, b.id)));
    let last = there.last().context("rows")?;
    let back = Cursor {
        at: last.started_at,
        id: last.id,
        direction: Direction::Prev,
    };
    let mut back = all(&history, &account, &filter, Some(back)).await?;
    back.reverse();
    ensure!(
        back == there[..there.len() - 1],
        "{} of {}",
        back.len(),
        there.len()
    );
    Ok(())
}

/// Rows enough that a rare one is beyond what a page looks at.
async fn a_page_that_looked_at_enough_goes_on(pool: Pool) -> Result<()> {
    let (history, past, chapters) = world(pool, 20, 1_500).await?;
    let (account, _) = past.endpoint(0).clone();
    let filter = AttemptFilter {
        // No index tells it apart: nothing matches.
        response_status: Some(204),
        ..AttemptFilter::default()
    };
    let first = history.attempts(&account, &filter, None, 20).await?;
    ensure!(
        first.rows.is_empty() && first.ended_at.is_some(),
        "{first:?}"
    );
    let attempts: usize = chapters.iter().map(|chapter| chapter.records.len()).sum();
    let (mut pages, mut cursor) = (0, None);
    loop {
        let found = history
            .attempts(&account, &filter, cursor.as_ref(), 20)
            .await?;
        pages += 1;
        let Some((at, id)) = found.ended_at else {
            break;
        };
        cursor = Some(Cursor {
            at,
            id,
            direction: Direction::Next,
        });
    }
    ensure!(pages == attempts / 1_000 + 1, "{pages} pages of {attempts}");
    Ok(())
}

async fn events_are_found_by_trace_and_tag(pool: Pool) -> Result<()> {
    let (history, past, chapters) = world(pool, 30, 300).await?;
    let (account, _) = past.endpoint(0).clone();
    let event = &chapters[1].events[7];
    let filter = EventFilter {
        trace_id: event.trace.trace_id_hex(),
        ..EventFilter::default()
    };
    let found = history.events(&account, &filter, None, 20).await?;
    ensure!(
        found.rows.len() == 1 && found.rows[0].id == event.id.uuid(),
        "{found:?}"
    );
    let filter = EventFilter {
        tag: Some(("chat".to_owned(), "1".to_owned())),
        event_type: "message.incoming".to_owned(),
        ..EventFilter::default()
    };
    let mut cursor = None;
    let mut ids = Vec::new();
    loop {
        let found = history
            .events(&account, &filter, cursor.as_ref(), 20)
            .await?;
        ids.extend(found.rows.iter().map(|row| row.id));
        ensure!(
            found
                .rows
                .iter()
                .all(|row| row.event_type == "message.incoming")
        );
        ensure!(found.rows.iter().all(|row| row.deliveries.len() == 1));
        let Some(last) = found.rows.last() else { break };
        cursor = Some(Cursor {
            at: last.accepted_at.unix_millis(),
            id: last.id,
            direction: Direction::Next,
        });
    }
    let expected: Vec<_> = chapters
        .iter()
        .flat_map(|chapter| &chapter.events)
        .filter(|event| event.event_type.as_str() == "message.incoming")
        .filter(|event| event.tags.as_map()["chat"] == "1")
        .map(|event| event.id.uuid())
        .rev()
        .collect();
    ensure!(ids == expected, "{} of {}", ids.len(), expected.len());
    Ok(())
}

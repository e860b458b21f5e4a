//! What is too old goes, and nothing else; what comes late finds its day.

use std::time::Duration;

use anyhow::{Result, ensure};
use domain::{EndpointId, Timestamp};
use harness::past::Past;
use harness::suite::Scenario;
use store::{
    AccountRetention, AttemptFilter, Batch, Error, EventFilter, Expiry, History, Pool, Stats,
};

use crate::history::{Story, outcomes, plans};

pub(crate) fn scenarios() -> Vec<Scenario<Pool>> {
    harness::scenarios![
        what_is_too_old_goes_and_nothing_else,
        counts_of_many_endpoints_go_with_their_days,
        what_comes_after_its_day_was_dropped_is_recorded_once,
        recording_goes_on_while_days_go,
        a_batch_with_an_impossible_instant_is_refused_whole,
        an_account_has_less_kept_than_others,
    ]
}

/// Nothing else in these tests is as old.
const START: Timestamp = Timestamp::from_unix_millis(946_684_800_000);
const DAY: Duration = Duration::from_secs(86_400);

fn first(past: &Past) -> (domain::AccountId, EndpointId) {
    past.endpoint(0).clone()
}

async fn record_days(history: &History, past: &Past, days: std::ops::Range<u32>) -> Result<()> {
    for day in days {
        for chapter in past.chapters(day) {
            history.record(chapter?.batch()).await?;
        }
    }
    Ok(())
}

async fn what_is_too_old_goes_and_nothing_else(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let past = Past::new(1, START, 600)?;
    let (account, endpoint) = first(&past);
    record_days(&history, &past, 0..4).await?;
    let expiry = Expiry {
        events_before: past.day(3),
        records_before: past.day(1),
    };
    let expired = history.expire(expiry).await?;
    ensure!(expired.tables + expired.rows > 0, "{expired:?}");
    let events = history
        .events(&account, &EventFilter::default(), None, 10_000)
        .await?;
    ensure!(events.rows.len() == 600, "{}", events.rows.len());
    ensure!(
        events
            .rows
            .iter()
            .all(|event| event.accepted_at >= past.day(3))
    );
    // A tag goes with its event.
    let tagged = EventFilter {
        tag: Some(("chat".to_owned(), "0".to_owned())),
        ..EventFilter::default()
    };
    let tagged = history.events(&account, &tagged, None, 1_000).await?;
    ensure!(tagged.rows.len() == 100, "{}", tagged.rows.len());
    let attempts = history
        .attempts(&account, &AttemptFilter::default(), None, 10_000)
        .await?;
    ensure!(
        attempts
            .rows
            .iter()
            .all(|row| row.started_at >= past.day(1).unix_millis()),
        "an old attempt is left"
    );
    let stats = history.stats(endpoint, None, None).await?;
    let expected = Stats {
        total: 1_800,
        succeeded: 1_800,
        ..Stats::default()
    };
    ensure!(stats == expected, "{stats:?}");
    let span = (past.day(0), past.day(2).plus(Duration::from_secs(1)));
    let counted = history.stats(endpoint, Some(span.0), Some(span.1)).await?;
    ensure!(counted.total == 601, "{counted:?}");
    // An attempt tells less without its event, and is still there.
    let oldest = attempts.rows.last().map(|row| row.id);
    if let Some(id) = oldest {
        let id = domain::AttemptId::from_uuid(id);
        let shown = history.attempt(&account, id).await?;
        ensure!(
            shown
                .is_some_and(|row| row.request_body.is_none() && row.delivery_state == "succeeded")
        );
    }
    ensure!(
        history.expire(expiry).await? == store::Expired::default(),
        "it is done"
    );
    Ok(())
}

/// More endpoints than one statement deletes the counts of, and an end within a day:
/// PostgreSQL keeps that day whole, SQLite goes to the hour.
async fn counts_of_many_endpoints_go_with_their_days(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let past = Past::new(250, START.plus(120 * DAY), 2_500)?;
    record_days(&history, &past, 0..3).await?;
    let end = past.day(1).plus(Duration::from_secs(12 * 3_600));
    let expiry = Expiry {
        events_before: end,
        records_before: end,
    };
    let expired = history.expire(expiry).await?;
    ensure!(expired.rows > 0, "{expired:?}");
    let day = |day| (Some(past.day(day)), Some(past.day(day + 1)));
    let mut totals = [0; 3];
    for number in 0..250 {
        let (_, endpoint) = past.endpoint(number);
        let mut sum = 0;
        for (total, (from, to)) in totals.iter_mut().zip([day(0), day(1), day(2)]) {
            let stats = history.stats(*endpoint, from, to).await?;
            *total += stats.total;
            sum += stats.total;
        }
        let all = history.stats(*endpoint, None, None).await?.total;
        ensure!(all == sum, "{all} of an endpoint, {sum} day by day");
    }
    let kept = if expired.tables > 0 { 2_500 } else { 1_250 };
    ensure!(totals == [0, kept, 2_500], "{totals:?}");
    ensure!(
        history.expire(expiry).await? == store::Expired::default(),
        "it is done"
    );
    Ok(())
}

async fn what_comes_after_its_day_was_dropped_is_recorded_once(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let at = START.plus(20 * DAY);
    let story = Story::of(EndpointId::new(), at)?;
    plans(&history, &[story.plan(0)?]).await?;
    let expiry = Expiry {
        events_before: at.plus(DAY),
        records_before: at.plus(DAY),
    };
    history.expire(expiry).await?;
    ensure!(history.stats(story.endpoint, None, None).await? == Stats::default());
    let late = story.record(1, false)?;
    for _ in 0..2 {
        outcomes(&history, std::slice::from_ref(&late)).await?;
    }
    let stats = history.stats(story.endpoint, None, None).await?;
    ensure!(stats.total == 1 && stats.succeeded == 1, "{stats:?}");
    // What is deleted stays so, however late it is told.
    history
        .bury_endpoint(&story.account, story.endpoint)
        .await?;
    history.erase_endpoint(story.endpoint).await?;
    outcomes(&history, &[story.record(2, false)?]).await?;
    ensure!(history.stats(story.endpoint, None, None).await? == Stats::default());
    let filter = AttemptFilter::default();
    let attempts = history.attempts(&story.account, &filter, None, 10).await?;
    ensure!(attempts.rows.is_empty(), "{attempts:?}");
    Ok(())
}

async fn recording_goes_on_while_days_go(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let past = Past::new(4, START.plus(40 * DAY), 500)?;
    record_days(&history, &past, 0..6).await?;
    let recording = record_days(&history, &past, 6..12);
    let expiring = async {
        for day in 1..=5 {
            let expiry = Expiry {
                events_before: past.day(day),
                records_before: past.day(day),
            };
            history.expire(expiry).await?;
        }
        Ok(())
    };
    tokio::try_join!(recording, expiring)?;
    let mut total = 0;
    for number in 0..4 {
        let (_, endpoint) = past.endpoint(number);
        total += history.stats(*endpoint, None, None).await?.total;
    }
    ensure!(total == 7 * 500, "{total}");
    Ok(())
}

/// PostgreSQL has no table for it, and SQLite stores any number: alone, the
/// others are recorded.
async fn a_batch_with_an_impossible_instant_is_refused_whole(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let good = Story::new()?;
    let impossible = Story::of(good.endpoint, Timestamp::from_unix_millis(i64::MAX / 2))?;
    let events = [good.accepted()?, impossible.accepted()?];
    let batch = Batch {
        events: &events,
        ..Batch::default()
    };
    match history.record(batch).await {
        Err(Error::Refused(_)) => {
            ensure!(history.event(&good.account, good.event).await?.is_none());
            let batch = Batch {
                events: &events[..1],
                ..Batch::default()
            };
            history.record(batch).await?;
        }
        other => {
            other?;
        }
    }
    ensure!(history.event(&good.account, good.event).await?.is_some());
    Ok(())
}

async fn an_account_has_less_kept_than_others(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let past = Past::new(21, START.plus(80 * DAY), 420)?;
    record_days(&history, &past, 0..3).await?;
    // The first 20 endpoints are of one account, the last of another.
    let (account, endpoint) = past.endpoint(0).clone();
    let (other, _) = past.endpoint(20).clone();
    let asked = AccountRetention {
        event_days: Some(2),
        record_days: Some(9),
    };
    history.keep_for(&account, asked).await?;
    ensure!(history.retention_of(&account).await? == asked);
    ensure!(history.retention_of(&other).await? == AccountRetention::default());
    let listed = history.retentions("", 1_000).await?;
    ensure!(listed.contains(&(account.to_string(), asked)), "{listed:?}");
    let before = history.stats(endpoint, None, None).await?;
    let expired = history
        .expire_account(&account, Some(past.day(2)), Some(past.day(1)))
        .await?;
    ensure!(expired.rows > 0, "{expired:?}");
    let all = EventFilter::default();
    let events = history.events(&account, &all, None, 10_000).await?.rows;
    ensure!(events.len() == 400, "{} events", events.len());
    ensure!(events.iter().all(|event| event.accepted_at >= past.day(2)));
    let after = history.stats(endpoint, None, None).await?;
    ensure!(after.total == before.total * 2 / 3, "{before:?}, {after:?}");
    let attempts = AttemptFilter::default();
    let attempts = history.attempts(&account, &attempts, None, 10_000).await?;
    let first = past.day(1).unix_millis();
    ensure!(attempts.rows.iter().all(|row| row.started_at >= first));
    let kept = history.events(&other, &all, None, 10_000).await?.rows;
    ensure!(kept.len() == 3 * 20, "{} events of the other", kept.len());
    let again = history
        .expire_account(&account, Some(past.day(2)), Some(past.day(1)))
        .await?;
    ensure!(again == store::Expired::default(), "{again:?}");
    Ok(())
}

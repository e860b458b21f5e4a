//! Batches: many things at once, what waits, and what follows from failure.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::{
    Cause, DeferralReason, EndpointId, EventType, NotSent, NotSentReason, Outcome, Record,
    Timestamp,
};
use harness::suite::Scenario;
use store::{Batch, Findings, History, Pool, Stats};

use crate::history::{Story, outcomes, plans};

pub(crate) fn scenarios() -> Vec<Scenario<Pool>> {
    harness::scenarios![
        one_batch_ends_like_many,
        a_batch_of_every_size_is_counted_once,
        a_batch_that_is_recorded_on_the_second_try_counts,
        plans_that_leave_out_the_same_tell_all_of_it,
        a_plan_that_comes_late_tells_since_when_it_is_due,
        what_waits_says_so_until_it_is_tried,
        disabling_ends_waiting_and_failing,
        a_delivery_that_failed_for_good_is_found_again_and_again,
        a_success_after_ten_failures_is_found_again_and_again,
        tests_and_operational_events_are_not_found,
    ]
}

const START: Timestamp = Timestamp::from_unix_millis(1_747_147_674_000);

impl Story {
    /// The attempt with this number is due and waits.
    fn deferred(&self, number: u32, reason: DeferralReason) -> Result<Record> {
        let until = Some(self.at.plus(Duration::from_secs(60)));
        Ok(Record {
            outcome: Outcome::Deferred { reason, until },
            ..self.record(number, true)?
        })
    }

    /// The last attempt, failed.
    fn last(&self, number: u32) -> Result<Record> {
        let mut record = self.record(number, true)?;
        if let Outcome::Attempt(attempt) = &mut record.outcome {
            attempt.next_attempt_at = None;
        }
        Ok(record)
    }
}

async fn one_batch_ends_like_many(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let story = Story::new()?;
        let other = EndpointId::new();
        let mut plan = story.plan(0)?;
        plan.not_sent = [(other, NotSentReason::NotSubscribed)]
            .into_iter()
            .collect();
        let told = [
            story.record(1, true)?,
            story.record(2, true)?,
            story.record(3, false)?,
        ];
        // Each twice, in one batch and again in the next.
        let records: Vec<Record> = order
            .iter()
            .chain(&order)
            .map(|n| told[*n].clone())
            .collect();
        let batch = Batch {
            events: &[story.accepted()?, story.accepted()?],
            plans: &[plan.clone(), plan],
            records: &records,
        };
        for _ in 0..2 {
            ensure!(history.record(batch).await? == Findings::default());
        }
        let event = history.event(&story.account, story.event).await?;
        let event = event.context("the event")?;
        ensure!(event.planned && event.not_sent.len() == 1, "{event:?}");
        let delivery = event.deliveries.first().context("a delivery")?;
        ensure!(
            delivery.state == "succeeded" && delivery.attempts == 3,
            "{order:?}: {delivery:?}"
        );
        let stats = history.stats(story.endpoint, None, None).await?;
        ensure!(stats.total == 1 && stats.succeeded == 1, "{stats:?}");
    }
    Ok(())
}

/// Of plans that say the same only the first is written as a whole; each tells all, also
/// if another process has recorded some of them before.
async fn plans_that_leave_out_the_same_tell_all_of_it(pool: Pool) -> Result<()> {
    const OTHERS: usize = 200;
    let left_out: NotSent = (0..OTHERS)
        .map(|_| (EndpointId::new(), NotSentReason::NotSubscribed))
        .collect();
    let endpoint = EndpointId::new();
    let minutes = |minutes: u64| START.plus(Duration::from_secs(60 * minutes));
    let stories: Vec<Story> = [0, 1, 2, 9, 10, 13]
        .map(|at| Story::of(endpoint, minutes(at)))
        .into_iter()
        .collect::<Result<_>>()?;
    let tell = async |history: &History, story: &Story| -> Result<()> {
        let mut plan = story.plan(0)?;
        plan.not_sent = left_out.clone();
        let batch = Batch {
            events: &[story.accepted()?],
            plans: &[plan],
            ..Batch::default()
        };
        ensure!(history.record(batch).await? == Findings::default());
        Ok(())
    };
    let (one, other) = (History::new(pool.clone()), History::new(pool));
    for story in &stories[..4] {
        tell(&one, story).await?;
    }
    // It takes the second one's plan for whole, which only names the first.
    for story in &stories[1..] {
        tell(&other, story).await?;
    }
    let named: Vec<_> = left_out.iter().map(|(id, _)| id.uuid()).collect();
    for story in &stories {
        let event = one.event(&story.account, story.event).await?;
        let told = event.context("the event")?.not_sent;
        let mut told: Vec<_> = told.into_iter().map(|(id, _)| id).collect();
        let mut named = named.clone();
        told.sort_unstable();
        named.sort_unstable();
        ensure!(told == named, "{} of {OTHERS}", told.len());
    }
    Ok(())
}

async fn a_batch_of_every_size_is_counted_once(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let endpoint = EndpointId::new();
    let mut expected = Stats::default();
    for size in [1, 7, 9, 40, 301] {
        let stories = (0..size).map(|_| Story::of(endpoint, START));
        let stories: Vec<Story> = stories.collect::<Result<_>>()?;
        let mut records = Vec::new();
        for (place, story) in stories.iter().enumerate() {
            // Every third succeeds, fails once, or is only planned.
            match place % 3 {
                0 => records.push(story.record(1, false)?),
                1 => records.push(story.record(1, true)?),
                _ => {}
            }
        }
        let planned: Vec<_> = stories
            .iter()
            .map(|story| story.plan(0))
            .collect::<Result<_>>()?;
        for _ in 0..2 {
            plans(&history, &planned[..size / 2]).await?;
            let batch = Batch {
                plans: &planned,
                records: &records,
                ..Batch::default()
            };
            history.record(batch).await?;
        }
        let of = |rest| i64::try_from((0..size).filter(|n| n % 3 == rest).count());
        expected += Stats {
            total: i64::try_from(size)?,
            succeeded: of(0)?,
            pending: of(1)? + of(2)?,
            retrying: of(1)?,
            ..Stats::default()
        };
        let stats = history.stats(endpoint, None, None).await?;
        ensure!(stats == expected, "{size}: {stats:?}, not {expected:?}");
        // Not from the counts, but from the deliveries themselves.
        let span = (Some(START), Some(START.plus(Duration::from_secs(1))));
        let counted = history.stats(endpoint, span.0, span.1).await?;
        ensure!(counted == expected, "{size}: {counted:?}, not {expected:?}");
    }
    Ok(())
}

/// Of the first try, which meets the plan that is there, nothing may stay.
async fn a_batch_that_is_recorded_on_the_second_try_counts(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    for is_last in [false, true] {
        let story = Story::new()?;
        let plan = story.plan(0)?;
        plans(&history, std::slice::from_ref(&plan)).await?;
        outcomes(&history, &[story.record(2, false)?]).await?;
        let first = match is_last {
            true => story.last(1)?,
            false => story.record(1, true)?,
        };
        let batch = Batch {
            plans: &[plan],
            records: &[first],
            ..Batch::default()
        };
        for _ in 0..2 {
            history.record(batch).await?;
        }
        let event = [story.accepted()?];
        let batch = Batch {
            events: &event,
            ..Batch::default()
        };
        history.record(batch).await?;
        let event = history.event(&story.account, story.event).await?;
        let event = event.context("the event")?;
        let delivery = event.deliveries.first().context("a delivery")?;
        ensure!(
            delivery.state == "succeeded" && delivery.attempts == 2,
            "{is_last}: {delivery:?}"
        );
    }
    Ok(())
}

async fn a_plan_that_comes_late_tells_since_when_it_is_due(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let story = Story::new()?;
    let mut waits = story.deferred(1, DeferralReason::Throttled)?;
    if let Outcome::Deferred { until, .. } = &mut waits.outcome {
        *until = None;
    }
    outcomes(&history, &[waits]).await?;
    let plan = story.plan(0)?;
    for _ in 0..2 {
        plans(&history, std::slice::from_ref(&plan)).await?;
        let before = plan.planned_at.plus(Duration::from_secs(1));
        let nobody = (i64::MIN, uuid::Uuid::nil());
        let overdue = history.overdue(before, nobody, 1_000).await?;
        let mut of_story = overdue
            .iter()
            .filter(|overdue| overdue.event_id == story.event.uuid());
        let due_at = of_story.next().map(|overdue| overdue.due_at);
        ensure!(due_at == Some(plan.planned_at.unix_millis()), "{overdue:?}");
        let stats = history.stats(story.endpoint, None, None).await?;
        ensure!(stats.total == 1 && stats.pending == 1, "{stats:?}");
    }
    Ok(())
}

async fn what_waits_says_so_until_it_is_tried(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let story = Story::new()?;
    let throttled = story.deferred(1, DeferralReason::Throttled)?;
    for _ in 0..2 {
        // Before the plan, and again.
        outcomes(&history, std::slice::from_ref(&throttled)).await?;
    }
    plans(&history, &[story.plan(0)?]).await?;
    let waiting = async || -> Result<(i64, i64)> {
        let health = history.health(&[story.endpoint]).await?;
        let row = health.first().context("a row")?;
        Ok((row.throttled, row.paused))
    };
    ensure!(waiting().await? == (1, 0));
    history
        .record(Batch {
            events: &[story.accepted()?],
            ..Batch::default()
        })
        .await?;
    let event = history.event(&story.account, story.event).await?;
    let delivery = event.context("the event")?.deliveries.remove(0);
    let until = story.at.plus(Duration::from_secs(60)).unix_millis();
    ensure!(
        delivery.state == "pending"
            && delivery.reason == "throttled"
            && delivery.next_attempt_at == Some(until)
            && delivery.attempts == 0,
        "{delivery:?}"
    );
    let paused = story.deferred(2, DeferralReason::Paused)?;
    outcomes(&history, &[story.record(1, true)?, paused.clone()]).await?;
    ensure!(waiting().await? == (0, 1));
    let health = history.health(&[story.endpoint]).await?;
    ensure!(health[0].paused_until == Some(until), "{health:?}");
    outcomes(&history, &[story.record(2, false)?]).await?;
    outcomes(&history, &[throttled, paused]).await?;
    ensure!(waiting().await? == (0, 0));
    Ok(())
}

async fn disabling_ends_waiting_and_failing(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let story = Story::new()?;
    let failing = story.record(1, true)?;
    let found = outcomes(&history, std::slice::from_ref(&failing)).await?;
    let failed_at = story.at.plus(Duration::from_secs(1));
    ensure!(
        found.failing.len() == 1 && found.failing[0].failing_since == failed_at,
        "{found:?}"
    );
    // After a crash it is found again.
    ensure!(outcomes(&history, std::slice::from_ref(&failing)).await? == found);
    let waiting = Story::of(story.endpoint, story.at)?;
    let throttled = waiting.deferred(1, DeferralReason::Throttled)?;
    outcomes(&history, &[throttled]).await?;
    history
        .cancel_pending(&story.account, story.endpoint, 1)
        .await?;
    let health = history.health(&[story.endpoint]).await?;
    ensure!(
        health[0].throttled == 0 && health[0].failing_since.is_none(),
        "{health:?}"
    );
    // One that was under way then begins no period of failure.
    let found = outcomes(&history, &[story.record(2, true)?]).await?;
    ensure!(found.failing.is_empty(), "{found:?}");
    let after = Record {
        endpoint_generation: 1,
        ..Story::of(story.endpoint, story.at)?.record(5, true)?
    };
    let found = outcomes(&history, &[after]).await?;
    let since = story.at.plus(Duration::from_secs(5));
    ensure!(found.failing[0].failing_since == since, "{found:?}");
    Ok(())
}

async fn a_delivery_that_failed_for_good_is_found_again_and_again(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let story = Story::new()?;
    let found = outcomes(&history, &[story.record(1, true)?]).await?;
    ensure!(found.exhausted.is_empty(), "{found:?}");
    let last = story.last(2)?;
    for _ in 0..2 {
        let found = outcomes(&history, std::slice::from_ref(&last)).await?;
        let one = found.exhausted.first().context("one")?;
        ensure!(
            found.exhausted.len() == 1
                && one.delivery == story.delivery
                && one.attempts == 2
                && one.last_failure.starts_with("it answered 500"),
            "{found:?}"
        );
    }
    Ok(())
}

async fn a_success_after_ten_failures_is_found_again_and_again(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    for (failures, expected) in [(9, 0), (10, 1)] {
        let story = Story::new()?;
        let failed = (1..=failures).map(|number| story.record(number, true));
        let failed: Vec<Record> = failed.collect::<Result<_>>()?;
        // Some alone, the others together.
        outcomes(&history, &failed[..2]).await?;
        outcomes(&history, &failed[2..]).await?;
        let success = story.record(failures + 1, false)?;
        for _ in 0..2 {
            let found = outcomes(&history, std::slice::from_ref(&success)).await?;
            ensure!(found.recovered.len() == expected, "{failures}: {found:?}");
            if let Some(recovered) = found.recovered.first() {
                let since = story.at.plus(Duration::from_secs(1));
                ensure!(recovered.failing_since == since, "{found:?}");
                ensure!(recovered.endpoint == story.endpoint, "{found:?}");
            }
        }
    }
    Ok(())
}

async fn tests_and_operational_events_are_not_found(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let test = Story {
        cause: Cause::Test,
        ..Story::new()?
    };
    let waits = test.deferred(1, DeferralReason::Throttled)?;
    let found = outcomes(&history, &[waits, test.last(1)?]).await?;
    ensure!(found == Findings::default(), "{found:?}");
    let other = Story {
        cause: Cause::Test,
        ..Story::of(test.endpoint, test.at)?
    };
    outcomes(&history, &[other.deferred(1, DeferralReason::Paused)?]).await?;
    ensure!(history.health(&[test.endpoint]).await?.is_empty());
    let story = Story::new()?;
    let operational = |record: Record| -> Result<Record> {
        Ok(Record {
            event_type: EventType::parse("endpoint.disabled")?,
            ..record
        })
    };
    let mut records: Vec<Record> = (1..=9)
        .map(|number| story.record(number, true).and_then(operational))
        .collect::<Result<_>>()?;
    records.push(operational(story.last(10)?)?);
    let found = outcomes(&history, &records).await?;
    ensure!(found.exhausted.is_empty(), "{found:?}");
    let later = Story::of(story.endpoint, story.at)?;
    let found = outcomes(&history, &[operational(later.record(11, false)?)?]).await?;
    ensure!(found.recovered.is_empty(), "{found:?}");
    Ok(())
}

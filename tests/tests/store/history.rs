//! What happened, recorded once however often and in whatever order it comes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use domain::attempt::Failure;
use domain::page::{Cursor, Direction};
use domain::{
    AcceptedEvent, AccountId, Attempt, AttemptId, Cause, DeliveryId, EndpointId, EventId,
    EventType, FailureClass, Headers, NotSent, Outcome, Plan, PlannedDelivery, Record, Tags,
    Timestamp, TraceContext,
};
use harness::past::made_at;
use harness::suite::Scenario;
use store::{AttemptFilter, Batch, Findings, History, Pool, Stats};

pub(crate) fn scenarios() -> Vec<Scenario<Pool>> {
    harness::scenarios![
        any_order_and_any_repetition_end_the_same,
        a_disabled_endpoint_cancels_what_waits_and_what_comes_late,
        a_deleted_endpoint_leaves_nothing_and_nothing_comes_back,
        tests_count_nowhere,
        stats_of_a_span_are_exact,
        stats_of_many_days_are_exact,
        attempts_are_paged_both_ways,
        bytes_that_are_no_text_are_kept,
    ]
}

/// One event on its way to one endpoint of an account of their own.
pub(crate) struct Story {
    pub(crate) account: AccountId,
    pub(crate) event: EventId,
    pub(crate) endpoint: EndpointId,
    pub(crate) delivery: DeliveryId,
    pub(crate) cause: Cause,
    pub(crate) at: Timestamp,
}

impl Story {
    pub(crate) fn new() -> Result<Self> {
        Self::of(
            EndpointId::new(),
            Timestamp::from_unix_millis(1_747_147_674_000),
        )
    }

    pub(crate) fn of(endpoint: EndpointId, at: Timestamp) -> Result<Self> {
        let event = EventId::from_uuid(made_at(at));
        Ok(Self {
            account: AccountId::parse(&endpoint.to_string())
                .ok()
                .context("an account")?,
            event,
            endpoint,
            delivery: DeliveryId::planned(event, endpoint),
            cause: Cause::Event,
            at,
        })
    }

    fn event_type(&self) -> Result<EventType> {
        Ok(EventType::parse("message.report")?)
    }

    pub(crate) fn accepted(&self) -> Result<AcceptedEvent> {
        Ok(AcceptedEvent {
            id: self.event,
            account: self.account.clone(),
            event_type: self.event_type()?,
            body: Bytes::from_static(b"{}"),
            tags: Tags::parse([("chat".to_owned(), "42".to_owned())])?,
            live_mode: true,
            accepted_at: self.at,
            trace: TraceContext::root([1; 24]),
            target: None,
            excluded: None,
        })
    }

    pub(crate) fn plan(&self, generation: u64) -> Result<Plan> {
        Ok(Plan {
            event_id: self.event,
            account: self.account.clone(),
            event_type: self.event_type()?,
            accepted_at: self.at,
            planned_at: self.at,
            deliveries: vec![PlannedDelivery {
                id: self.delivery,
                endpoint_id: self.endpoint,
                cause: self.cause,
                endpoint_generation: generation,
            }],
            not_sent: NotSent::default(),
        })
    }

    /// A record of an attempt: failed with a next one, or succeeded.
    pub(crate) fn record(&self, number: u32, failed: bool) -> Result<Record> {
        let started_at = self.at.plus(Duration::from_secs(number.into()));
        let attempt = Attempt {
            id: AttemptId::from_uuid(made_at(started_at)),
            started_at,
            duration: Duration::from_millis(12),
            url: "https://example.com/hook".to_owned(),
            request_headers: Headers::from_iter([("webhook-id", self.event.to_string())]),
            response_status: Some(if failed { 500 } else { 200 }),
            response_headers: Headers::from_iter([("Set-Cookie", b"a"), ("set-cookie", b"\xe9")]),
            response_body: Bytes::from_static(b"\xff\x00"),
            response_truncated: false,
            failure: failed.then(|| Failure {
                class: FailureClass::HttpStatus,
                message: "it answered 500\0".to_owned(),
            }),
            next_attempt_at: failed.then(|| self.at.plus(Duration::from_secs(100))),
            trace: TraceContext::root([2; 24]),
        };
        Ok(Record {
            delivery_id: self.delivery,
            event_id: self.event,
            endpoint_id: self.endpoint,
            account: self.account.clone(),
            event_type: self.event_type()?,
            cause: self.cause,
            accepted_at: self.at,
            endpoint_generation: 0,
            attempt_number: number,
            outcome: Outcome::Attempt(Box::new(attempt)),
        })
    }
}

async fn events(history: &History, events: &[AcceptedEvent]) -> Result<()> {
    let batch = Batch {
        events,
        ..Batch::default()
    };
    ensure!(history.record(batch).await? == Findings::default());
    Ok(())
}

pub(crate) async fn plans(history: &History, plans: &[Plan]) -> Result<()> {
    let batch = Batch {
        plans,
        ..Batch::default()
    };
    ensure!(history.record(batch).await? == Findings::default());
    Ok(())
}

pub(crate) async fn outcomes(history: &History, records: &[Record]) -> Result<Findings> {
    let batch = Batch {
        records,
        ..Batch::default()
    };
    Ok(history.record(batch).await?)
}

async fn any_order_and_any_repetition_end_the_same(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 1, 0, 3]] {
        let story = Story::new()?;
        let records = [
            story.record(1, true)?,
            story.record(2, true)?,
            story.record(3, false)?,
        ];
        for _ in 0..2 {
            for step in order {
                match step {
                    0 => events(&history, &[story.accepted()?]).await?,
                    1 => plans(&history, &[story.plan(0)?]).await?,
                    step => {
                        outcomes(&history, std::slice::from_ref(&records[step - 2])).await?;
                    }
                }
            }
        }
        let event = history
            .event(&story.account, story.event)
            .await?
            .context("the event")?;
        ensure!(event.planned && event.tags["chat"] == "42", "{event:?}");
        ensure!(event.deliveries.len() == 1, "{order:?}: {event:?}");
        let delivery = &event.deliveries[0];
        ensure!(
            delivery.state == "succeeded" && delivery.attempts == 3,
            "{order:?}: {delivery:?}"
        );
        ensure!(
            delivery.next_attempt_at.is_none() && delivery.reason.is_empty(),
            "{delivery:?}"
        );
        let stats = history.stats(story.endpoint, None, None).await?;
        ensure!(
            stats
                == Stats {
                    total: 1,
                    succeeded: 1,
                    ..Stats::default()
                },
            "{order:?}: {stats:?}"
        );
        let health = history.health(&[story.endpoint]).await?;
        ensure!(
            health[0].last_failure.is_none() && health[0].failing_since.is_none(),
            "{health:?}"
        );
    }
    Ok(())
}

async fn a_disabled_endpoint_cancels_what_waits_and_what_comes_late(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let waiting = Story::new()?;
    events(&history, &[waiting.accepted()?]).await?;
    plans(&history, &[waiting.plan(0)?]).await?;
    outcomes(&history, &[waiting.record(1, true)?]).await?;
    let stats = history.stats(waiting.endpoint, None, None).await?;
    ensure!(
        stats
            == Stats {
                total: 1,
                pending: 1,
                retrying: 1,
                ..Stats::default()
            },
        "{stats:?}"
    );
    for _ in 0..2 {
        history
            .cancel_pending(&waiting.account, waiting.endpoint, 1)
            .await?;
    }
    let late = Story::of(waiting.endpoint, waiting.at)?;
    let after = Story::of(waiting.endpoint, waiting.at)?;
    plans(&history, &[late.plan(0)?, after.plan(1)?]).await?;
    let stats = history.stats(waiting.endpoint, None, None).await?;
    ensure!(
        stats
            == Stats {
                total: 3,
                cancelled: 2,
                pending: 1,
                ..Stats::default()
            },
        "{stats:?}"
    );
    // Attempts that were under way are told: one has failed, and nothing follows
    // it; the other has arrived.
    outcomes(&history, &[late.record(1, true)?]).await?;
    let stats = history.stats(waiting.endpoint, None, None).await?;
    ensure!(stats.cancelled == 2 && stats.succeeded == 0, "{stats:?}");
    outcomes(&history, &[waiting.record(2, false)?]).await?;
    let stats = history.stats(waiting.endpoint, None, None).await?;
    ensure!(stats.cancelled == 1 && stats.succeeded == 1, "{stats:?}");
    let event = history.event(&waiting.account, waiting.event).await?;
    let delivery = &event.context("the event")?.deliveries[0];
    ensure!(
        delivery.state == "succeeded" && delivery.reason.is_empty(),
        "{delivery:?}"
    );
    Ok(())
}

async fn a_deleted_endpoint_leaves_nothing_and_nothing_comes_back(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let story = Story::new()?;
    let plan = story.plan(0)?;
    events(&history, &[story.accepted()?]).await?;
    plans(&history, std::slice::from_ref(&plan)).await?;
    outcomes(&history, &[story.record(1, true)?]).await?;
    history
        .bury_endpoint(&story.account, story.endpoint)
        .await?;
    history.erase_endpoint(story.endpoint).await?;
    ensure!(history.half_erased().await?.is_empty(), "something is left");
    plans(&history, &[plan]).await?;
    outcomes(&history, &[story.record(2, true)?]).await?;
    let event = history
        .event(&story.account, story.event)
        .await?
        .context("the event")?;
    ensure!(event.deliveries.is_empty(), "{event:?}");
    let filter = AttemptFilter::default();
    let attempts = history.attempts(&story.account, &filter, None, 10).await?;
    ensure!(attempts.rows.is_empty(), "{attempts:?}");
    ensure!(
        history.stats(story.endpoint, None, None).await? == Stats::default(),
        "counts are left"
    );
    let known = history.known_endpoints().await?;
    ensure!(
        known.iter().all(|(id, _, _)| *id != story.endpoint),
        "it is still known"
    );
    Ok(())
}

async fn tests_count_nowhere(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let story = Story {
        cause: Cause::Test,
        ..Story::new()?
    };
    plans(&history, &[story.plan(0)?]).await?;
    outcomes(&history, &[story.record(1, true)?]).await?;
    ensure!(
        history.stats(story.endpoint, None, None).await? == Stats::default(),
        "it counts"
    );
    ensure!(
        history.health(&[story.endpoint]).await?.is_empty(),
        "it tells the health"
    );
    let attempts = history
        .attempts(&story.account, &AttemptFilter::default(), None, 10)
        .await?;
    ensure!(attempts.rows.len() == 1, "{attempts:?}");
    Ok(())
}

async fn stats_of_a_span_are_exact(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let endpoint = EndpointId::new();
    // Every 20 minutes, through three hours and a half.
    let start = Timestamp::from_unix_millis(1_747_146_000_000);
    let minute = Duration::from_secs(60);
    let times: Vec<Timestamp> = (0..11).map(|n| start.plus(20 * n * minute)).collect();
    for at in &times {
        plans(&history, &[Story::of(endpoint, *at)?.plan(0)?]).await?;
    }
    let edges: Vec<Timestamp> = (0..=220)
        .step_by(5)
        .map(|n| start.plus(n * minute))
        .collect();
    for after in &edges {
        for before in &edges {
            let counted = history.stats(endpoint, Some(*after), Some(*before)).await?;
            let expected = times
                .iter()
                .filter(|at| *after <= **at && **at < *before)
                .count();
            ensure!(
                counted.total == i64::try_from(expected)?,
                "{after:?} {before:?}: {counted:?}"
            );
        }
        let open = history.stats(endpoint, Some(*after), None).await?;
        let expected = times.iter().filter(|at| *after <= **at).count();
        ensure!(
            open.total == i64::try_from(expected)?,
            "{after:?}: {open:?}"
        );
    }
    Ok(())
}

/// Also of what changes late.
async fn stats_of_many_days_are_exact(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let endpoint = EndpointId::new();
    let start = Timestamp::from_unix_millis(1_747_146_000_000);
    let hour = Duration::from_secs(3_600);
    let stories: Vec<Story> = (0..20)
        .map(|n| Story::of(endpoint, start.plus(5 * n * hour)))
        .collect::<Result<_>>()?;
    for story in &stories {
        plans(&history, &[story.plan(0)?]).await?;
    }
    for story in stories.iter().step_by(3) {
        outcomes(&history, &[story.record(1, false)?]).await?;
    }
    let edges = (0..=110).step_by(5).map(|n| start.plus(n * hour));
    let edges: Vec<_> = edges.map(Some).chain([None]).collect();
    for after in &edges {
        for before in &edges {
            let within = stories.iter().enumerate().filter(|(_, story)| {
                after.is_none_or(|after| after <= story.at)
                    && before.is_none_or(|before| story.at < before)
            });
            let within: Vec<usize> = within.map(|(place, _)| place).collect();
            let succeeded = within.iter().filter(|place| *place % 3 == 0).count();
            let counted = history.stats(endpoint, *after, *before).await?;
            ensure!(
                counted.total == i64::try_from(within.len())?
                    && counted.succeeded == i64::try_from(succeeded)?
                    && counted.pending == counted.total - counted.succeeded,
                "{after:?} {before:?}: {counted:?}"
            );
        }
    }
    Ok(())
}

async fn attempts_are_paged_both_ways(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let story = Story::new()?;
    for number in 1..=5 {
        outcomes(&history, &[story.record(number, number < 5)?]).await?;
    }
    let filter = AttemptFilter {
        endpoint: Some(story.endpoint),
        ..AttemptFilter::default()
    };
    let numbers = async |cursor: Option<&Cursor>| -> Result<Vec<(i64, Cursor)>> {
        let found = history.attempts(&story.account, &filter, cursor, 2).await?;
        let place = |row: store::AttemptSummary| {
            (
                row.number,
                Cursor {
                    at: row.started_at,
                    id: row.id,
                    direction: Direction::Next,
                },
            )
        };
        Ok(found.rows.into_iter().map(place).collect())
    };
    let first = numbers(None).await?;
    ensure!(
        first.iter().map(|(number, _)| *number).eq([5, 4]),
        "{first:?}"
    );
    let second = numbers(Some(&first[1].1)).await?;
    ensure!(
        second.iter().map(|(number, _)| *number).eq([3, 2]),
        "{second:?}"
    );
    let back = Cursor {
        direction: Direction::Prev,
        ..second[0].1
    };
    let back = numbers(Some(&back)).await?;
    ensure!(
        back.iter().map(|(number, _)| *number).eq([4, 5]),
        "nearest first: {back:?}"
    );
    Ok(())
}

async fn bytes_that_are_no_text_are_kept(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let story = Story::new()?;
    let record = story.record(1, true)?;
    let Outcome::Attempt(attempt) = &record.outcome else {
        anyhow::bail!("an attempt")
    };
    outcomes(&history, std::slice::from_ref(&record)).await?;
    let shown = history
        .attempt(&story.account, attempt.id)
        .await?
        .context("the attempt")?;
    ensure!(shown.response_body == b"\xff\x00", "{shown:?}");
    ensure!(
        shown.response_headers["set-cookie"] == "a, \u{e9}",
        "{shown:?}"
    );
    ensure!(
        shown.failure_message == "it answered 500\u{fffd}",
        "{shown:?}"
    );
    ensure!(
        shown.request_body.is_none() && shown.delivery_state == "pending",
        "{shown:?}"
    );
    let others = AccountId::parse("another")?;
    ensure!(
        history.attempt(&others, attempt.id).await?.is_none(),
        "another account sees it"
    );
    Ok(())
}

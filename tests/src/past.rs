//! A past: what history would have recorded in many days, made up.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use domain::attempt::Failure;
use domain::{
    AcceptedEvent, AccountId, Attempt, AttemptId, Cause, DeliveryId, EndpointId, EventId,
    EventType, FailureClass, Headers, NotSent, Outcome, Plan, PlannedDelivery, Record, Tags,
    Timestamp, TraceContext,
};
use store::Batch;
use uuid::Uuid;

const DAY_MS: i64 = 86_400_000;

/// Endpoints of one account.
const OF_ACCOUNT: usize = 20;

/// One delivery in so many needs a second attempt.
const FAILING: u32 = 20;

/// Deliveries that are recorded at once.
const CHAPTER: u32 = 1_000;

/// Events that share a tag.
const OF_TAG: u32 = 100;

/// What the vendors' list of a trace says that another service has begun.
pub const UPSTREAM: &str = "upstream=1";

/// Days of the same many deliveries, spread over endpoints.
#[derive(Debug)]
pub struct Past {
    endpoints: Vec<(AccountId, EndpointId)>,
    start: Timestamp,
    per_day: u32,
}

/// Some of it, in the order of time.
#[derive(Debug, Default)]
pub struct Chapter {
    pub events: Vec<AcceptedEvent>,
    pub plans: Vec<Plan>,
    pub records: Vec<Record>,
}

impl Chapter {
    /// As history records it.
    #[must_use]
    pub fn batch(&self) -> Batch<'_> {
        Batch {
            events: &self.events,
            plans: &self.plans,
            records: &self.records,
        }
    }
}

impl Past {
    /// A past from the beginning of a day (UTC) on, of accounts with 20 endpoints
    /// each. An event has one delivery; one in 20 fails once, half of those with
    /// a 500 and half with a timeout.
    ///
    /// # Errors
    ///
    /// None that a caller can cause.
    pub fn new(endpoints: usize, start: Timestamp, per_day: u32) -> Result<Self> {
        let endpoint = |number: usize| {
            let account = format!("past-{}-{}", start.unix_seconds(), number / OF_ACCOUNT);
            let account = AccountId::parse(&account).ok().context("an account")?;
            Ok((account, EndpointId::new()))
        };
        Ok(Self {
            endpoints: (0..endpoints).map(endpoint).collect::<Result<_>>()?,
            start,
            per_day,
        })
    }

    /// The past of one endpoint that there is.
    #[must_use]
    pub fn of(account: AccountId, endpoint: EndpointId, start: Timestamp, per_day: u32) -> Self {
        Self {
            endpoints: vec![(account, endpoint)],
            start,
            per_day,
        }
    }

    /// An endpoint, and whose it is.
    #[must_use]
    pub fn endpoint(&self, number: usize) -> &(AccountId, EndpointId) {
        &self.endpoints[number % self.endpoints.len()]
    }

    /// When a day of it begins, from 0 on.
    #[must_use]
    pub fn day(&self, day: u32) -> Timestamp {
        Timestamp::from_unix_millis(self.start.unix_millis() + i64::from(day) * DAY_MS)
    }

    /// What happened on a day.
    ///
    /// # Errors
    ///
    /// None that a caller can cause.
    pub fn chapters(&self, day: u32) -> impl Iterator<Item = Result<Chapter>> {
        let firsts = (0..self.per_day).step_by(CHAPTER as usize);
        firsts.map(move |first| {
            let mut chapter = Chapter::default();
            for number in first..self.per_day.min(first + CHAPTER) {
                self.tell(day, number, &mut chapter)?;
            }
            Ok(chapter)
        })
    }

    fn tell(&self, day: u32, number: u32, chapter: &mut Chapter) -> Result<()> {
        // A prime, so that no endpoint has an hour of its own.
        let (account, endpoint) = self.endpoint(number as usize * 7_919);
        let within = i64::from(number) * DAY_MS / i64::from(self.per_day);
        let at = Timestamp::from_unix_millis(self.day(day).unix_millis() + within);
        let event = EventId::from_uuid(made_at(at));
        // Each endpoint gets every type.
        let turn = number + number / self.endpoints.len() as u32;
        let event_type = EventType::parse(match turn % 10 {
            0 => "form.submitted",
            1..4 => "message.incoming",
            _ => "message.report",
        })?;
        // As if every other upstream service were traced itself.
        let random = std::array::from_fn(|place| event.as_bytes()[15 - place % 8]);
        let trace = if number.is_multiple_of(2) {
            TraceContext::begun(at, random)
        } else {
            TraceContext {
                state: UPSTREAM.to_owned(),
                ..TraceContext::root(random)
            }
        };
        let tag = ("chat".to_owned(), (number / OF_TAG).to_string());
        chapter.events.push(AcceptedEvent {
            id: event,
            account: account.clone(),
            event_type: event_type.clone(),
            body: Bytes::from(vec![b'x'; 400]),
            tags: Tags::parse([tag])?,
            live_mode: true,
            accepted_at: at,
            trace: trace.clone(),
            target: None,
            excluded: None,
        });
        let delivery = DeliveryId::planned(event, *endpoint);
        chapter.plans.push(Plan {
            event_id: event,
            account: account.clone(),
            event_type: event_type.clone(),
            accepted_at: at,
            planned_at: at,
            deliveries: vec![PlannedDelivery {
                id: delivery,
                endpoint_id: *endpoint,
                cause: Cause::Event,
                endpoint_generation: 0,
            }],
            not_sent: NotSent::default(),
        });
        let fails = number.is_multiple_of(FAILING);
        let record = |number: u32, attempt: Attempt| Record {
            delivery_id: delivery,
            event_id: event,
            endpoint_id: *endpoint,
            account: account.clone(),
            event_type: event_type.clone(),
            cause: Cause::Event,
            accepted_at: at,
            endpoint_generation: 0,
            attempt_number: number,
            outcome: Outcome::Attempt(Box::new(attempt)),
        };
        let failure = fails.then_some(if number.is_multiple_of(2 * FAILING) {
            FailureClass::HttpStatus
        } else {
            FailureClass::Timeout
        });
        let first = at.plus(Duration::from_millis(20));
        let retry = at.plus(Duration::from_secs(5));
        let of_first = attempt(first, failure, failure.map(|_| retry), trace);
        chapter.records.push(record(1, of_first));
        if fails {
            let of_retry = TraceContext::begun(retry, random);
            chapter
                .records
                .push(record(2, attempt(retry, None, None, of_retry)));
        }
        Ok(())
    }
}

/// A UUIDv7 as it would have been made then.
#[must_use]
pub fn made_at(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.unix_millis()).unwrap_or_default();
    let mut random = [0; 10];
    random.copy_from_slice(&Uuid::new_v4().as_bytes()[..10]);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

fn attempt(
    at: Timestamp,
    failure: Option<FailureClass>,
    next_attempt_at: Option<Timestamp>,
    trace: TraceContext,
) -> Attempt {
    let header = |name: &'static str, value: &str| (name, value.to_owned());
    Attempt {
        id: AttemptId::from_uuid(made_at(at)),
        started_at: at,
        duration: Duration::from_millis(12),
        url: "https://hooks.example.com/postrider/past".to_owned(),
        request_headers: Headers::from_iter([
            header("content-type", "application/json"),
            header("user-agent", "Postrider/0.1.0"),
            header("webhook-timestamp", "1747147674"),
            header("webhook-signature", &format!("v1,{}", "A".repeat(44))),
            header("x-webhook-signature", &"a".repeat(64)),
        ]),
        response_status: match failure {
            None => Some(200),
            Some(FailureClass::HttpStatus) => Some(500),
            Some(_) => None,
        },
        response_headers: Headers::from_iter([header("content-type", "text/plain")]),
        response_body: Bytes::from_static(b"ok"),
        response_truncated: false,
        failure: failure.map(|class| Failure {
            class,
            message: "it did not work".to_owned(),
        }),
        next_attempt_at,
        trace,
    }
}

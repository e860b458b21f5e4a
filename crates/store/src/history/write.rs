//! The rows of a batch, a statement for each table.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::{AcceptedEvent, Attempt, Plan, Record, Timestamp};
use uuid::Uuid;

use super::Stats;
use super::condition::Condition;
use super::fold::Draft;
use super::text::{clean, headers};
use crate::Error;
use crate::bulk::{Bulk, Insert, Rows};

static EVENTS: Insert = Insert::new(
    "events (id, account, event_type, accepted_at, live_mode, test, tags, body, trace_id)",
    "ON CONFLICT DO NOTHING",
);

static TAGS: Insert = Insert::new(
    "event_tags (account, name, value, accepted_at, event_id, event_type)",
    "ON CONFLICT DO NOTHING",
);

static PLANS: Insert = Insert::new(
    "plans (event_id, planned_at, accepted_at, not_sent)",
    "ON CONFLICT DO NOTHING",
);

/// What a repeated delivery overwrites.
macro_rules! move_delivery {
    () => {
        " DO UPDATE SET state = excluded.state, \
         reason = CASE WHEN deliveries.state = 'pending' OR deliveries.state <> excluded.state \
         THEN excluded.reason ELSE deliveries.reason END, attempts = excluded.attempts, \
         last_number = excluded.last_number, next_attempt_at = excluded.next_attempt_at, \
         planned_at = COALESCE(deliveries.planned_at, excluded.planned_at)"
    };
}

/// A final state that stays keeps the reason it came with.
static DELIVERIES: Insert = Insert::by_engine(
    "deliveries (id, event_id, endpoint_id, account, event_type, cause, state, reason, \
     generation, accepted_at, attempts, last_number, next_attempt_at, planned_at)",
    concat!("ON CONFLICT (event_id, id)", move_delivery!()),
    concat!("ON CONFLICT (event_id, id, accepted_at)", move_delivery!()),
);

static ATTEMPTS: Insert = Insert::new(
    "attempts (id, delivery_id, event_id, endpoint_id, account, event_type, number, succeeded, \
     response_status, failure_class, failure_message, started_at, duration_ms, url, \
     request_headers, response_headers, response_body, response_truncated, next_attempt_at, \
     trace_id, span_id)",
    "ON CONFLICT DO NOTHING",
);

static COUNTS: Insert = Insert::new(
    "delivery_counts (endpoint_id, hour, total, succeeded, failed, cancelled, pending, retrying)",
    "ON CONFLICT (endpoint_id, hour) DO UPDATE SET \
     total = delivery_counts.total + excluded.total, \
     succeeded = delivery_counts.succeeded + excluded.succeeded, \
     failed = delivery_counts.failed + excluded.failed, \
     cancelled = delivery_counts.cancelled + excluded.cancelled, \
     pending = delivery_counts.pending + excluded.pending, \
     retrying = delivery_counts.retrying + excluded.retrying",
);

static NEW_ENDPOINTS: Insert = Insert::new(
    "history_endpoints (id, account, generation, deleted)",
    "ON CONFLICT (id) DO NOTHING",
);

/// Their rows are locked, so they are there.
static CONDITIONS: Insert = Insert::new(
    "history_endpoints (id, account, generation, deleted, last_attempt_at, last_failure, \
     failing_since, failures, throttled, paused, paused_until, recovered_by, recovered_since)",
    "ON CONFLICT (id) DO UPDATE SET last_attempt_at = excluded.last_attempt_at, \
     last_failure = excluded.last_failure, failing_since = excluded.failing_since, \
     failures = excluded.failures, throttled = excluded.throttled, paused = excluded.paused, \
     paused_until = excluded.paused_until, recovered_by = excluded.recovered_by, \
     recovered_since = excluded.recovered_since",
);

/// How a row is written that may be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    /// As new: it probably is, and [`Error::Exists`] tells otherwise.
    New,
    /// So that a repeat changes nothing.
    Repeatable,
}

impl Writing {
    async fn write<C: Bulk>(
        self,
        connection: &mut C,
        insert: &'static Insert,
        rows: Rows<'_>,
    ) -> Result<(), Error> {
        match self {
            Self::New => connection.add(insert, rows).await,
            Self::Repeatable => connection.put(insert, rows).await,
        }
    }
}

pub(super) async fn events<C: Bulk>(
    connection: &mut C,
    events: &[AcceptedEvent],
    writing: Writing,
) -> Result<(), Error> {
    let each = || events.iter();
    let tags =
        |event: &AcceptedEvent| serde_json::to_string(event.tags.as_map()).unwrap_or_default();
    let rows = Rows::new(events.len())
        .ids(each().map(|event| event.id.uuid()))
        .texts(each().map(|event| event.account.as_str()))
        .texts(each().map(|event| event.event_type.as_str()))
        .numbers(each().map(|event| event.accepted_at.unix_millis()))
        .flags(each().map(|event| event.live_mode))
        .flags(each().map(|event| event.target.is_some()))
        .texts(each().map(tags))
        .bytes(each().map(|event| &event.body[..]))
        .texts(each().map(|event| event.trace.trace_id_hex()));
    writing.write(connection, &EVENTS, rows).await?;
    tags_of(connection, events, writing).await
}

async fn tags_of<C: Bulk>(
    connection: &mut C,
    events: &[AcceptedEvent],
    writing: Writing,
) -> Result<(), Error> {
    let tags: Vec<(&AcceptedEvent, &String, &String)> = events
        .iter()
        .flat_map(|event| event.tags.as_map().iter().map(move |(k, v)| (event, k, v)))
        .collect();
    let rows = Rows::new(tags.len())
        .texts(tags.iter().map(|(event, _, _)| event.account.as_str()))
        .texts(tags.iter().map(|(_, name, _)| name.as_str()))
        .texts(tags.iter().map(|(_, _, value)| value.as_str()))
        .numbers(
            tags.iter()
                .map(|(event, _, _)| event.accepted_at.unix_millis()),
        )
        .ids(tags.iter().map(|(event, _, _)| event.id.uuid()))
        .texts(tags.iter().map(|(event, _, _)| event.event_type.as_str()));
    writing.write(connection, &TAGS, rows).await
}

pub(super) async fn plans<C: Bulk>(
    connection: &mut C,
    plans: &[Plan],
    not_sent: &[Bytes],
    writing: Writing,
) -> Result<(), Error> {
    let rows = Rows::new(plans.len())
        .ids(plans.iter().map(|plan| plan.event_id.uuid()))
        .numbers(plans.iter().map(|plan| plan.planned_at.unix_millis()))
        .numbers(plans.iter().map(|plan| plan.accepted_at.unix_millis()))
        .bytes(not_sent.iter().map(|bytes| &bytes[..]));
    writing.write(connection, &PLANS, rows).await
}

pub(super) async fn deliveries<C: Bulk>(
    connection: &mut C,
    drafts: &[Draft<'_>],
    writing: Writing,
) -> Result<(), Error> {
    let (new, moved): (Vec<_>, Vec<_>) = drafts.iter().partition(|draft| draft.before.is_none());
    writing
        .write(connection, &DELIVERIES, rows_of(&new))
        .await?;
    connection.put(&DELIVERIES, rows_of(&moved)).await
}

fn rows_of<'a>(drafts: &[&Draft<'a>]) -> Rows<'a> {
    let each = || drafts.iter();
    let next = |draft: &&Draft<'_>| draft.standing.next_attempt_at.map(Timestamp::unix_millis);
    Rows::new(drafts.len())
        .ids(each().map(|draft| draft.id))
        .ids(each().map(|draft| draft.event_id))
        .ids(each().map(|draft| draft.endpoint_id))
        .texts(each().map(|draft| draft.account))
        .texts(each().map(|draft| draft.event_type))
        .texts(each().map(|draft| draft.cause.as_str()))
        .texts(each().map(|draft| draft.standing.state.as_str()))
        .texts(each().map(|draft| draft.standing.reason))
        .numbers(each().map(|draft| draft.generation))
        .numbers(each().map(|draft| draft.accepted_at.unix_millis()))
        .numbers(each().map(|draft| draft.standing.attempts))
        .numbers(each().map(|draft| draft.standing.last_number))
        .optional_numbers(each().map(next))
        .optional_numbers(each().map(|draft| draft.planned_at.map(Timestamp::unix_millis)))
}

pub(super) async fn attempts<C: Bulk>(
    connection: &mut C,
    attempts: &[(&Record, &Attempt)],
    writing: Writing,
) -> Result<(), Error> {
    let records = || attempts.iter().map(|(record, _)| *record);
    let each = || attempts.iter().map(|(_, attempt)| *attempt);
    let class = |attempt: &Attempt| match &attempt.failure {
        None => "",
        Some(failure) => failure.class.as_str(),
    };
    let duration = |attempt: &Attempt| i64::try_from(attempt.duration.as_millis());
    let rows = Rows::new(attempts.len())
        .ids(each().map(|attempt| attempt.id.uuid()))
        .ids(records().map(|record| record.delivery_id.uuid()))
        .ids(records().map(|record| record.event_id.uuid()))
        .ids(records().map(|record| record.endpoint_id.uuid()))
        .texts(records().map(|record| record.account.as_str()))
        .texts(records().map(|record| record.event_type.as_str()))
        .numbers(records().map(|record| record.attempt_number.into()))
        .flags(each().map(|attempt| attempt.failure.is_none()))
        .optional_numbers(each().map(|attempt| attempt.response_status.map(i64::from)))
        .texts(each().map(class))
        .texts(each().map(|attempt| {
            let failure = attempt.failure.as_ref();
            failure.map_or_else(Default::default, |failure| clean(&failure.message))
        }))
        .numbers(each().map(|attempt| attempt.started_at.unix_millis()))
        .numbers(each().map(|attempt| duration(attempt).unwrap_or(i64::MAX)))
        .texts(each().map(|attempt| clean(&attempt.url)))
        .texts(each().map(|attempt| headers(&attempt.request_headers)))
        .texts(each().map(|attempt| headers(&attempt.response_headers)))
        .bytes(each().map(|attempt| &attempt.response_body[..]))
        .flags(each().map(|attempt| attempt.response_truncated))
        .optional_numbers(each().map(|attempt| attempt.next_attempt_at.map(Timestamp::unix_millis)))
        .texts(each().map(|attempt| attempt.trace.trace_id_hex()))
        .texts(each().map(|attempt| attempt.trace.span_id_hex()));
    writing.write(connection, &ATTEMPTS, rows).await
}

/// Moves the counts, by endpoint and hour.
pub(super) async fn counts<C: Bulk>(
    connection: &mut C,
    deltas: &BTreeMap<(Uuid, i64), Stats>,
) -> Result<(), Error> {
    let rows = Rows::new(deltas.len())
        .ids(deltas.keys().map(|(endpoint, _)| *endpoint))
        .numbers(deltas.keys().map(|(_, hour)| *hour))
        .numbers(deltas.values().map(|delta| delta.total))
        .numbers(deltas.values().map(|delta| delta.succeeded))
        .numbers(deltas.values().map(|delta| delta.failed))
        .numbers(deltas.values().map(|delta| delta.cancelled))
        .numbers(deltas.values().map(|delta| delta.pending))
        .numbers(deltas.values().map(|delta| delta.retrying));
    connection.put(&COUNTS, rows).await
}

/// Makes rows for endpoints of accounts, so that they can be locked.
pub(super) async fn new_endpoints<C: Bulk>(
    connection: &mut C,
    endpoints: &[(Uuid, String)],
) -> Result<(), Error> {
    let rows = Rows::new(endpoints.len())
        .ids(endpoints.iter().map(|(id, _)| *id))
        .texts(endpoints.iter().map(|(_, account)| account.as_str()))
        .numbers(endpoints.iter().map(|_| 0))
        .flags(endpoints.iter().map(|_| false));
    connection.put(&NEW_ENDPOINTS, rows).await
}

/// Notes how endpoints are doing.
pub(super) async fn conditions<C: Bulk>(
    connection: &mut C,
    endpoints: &[Condition],
) -> Result<(), Error> {
    let each = || endpoints.iter();
    let failure = |endpoint: &Condition| endpoint.last_failure.clone().map(Into::into);
    let rows = Rows::new(endpoints.len())
        .ids(each().map(|endpoint| endpoint.id))
        .texts(each().map(|endpoint| endpoint.account.as_str()))
        .numbers(each().map(|endpoint| endpoint.generation))
        .flags(each().map(|endpoint| endpoint.deleted))
        .optional_numbers(each().map(|endpoint| endpoint.last_attempt_at))
        .optional_texts(each().map(failure))
        .optional_numbers(each().map(|endpoint| endpoint.failing_since))
        .numbers(each().map(|endpoint| endpoint.failures))
        .numbers(each().map(|endpoint| endpoint.throttled))
        .numbers(each().map(|endpoint| endpoint.paused))
        .optional_numbers(each().map(|endpoint| endpoint.paused_until))
        .optional_ids(each().map(|endpoint| endpoint.recovered_by))
        .optional_numbers(each().map(|endpoint| endpoint.recovered_since));
    connection.put(&CONDITIONS, rows).await
}

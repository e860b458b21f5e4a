//! What a batch means beside what it says.

use std::collections::{HashMap, HashSet};

use domain::{
    AccountId, Attempt, Cause, DeliveryId, DeliveryState, EndpointId, EventId, EventType, Record,
    Timestamp,
};
use uuid::Uuid;

use super::advance::{EXHAUSTED, Standing};
use super::condition::Condition;
use super::fold::Attempts;

/// What somebody should be told after a batch; found again when it is recorded
/// again. Tests are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// Not of what is itself about a delivery or an endpoint.
    pub exhausted: Vec<Exhausted>,
    /// Not by a delivery of what is itself about a delivery or an endpoint.
    pub recovered: Vec<Recovered>,
    pub failing: Vec<Failing>,
    /// What it told of is erased: it must not stand where it came from either.
    pub erased: ErasedAgain,
}

/// What was told of although it is erased.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErasedAgain {
    pub events: HashSet<EventId>,
    /// Deleted ones, of which an attempt was told.
    pub endpoints: HashSet<EndpointId>,
}

impl Findings {
    /// Adds those of another batch.
    pub fn append(&mut self, mut other: Self) {
        self.exhausted.append(&mut other.exhausted);
        self.recovered.append(&mut other.recovered);
        self.failing.append(&mut other.failing);
        self.erased.events.extend(other.erased.events);
        self.erased.endpoints.extend(other.erased.endpoints);
    }
}

/// A delivery has failed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhausted {
    pub account: AccountId,
    pub endpoint: EndpointId,
    pub event: EventId,
    pub event_type: EventType,
    pub delivery: DeliveryId,
    pub attempts: u32,
    /// For the endpoint's owner.
    pub last_failure: String,
}

/// An endpoint works again after at least ten failed attempts in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    pub account: AccountId,
    pub endpoint: EndpointId,
    pub failing_since: Timestamp,
    pub recovered_at: Timestamp,
}

/// An endpoint has failed again, and nothing has succeeded since
/// `failing_since`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    pub endpoint: EndpointId,
    /// See [`domain::Endpoint::generation`].
    pub generation: u64,
    pub failing_since: Timestamp,
    /// When the last attempt started.
    pub last_failed_at: Timestamp,
}

/// The deliveries whose last attempt is in the batch; `standing` tells where
/// they stand after it.
pub(super) fn exhausted(
    attempts: Attempts<'_, '_>,
    standing: impl Fn(Uuid) -> Standing,
) -> Vec<Exhausted> {
    let all = attempts.new.iter().chain(attempts.repeated);
    all.filter_map(|(record, attempt)| {
        let failure = attempt.failure.as_ref()?;
        let told = record.cause != Cause::Test && !record.event_type.is_reserved();
        if !told || attempt.next_attempt_at.is_some() {
            return None;
        }
        let end = standing(record.delivery_id.uuid());
        let failed = end.state == DeliveryState::Failed && end.reason == EXHAUSTED;
        failed.then(|| Exhausted {
            account: record.account.clone(),
            endpoint: record.endpoint_id,
            event: record.event_id,
            event_type: record.event_type.clone(),
            delivery: record.delivery_id,
            attempts: record.attempt_number,
            last_failure: failure.message.clone(),
        })
    })
    .collect()
}

/// Whether this attempt ended a long failure of its endpoint.
pub(super) fn recovered(
    record: &Record,
    attempt: &Attempt,
    endpoint: &Condition,
) -> Option<Recovered> {
    let since = endpoint.recovered_since?;
    let ended_it = endpoint.recovered_by == Some(attempt.id.uuid());
    (ended_it && !record.event_type.is_reserved()).then(|| Recovered {
        account: record.account.clone(),
        endpoint: record.endpoint_id,
        failing_since: Timestamp::from_unix_millis(since),
        recovered_at: attempt.started_at.plus(attempt.duration),
    })
}

/// The endpoints with a failed attempt in the batch and no success since.
pub(super) fn failing(
    attempts: Attempts<'_, '_>,
    endpoints: &HashMap<Uuid, Condition>,
) -> Vec<Failing> {
    let mut failing: HashMap<EndpointId, Failing> = HashMap::new();
    for (record, attempt) in attempts.new.iter().chain(attempts.repeated) {
        let endpoint = &endpoints[&record.endpoint_id.uuid()];
        let Some(since) = endpoint.failing_since else {
            continue;
        };
        if attempt.failure.is_none() || record.cause == Cause::Test {
            continue;
        }
        let generation = u64::try_from(endpoint.generation).unwrap_or(0);
        if record.endpoint_generation < generation {
            continue;
        }
        let found = failing.entry(record.endpoint_id).or_insert(Failing {
            endpoint: record.endpoint_id,
            generation,
            failing_since: Timestamp::from_unix_millis(since),
            last_failed_at: attempt.started_at,
        });
        found.last_failed_at = found.last_failed_at.max(attempt.started_at);
    }
    failing.into_values().collect()
}

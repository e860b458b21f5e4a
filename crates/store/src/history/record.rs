//! Writing what happened.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use domain::{
    AcceptedEvent, Attempt, Cause, DeliveryState, EndpointId, Outcome, Plan, Record, Timestamp,
};
use uuid::Uuid;

use super::advance::Standing;
use super::{History, Stats};
use crate::Error;

const HOUR_MS: i64 = 3_600_000;

/// What the counts change by, in the order in which rows are locked.
type Deltas = BTreeMap<(Uuid, i64), Stats>;

/// What a writer needs to know of an endpoint.
#[derive(Debug, Clone, Copy)]
struct Locked {
    generation: i64,
    deleted: bool,
}

/// A delivery that a plan or a record tells of.
struct NewDelivery<'a> {
    id: Uuid,
    event_id: Uuid,
    endpoint_id: Uuid,
    account: &'a str,
    event_type: &'a str,
    cause: Cause,
    generation: u64,
    accepted_at: Timestamp,
}

#[derive(Debug, sqlx::FromRow)]
struct StandingRow {
    state: String,
    reason: String,
    attempts: i64,
    last_number: i64,
    next_attempt_at: Option<i64>,
}

impl StandingRow {
    fn read(&self) -> Result<Standing, Error> {
        let state = self.state.parse();
        Ok(Standing {
            state: state.map_err(|_| Error::Refused("a stored state is unknown".to_owned()))?,
            // Written again only when it changes.
            reason: match self.reason.as_str() {
                "retrying" => "retrying",
                "throttled" => "throttled",
                "paused" => "paused",
                _ => "",
            },
            attempts: self.attempts,
            last_number: self.last_number,
            next_attempt_at: self.next_attempt_at.map(Timestamp::from_unix_millis),
        })
    }
}

/// Locks the rows of endpoints, making those that are not there, in the one
/// order that everybody keeps.
macro_rules! lock {
    ($tx:ident, $endpoints:expr) => {{
        let endpoints: BTreeSet<(Uuid, &str)> = $endpoints;
        let mut locked: BTreeMap<Uuid, Locked> = BTreeMap::new();
        for (id, account) in endpoints {
            let (generation, deleted): (i64, bool) = sqlx::query_as(
                "INSERT INTO history_endpoints (id, account, generation, deleted) \
                 VALUES ($1, $2, 0, FALSE) \
                 ON CONFLICT (id) DO UPDATE SET account = excluded.account \
                 RETURNING generation, deleted",
            )
            .bind(id)
            .bind(account)
            .fetch_one(&mut *$tx)
            .await?;
            locked.insert(
                id,
                Locked {
                    generation,
                    deleted,
                },
            );
        }
        locked
    }};
}

/// Inserts a delivery that is not there yet.
macro_rules! insert_delivery {
    ($tx:ident, $new:expr, $locked:expr, $deltas:expr) => {{
        let new: &NewDelivery<'_> = $new;
        let locked: Locked = $locked;
        let generation = i64::try_from(new.generation).unwrap_or(i64::MAX);
        // Disabled since it was planned.
        let (state, reason) = if generation < locked.generation {
            (DeliveryState::Cancelled, "endpoint_disabled")
        } else {
            (DeliveryState::Pending, "")
        };
        let inserted = sqlx::query(
            "INSERT INTO deliveries (id, event_id, endpoint_id, account, event_type, cause, \
             state, reason, generation, accepted_at, attempts, last_number) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0) ON CONFLICT (id) DO NOTHING",
        )
        .bind(new.id)
        .bind(new.event_id)
        .bind(new.endpoint_id)
        .bind(new.account)
        .bind(new.event_type)
        .bind(new.cause.as_str())
        .bind(state.as_str())
        .bind(reason)
        .bind(generation)
        .bind(new.accepted_at.unix_millis())
        .execute(&mut *$tx)
        .await?;
        if inserted.rows_affected() == 1 && new.cause != Cause::Test {
            let standing = Standing {
                state,
                reason,
                attempts: 0,
                last_number: 0,
                next_attempt_at: None,
            };
            *$deltas
                .entry(hour_of(new.endpoint_id, new.accepted_at))
                .or_default() += standing.counts();
        }
    }};
}

/// Moves the counts.
macro_rules! count {
    ($tx:ident, $deltas:expr) => {{
        for ((endpoint, hour), delta) in &$deltas {
            if *delta == Stats::default() {
                continue;
            }
            sqlx::query(
                "INSERT INTO delivery_counts (endpoint_id, hour, total, succeeded, failed, \
                 cancelled, pending, retrying) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                 ON CONFLICT (endpoint_id, hour) DO UPDATE SET \
                 total = delivery_counts.total + excluded.total, \
                 succeeded = delivery_counts.succeeded + excluded.succeeded, \
                 failed = delivery_counts.failed + excluded.failed, \
                 cancelled = delivery_counts.cancelled + excluded.cancelled, \
                 pending = delivery_counts.pending + excluded.pending, \
                 retrying = delivery_counts.retrying + excluded.retrying",
            )
            .bind(*endpoint)
            .bind(*hour)
            .bind(delta.total)
            .bind(delta.succeeded)
            .bind(delta.failed)
            .bind(delta.cancelled)
            .bind(delta.pending)
            .bind(delta.retrying)
            .execute(&mut *$tx)
            .await?;
        }
    }};
}

/// Inserts an attempt that is not there yet; gives how many were.
macro_rules! insert_attempt {
    ($tx:ident, $record:expr, $attempt:expr) => {{
        let (record, attempt): (&Record, &Attempt) = ($record, $attempt);
        let (class, message) = failure(attempt);
        sqlx::query(
            "INSERT INTO attempts (id, delivery_id, event_id, endpoint_id, account, event_type, \
             number, succeeded, response_status, failure_class, failure_message, started_at, \
             duration_ms, url, request_headers, response_headers, response_body, \
             response_truncated, next_attempt_at, trace_id) VALUES ($1, $2, $3, $4, $5, $6, $7, \
             $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) \
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(attempt.id.uuid())
        .bind(record.delivery_id.uuid())
        .bind(record.event_id.uuid())
        .bind(record.endpoint_id.uuid())
        .bind(record.account.as_str())
        .bind(record.event_type.as_str())
        .bind(i64::from(record.attempt_number))
        .bind(attempt.failure.is_none())
        .bind(attempt.response_status.map(i64::from))
        .bind(class)
        .bind(message)
        .bind(attempt.started_at.unix_millis())
        .bind(i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX))
        .bind(clean(&attempt.url))
        .bind(headers(&attempt.request_headers))
        .bind(headers(&attempt.response_headers))
        .bind(attempt.response_body.to_vec())
        .bind(attempt.response_truncated)
        .bind(attempt.next_attempt_at.map(Timestamp::unix_millis))
        .bind(attempt.trace.trace_id_hex())
        .execute(&mut *$tx)
        .await?
        .rows_affected()
    }};
}

/// Notes how the last attempt went.
macro_rules! note_health {
    ($tx:ident, $endpoint:expr, $attempt:expr) => {{
        let attempt: &Attempt = $attempt;
        let at = attempt.started_at.unix_millis();
        let message = attempt
            .failure
            .as_ref()
            .map(|failure| clean(&failure.message));
        sqlx::query(
            "UPDATE history_endpoints SET \
             failing_since = CASE WHEN CAST($3 AS TEXT) IS NULL THEN NULL \
             ELSE COALESCE(failing_since, $2) END, \
             last_attempt_at = $2, last_failure = CAST($3 AS TEXT) \
             WHERE id = $1 AND (last_attempt_at IS NULL OR last_attempt_at <= $2)",
        )
        .bind($endpoint)
        .bind(at)
        .bind(message)
        .execute(&mut *$tx)
        .await?;
    }};
}

impl History {
    /// Records events, each once.
    ///
    /// # Errors
    ///
    /// An outage, or a refusal: then none of them is recorded.
    pub async fn record_events(&self, events: &[AcceptedEvent]) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            for event in events {
                let tags = serde_json::to_string(event.tags.as_map()).unwrap_or_default();
                sqlx::query(
                    "INSERT INTO events (id, account, event_type, accepted_at, live_mode, test, \
                     tags, body, trace_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                     ON CONFLICT (id) DO NOTHING",
                )
                .bind(event.id.uuid())
                .bind(event.account.as_str())
                .bind(event.event_type.as_str())
                .bind(event.accepted_at.unix_millis())
                .bind(event.live_mode)
                .bind(event.target.is_some())
                .bind(tags)
                .bind(event.body.to_vec())
                .bind(event.trace.trace_id_hex())
                .execute(&mut *tx)
                .await?;
            }
            Ok(())
        })
    }

    /// Records plans, each once.
    ///
    /// # Errors
    ///
    /// An outage, or a refusal: then none of them is recorded.
    pub async fn record_plans(&self, plans: &[Plan]) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            let endpoints = plans.iter().flat_map(|plan| {
                let account = plan.account.as_str();
                let sent = plan.deliveries.iter().map(|delivery| delivery.endpoint_id);
                let not_sent = plan.not_sent.iter().map(|(endpoint, _)| *endpoint);
                sent.chain(not_sent).map(move |id: EndpointId| (id.uuid(), account))
            });
            let locked = lock!(tx, endpoints.collect());
            let mut deltas = Deltas::new();
            for plan in plans {
                sqlx::query("INSERT INTO plans (event_id, planned_at) VALUES ($1, $2) ON CONFLICT (event_id) DO NOTHING")
                    .bind(plan.event_id.uuid())
                    .bind(plan.planned_at.unix_millis())
                    .execute(&mut *tx)
                    .await?;
                for planned in &plan.deliveries {
                    let endpoint = locked[&planned.endpoint_id.uuid()];
                    if endpoint.deleted {
                        continue;
                    }
                    let new = NewDelivery {
                        id: planned.id.uuid(),
                        event_id: plan.event_id.uuid(),
                        endpoint_id: planned.endpoint_id.uuid(),
                        account: plan.account.as_str(),
                        event_type: plan.event_type.as_str(),
                        cause: planned.cause,
                        generation: planned.endpoint_generation,
                        accepted_at: plan.accepted_at,
                    };
                    insert_delivery!(tx, &new, endpoint, deltas);
                }
                for (endpoint, reason) in &plan.not_sent {
                    if locked[&endpoint.uuid()].deleted {
                        continue;
                    }
                    sqlx::query("INSERT INTO not_sent (event_id, endpoint_id, reason) VALUES ($1, $2, $3) ON CONFLICT (event_id, endpoint_id) DO NOTHING")
                        .bind(plan.event_id.uuid())
                        .bind(endpoint.uuid())
                        .bind(reason.as_str())
                        .execute(&mut *tx)
                        .await?;
                }
            }
            count!(tx, deltas);
            Ok(())
        })
    }

    /// Records what became of deliveries, each outcome once. A delivery whose
    /// plan is not recorded yet is made.
    ///
    /// # Errors
    ///
    /// An outage, or a refusal: then none of them is recorded.
    pub async fn record_outcomes(&self, records: &[Record]) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            let endpoints =
                records.iter().map(|record| (record.endpoint_id.uuid(), record.account.as_str()));
            let locked = lock!(tx, endpoints.collect());
            let mut deltas = Deltas::new();
            for record in records {
                let endpoint = locked[&record.endpoint_id.uuid()];
                if endpoint.deleted {
                    continue;
                }
                let new = NewDelivery {
                    id: record.delivery_id.uuid(),
                    event_id: record.event_id.uuid(),
                    endpoint_id: record.endpoint_id.uuid(),
                    account: record.account.as_str(),
                    event_type: record.event_type.as_str(),
                    cause: record.cause,
                    generation: record.endpoint_generation,
                    accepted_at: record.accepted_at,
                };
                insert_delivery!(tx, &new, endpoint, deltas);
                if let Outcome::Attempt(attempt) = &record.outcome {
                    let inserted = insert_attempt!(tx, record, attempt);
                    if inserted == 0 {
                        continue;
                    }
                    if record.cause != Cause::Test {
                        note_health!(tx, record.endpoint_id.uuid(), attempt);
                    }
                }
                let row: StandingRow = sqlx::query_as(
                    "SELECT state, reason, attempts, last_number, next_attempt_at \
                     FROM deliveries WHERE id = $1",
                )
                .bind(new.id)
                .fetch_one(&mut *tx)
                .await?;
                let before = row.read()?;
                let after = before.after(record.attempt_number, &record.outcome);
                if after == before {
                    continue;
                }
                // A final state keeps the reason it came with.
                let reason = if before.state == DeliveryState::Pending {
                    after.reason
                } else {
                    row.reason.as_str()
                };
                sqlx::query(
                    "UPDATE deliveries SET state = $2, reason = $3, attempts = $4, \
                     last_number = $5, next_attempt_at = $6 WHERE id = $1",
                )
                .bind(new.id)
                .bind(after.state.as_str())
                .bind(reason)
                .bind(after.attempts)
                .bind(after.last_number)
                .bind(after.next_attempt_at.map(Timestamp::unix_millis))
                .execute(&mut *tx)
                .await?;
                if record.cause != Cause::Test {
                    let delta = deltas.entry(hour_of(new.endpoint_id, new.accepted_at)).or_default();
                    *delta += after.counts();
                    *delta -= before.counts();
                }
            }
            count!(tx, deltas);
            Ok(())
        })
    }

    /// Keeps a note of what the tables refused.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn quarantine(
        &self,
        kind: &str,
        subject: &str,
        error: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            sqlx::query("INSERT INTO quarantine (id, kind, subject, error, at) VALUES ($1, $2, $3, $4, $5)")
                .bind(Uuid::now_v7())
                .bind(kind)
                .bind(clean(subject))
                .bind(clean(error))
                .bind(now.unix_millis())
                .execute(&mut *tx)
                .await?;
            Ok(())
        })
    }
}

fn hour_of(endpoint: Uuid, accepted_at: Timestamp) -> (Uuid, i64) {
    (endpoint, accepted_at.unix_millis().div_euclid(HOUR_MS))
}

/// PostgreSQL stores no NUL in a text.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// By lower-case name; repeated headers are joined, and bytes that are not
/// UTF-8 are read as ISO 8859-1.
fn headers(headers: &[(String, Bytes)]) -> String {
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = match std::str::from_utf8(value) {
            Ok(text) => text.to_owned(),
            Err(_) => value.iter().map(|byte| char::from(*byte)).collect(),
        };
        map.entry(name.to_ascii_lowercase())
            .and_modify(|joined| {
                joined.push_str(", ");
                joined.push_str(&value);
            })
            .or_insert(value);
    }
    serde_json::to_string(&map).unwrap_or_default()
}

fn failure(attempt: &Attempt) -> (&'static str, String) {
    match &attempt.failure {
        None => ("", String::new()),
        Some(failure) => (failure.class.as_str(), clean(&failure.message)),
    }
}

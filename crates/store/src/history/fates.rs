//! What became of events.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::{NotSent, Timestamp};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::events::EventColumns;
use super::page::{EventKey, EventKeys};
use super::{DeliveryRow, EventRow, History, texts};
use crate::Error;

/// How long it holds that nothing stands in `not_sent`, or something.
const HOLDS: Duration = Duration::from_secs(600);

/// Whether anything stands in `not_sent`, and since when that is known. Versions from
/// before migration 0014 have written there, and looking there is a third of the work.
#[derive(Debug, Clone, Default)]
pub(super) struct Earlier(Arc<Mutex<Option<(Instant, bool)>>>);

impl Earlier {
    fn known(&self) -> Option<bool> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, is_there) = known?;
        (at.elapsed() < HOLDS).then_some(is_there)
    }

    fn learn(&self, is_there: bool) {
        let known = Some((Instant::now(), is_there));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

/// A delivery of an event, an endpoint that does not get it, or its plan.
#[derive(Debug, sqlx::FromRow)]
struct Told {
    event_id: Uuid,
    /// Of a delivery.
    id: Option<Uuid>,
    /// Not of a plan.
    endpoint_id: Option<Uuid>,
    cause: String,
    state: String,
    reason: String,
    attempts: i64,
    next_attempt_at: Option<i64>,
    /// Of a plan.
    not_sent: Option<Vec<u8>>,
}

/// Where an event went, and where it did not.
#[derive(Debug, Default)]
struct Fate {
    planned: bool,
    deliveries: Vec<DeliveryRow>,
    /// What the plan says of [`Fate::not_sent`].
    left_out: NotSent,
    not_sent: Vec<(Uuid, String)>,
}

impl Fate {
    fn add(&mut self, told: Told) {
        match (told.id, told.endpoint_id) {
            (Some(id), Some(endpoint_id)) => self.deliveries.push(DeliveryRow {
                id,
                event_id: told.event_id,
                endpoint_id,
                cause: told.cause,
                state: told.state,
                reason: told.reason,
                attempts: told.attempts,
                next_attempt_at: told.next_attempt_at,
            }),
            (_, Some(endpoint)) => self.not_sent.push((endpoint, told.reason)),
            (_, None) => {
                self.planned = true;
                self.left_out = NotSent::from_bytes(told.not_sent.unwrap_or_default().into());
            }
        }
    }

    /// All of it in the order of the ids, each once.
    fn sort(&mut self) {
        let of_plan = self.left_out.iter();
        let of_plan = of_plan.map(|(id, why)| (id.uuid(), why.as_str().to_owned()));
        self.not_sent.extend(of_plan);
        self.deliveries.sort_unstable_by_key(|delivery| delivery.id);
        self.not_sent.sort_unstable();
        self.not_sent.dedup();
    }
}

/// What became of several events, by their ids.
#[derive(Debug, Default)]
pub(super) struct Fates(HashMap<Uuid, Fate>);

impl Fates {
    /// The events with it.
    pub(super) fn of(mut self, events: Vec<EventColumns>) -> Vec<EventRow> {
        let assemble = |event: EventColumns| {
            let mut fate = self.0.remove(&event.id).unwrap_or_default();
            fate.sort();
            EventRow {
                planned: fate.planned,
                id: event.id,
                event_type: event.event_type,
                accepted_at: Timestamp::from_unix_millis(event.accepted_at),
                live_mode: event.live_mode,
                test: event.test,
                tags: texts(&event.tags),
                body: event.body,
                trace_id: event.trace_id,
                deliveries: fate.deliveries,
                not_sent: fate.not_sent,
            }
        };
        events.into_iter().map(assemble).collect()
    }
}

impl History {
    /// Adds what became of events.
    pub(super) async fn with_fates(
        &self,
        events: Vec<EventColumns>,
    ) -> Result<Vec<EventRow>, Error> {
        let keys = events.iter().map(|event| (event.id, event.accepted_at));
        let keys: Vec<EventKey> = keys.collect();
        Ok(self.fates(&keys).await?.of(events))
    }

    /// What became of events, by id and instant.
    pub(super) async fn fates(&self, keys: &[EventKey]) -> Result<Fates, Error> {
        let has_earlier = self.has_earlier().await?;
        let tell = |keys| self.told_of(keys, has_earlier);
        let asked = self.at_once(keys).map(tell);
        let told = self.beside.all(asked.collect()).await?;
        let mut fates = Fates::default();
        for told in told.into_iter().flatten() {
            fates.0.entry(told.event_id).or_default().add(told);
        }
        let left_out = fates.0.values_mut().map(|fate| &mut fate.left_out);
        self.spelled_out(left_out.collect()).await?;
        Ok(fates)
    }

    /// In one statement: so a plan is not seen without its deliveries, and there is
    /// one way to the database. No order, which would tempt the planner to walk an
    /// index that has it.
    async fn told_of(&self, keys: EventKeys<'_>, has_earlier: bool) -> Result<Vec<Told>, Error> {
        reading!(self.pool, connection => {
            let mut query = QueryBuilder::default();
            // The columns have the types of the first part.
            let deliveries = "SELECT event_id, id, endpoint_id, cause, state, reason, attempts, \
                next_attempt_at, CAST(NULL AS BYTEA) AS not_sent FROM deliveries";
            keys.look_up(&mut query, deliveries, "event_id");
            query.push(" UNION ALL ");
            let plans = "SELECT event_id, NULL, NULL, '', '', '', 0, NULL, not_sent FROM plans";
            keys.look_up(&mut query, plans, "event_id");
            if has_earlier {
                query.push(" UNION ALL ");
                let not_sent = "SELECT event_id, NULL, endpoint_id, '', '', reason, 0, NULL, NULL \
                    FROM not_sent";
                keys.look_up(&mut query, not_sent, "event_id");
            }
            Ok(query.build_query_as().persistent(false).fetch_all(&mut *connection).await?)
        })
    }

    async fn has_earlier(&self) -> Result<bool, Error> {
        if let Some(is_there) = self.earlier.known() {
            return Ok(is_there);
        }
        let is_there = reading!(self.pool, connection => {
            let text = "SELECT EXISTS (SELECT 1 FROM not_sent)";
            Ok(sqlx::query_scalar(text).fetch_one(&mut *connection).await?)
        })?;
        self.earlier.learn(is_there);
        Ok(is_there)
    }
}

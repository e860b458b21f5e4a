//! Lists and single things.

use std::collections::HashMap;

use domain::page::{Cursor, Direction};
use domain::{AccountId, AttemptId, EndpointId, EventId, Timestamp};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::{AttemptRow, AttemptSummary, DeliveryRow, EventRow, History, texts};
use crate::Error;

/// Which attempts.
#[derive(Debug, Clone, Default)]
pub struct AttemptFilter {
    pub endpoint: Option<EndpointId>,
    pub event: Option<EventId>,
    /// Empty: any.
    pub event_type: String,
    pub succeeded: Option<bool>,
    /// Started at or after.
    pub after: Option<Timestamp>,
    /// Started before.
    pub before: Option<Timestamp>,
}

/// Which events.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Empty: any.
    pub event_type: String,
    /// Accepted at or after.
    pub after: Option<Timestamp>,
    /// Accepted before.
    pub before: Option<Timestamp>,
}

const SUMMARY: &str = "id, number, event_id, event_type, delivery_id, endpoint_id, succeeded, \
                       response_status, failure_class, started_at, duration_ms";
const EVENT: &str = "id, event_type, accepted_at, live_mode, test, tags, body, trace_id";

/// Where an event went, and where it did not.
type Fate = (Vec<DeliveryRow>, Vec<(Uuid, String)>);

#[derive(Debug, sqlx::FromRow)]
struct DetailColumns {
    url: String,
    request_headers: String,
    response_headers: String,
    response_body: Vec<u8>,
    response_truncated: bool,
    failure_message: String,
    next_attempt_at: Option<i64>,
    trace_id: String,
    delivery_state: String,
    request_body: Option<Vec<u8>>,
    tags: Option<String>,
}

#[derive(Debug, sqlx::FromRow)]
struct EventColumns {
    id: Uuid,
    event_type: String,
    accepted_at: i64,
    live_mode: bool,
    test: bool,
    tags: String,
    body: Vec<u8>,
    trace_id: String,
}

/// Adds what lies beyond the cursor, nearest first, and how many.
macro_rules! page {
    ($query:ident, $time:literal, $cursor:expr, $limit:expr) => {{
        let cursor: Option<&Cursor> = $cursor;
        let backwards = cursor.is_some_and(|cursor| cursor.direction == Direction::Prev);
        if let Some(cursor) = cursor {
            let beyond = if backwards { ", id) > (" } else { ", id) < (" };
            $query.push(concat!(" AND (", $time)).push(beyond);
            $query
                .push_bind(cursor.at)
                .push(", ")
                .push_bind(cursor.id)
                .push(")");
        }
        let order = if backwards { " ASC" } else { " DESC" };
        $query
            .push(concat!(" ORDER BY ", $time))
            .push(order)
            .push(", id")
            .push(order);
        $query.push(" LIMIT ").push_bind(i64::from($limit));
    }};
}

/// Adds values separated by commas.
macro_rules! separate {
    ($query:ident, $values:expr) => {{
        let mut separated = $query.separated(", ");
        for value in &$values {
            separated.push_bind(*value);
        }
    }};
}

impl History {
    /// Attempts of an account beyond a cursor, nearest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn attempts(
        &self,
        account: &AccountId,
        filter: &AttemptFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Vec<AttemptSummary>, Error> {
        reading!(self.pool, connection => {
            let mut query = QueryBuilder::new(format!(
                "SELECT {SUMMARY} FROM attempts WHERE account = "
            ));
            query.push_bind(account.as_str());
            if let Some(endpoint) = filter.endpoint {
                query.push(" AND endpoint_id = ").push_bind(endpoint.uuid());
            }
            if let Some(event) = filter.event {
                query.push(" AND event_id = ").push_bind(event.uuid());
            }
            if !filter.event_type.is_empty() {
                query.push(" AND event_type = ").push_bind(filter.event_type.as_str());
            }
            if let Some(succeeded) = filter.succeeded {
                query.push(" AND succeeded = ").push_bind(succeeded);
            }
            if let Some(after) = filter.after {
                query.push(" AND started_at >= ").push_bind(after.unix_millis());
            }
            if let Some(before) = filter.before {
                query.push(" AND started_at < ").push_bind(before.unix_millis());
            }
            page!(query, "started_at", cursor, limit);
            Ok(query.build_query_as().fetch_all(&mut *connection).await?)
        })
    }

    /// One attempt of an account.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn attempt(
        &self,
        account: &AccountId,
        id: AttemptId,
    ) -> Result<Option<AttemptRow>, Error> {
        let found: Option<(AttemptSummary, DetailColumns)> = reading!(self.pool, connection => {
            let summary: Option<AttemptSummary> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
                "SELECT {SUMMARY} FROM attempts WHERE id = $1 AND account = $2"
            )))
            .bind(id.uuid())
            .bind(account.as_str())
            .fetch_optional(&mut *connection)
            .await?;
            let detail: Option<DetailColumns> = sqlx::query_as(
                "SELECT a.url, a.request_headers, a.response_headers, a.response_body, \
                 a.response_truncated, a.failure_message, a.trace_id, \
                 CASE WHEN d.state = 'pending' AND d.last_number = a.number \
                 THEN d.next_attempt_at END AS next_attempt_at, COALESCE(d.state, 'pending') AS delivery_state, e.body AS request_body, e.tags \
                 FROM attempts AS a LEFT JOIN deliveries AS d \
                 ON d.event_id = a.event_id AND d.id = a.delivery_id \
                 LEFT JOIN events AS e ON e.id = a.event_id WHERE a.id = $1",
            )
            .bind(id.uuid())
            .fetch_optional(&mut *connection)
            .await?;
            Ok(summary.zip(detail))
        })?;
        Ok(found.map(|(summary, detail)| AttemptRow {
            summary,
            url: detail.url,
            request_headers: texts(&detail.request_headers),
            request_body: detail.request_body,
            response_headers: texts(&detail.response_headers),
            response_body: detail.response_body,
            response_truncated: detail.response_truncated,
            failure_message: detail.failure_message,
            next_attempt_at: detail.next_attempt_at.map(Timestamp::from_unix_millis),
            delivery_state: detail.delivery_state,
            tags: detail.tags.as_deref().map(texts).unwrap_or_default(),
            trace_id: detail.trace_id,
        }))
    }

    /// Events of an account beyond a cursor, nearest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn events(
        &self,
        account: &AccountId,
        filter: &EventFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        let events: Vec<EventColumns> = reading!(self.pool, connection => {
            let mut query =
                QueryBuilder::new(format!("SELECT {EVENT} FROM events WHERE account = "));
            query.push_bind(account.as_str());
            if !filter.event_type.is_empty() {
                query.push(" AND event_type = ").push_bind(filter.event_type.as_str());
            }
            if let Some(after) = filter.after {
                query.push(" AND accepted_at >= ").push_bind(after.unix_millis());
            }
            if let Some(before) = filter.before {
                query.push(" AND accepted_at < ").push_bind(before.unix_millis());
            }
            page!(query, "accepted_at", cursor, limit);
            Ok(query.build_query_as().fetch_all(&mut *connection).await?)
        })?;
        self.with_fates(events).await
    }

    /// One event of an account.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn event(&self, account: &AccountId, id: EventId) -> Result<Option<EventRow>, Error> {
        let event: Option<EventColumns> = reading!(self.pool, connection => {
            Ok(sqlx::query_as(sqlx::AssertSqlSafe(format!(
                "SELECT {EVENT} FROM events WHERE id = $1 AND account = $2"
            )))
            .bind(id.uuid())
            .bind(account.as_str())
            .fetch_optional(&mut *connection)
            .await?)
        })?;
        Ok(self.with_fates(event.into_iter().collect()).await?.pop())
    }

    /// Adds what became of events, three questions for all of them.
    async fn with_fates(&self, events: Vec<EventColumns>) -> Result<Vec<EventRow>, Error> {
        let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        type Fates = (Vec<DeliveryRow>, Vec<(Uuid, Uuid, String)>, Vec<(Uuid,)>);
        let (deliveries, not_sent, planned): Fates = reading!(self.pool, connection => {
            let mut query = QueryBuilder::new(
                "SELECT id, event_id, endpoint_id, cause, state, reason, attempts, \
                 next_attempt_at FROM deliveries WHERE event_id IN (",
            );
            separate!(query, ids);
            query.push(") ORDER BY id");
            let deliveries = query.build_query_as().fetch_all(&mut *connection).await?;
            let mut query = QueryBuilder::new(
                "SELECT event_id, endpoint_id, reason FROM not_sent WHERE event_id IN (",
            );
            separate!(query, ids);
            query.push(") ORDER BY endpoint_id");
            let not_sent = query.build_query_as().fetch_all(&mut *connection).await?;
            let mut query = QueryBuilder::new("SELECT event_id FROM plans WHERE event_id IN (");
            separate!(query, ids);
            query.push(")");
            let planned = query.build_query_as().fetch_all(&mut *connection).await?;
            Ok((deliveries, not_sent, planned))
        })?;
        let mut rows: HashMap<Uuid, Fate> = HashMap::new();
        for delivery in deliveries {
            rows.entry(delivery.event_id).or_default().0.push(delivery);
        }
        for (event, endpoint, reason) in not_sent {
            rows.entry(event).or_default().1.push((endpoint, reason));
        }
        let assemble = |event: EventColumns| {
            let (deliveries, not_sent) = rows.remove(&event.id).unwrap_or_default();
            EventRow {
                planned: planned.contains(&(event.id,)),
                id: event.id,
                event_type: event.event_type,
                accepted_at: Timestamp::from_unix_millis(event.accepted_at),
                live_mode: event.live_mode,
                test: event.test,
                tags: texts(&event.tags),
                body: event.body,
                trace_id: event.trace_id,
                deliveries,
                not_sent,
            }
        };
        Ok(events.into_iter().map(assemble).collect())
    }
}

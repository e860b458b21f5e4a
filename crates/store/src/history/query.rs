//! Events and single things.

use std::collections::HashMap;

use domain::page::Cursor;
use domain::{AccountId, AttemptId, EventId, NotSent, Timestamp};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::attempts::SUMMARY;
use super::page::{Found, LOOKED_AT, is_backwards, missing};
use super::span::Span;
use super::{AttemptRow, AttemptSummary, DeliveryRow, EventRow, History, texts};
use crate::Error;

/// Which events; what is empty or `None` means any.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub event_type: String,
    /// 32 hex digits; not with a tag.
    pub trace_id: String,
    /// A tag's name and value.
    pub tag: Option<(String, String)>,
    /// Accepted at or after.
    pub after: Option<Timestamp>,
    /// Accepted before.
    pub before: Option<Timestamp>,
}

impl EventFilter {
    fn span(&self) -> Span {
        let last = self
            .before
            .map(|before| before.unix_millis().saturating_sub(1));
        Span {
            first: self.after.map_or(i64::MIN, Timestamp::unix_millis),
            last: last.unwrap_or(i64::MAX),
        }
    }
}

const EVENT: &str = "id, event_type, accepted_at, live_mode, test, tags, body, trace_id";

/// Where an event went, and where it did not.
type Fate = (Vec<DeliveryRow>, Vec<(Uuid, String)>);

/// The event as it was POSTed, with its tags.
type Posted = (Vec<u8>, String);

#[derive(Debug, sqlx::FromRow)]
struct DetailColumns {
    url: String,
    request_headers: String,
    response_headers: String,
    response_body: Vec<u8>,
    response_truncated: bool,
    failure_message: String,
    trace_id: String,
    span_id: String,
}

#[derive(Debug, sqlx::FromRow)]
struct AttemptColumns {
    #[sqlx(flatten)]
    summary: AttemptSummary,
    #[sqlx(flatten)]
    detail: DetailColumns,
}

/// What a delivery's latest attempt is shown with.
#[derive(Debug, sqlx::FromRow)]
struct Whereabouts {
    state: String,
    reason: String,
    last_number: i64,
    next_attempt_at: Option<i64>,
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

/// Adds values separated by commas, the last one repeated up to a power of two:
/// so there are few texts, of which each connection plans each once.
macro_rules! separate {
    ($query:ident, $values:expr) => {{
        let values: &[Uuid] = &$values;
        let mut separated = $query.separated(", ");
        for place in 0..values.len().next_power_of_two() {
            separated.push_bind(values[place.min(values.len() - 1)]);
        }
    }};
}

impl History {
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
        let Some(AttemptColumns { summary, detail }) = self.attempt_columns(account, id).await?
        else {
            return Ok(None);
        };
        let delivery = self
            .whereabouts(summary.event_id, summary.delivery_id)
            .await?;
        let posted = self.posted(account, summary.event_id).await?;
        let (request_body, tags) = posted.unzip();
        let next = delivery
            .as_ref()
            .filter(|row| row.state == "pending" && row.last_number == summary.number)
            .and_then(|row| row.next_attempt_at);
        let (delivery_state, delivery_reason) = delivery.map_or_else(
            || ("pending".to_owned(), String::new()),
            |row| (row.state, row.reason),
        );
        Ok(Some(AttemptRow {
            url: detail.url,
            request_headers: texts(&detail.request_headers),
            request_body,
            response_headers: texts(&detail.response_headers),
            response_body: detail.response_body,
            response_truncated: detail.response_truncated,
            failure_message: detail.failure_message,
            next_attempt_at: next.map(Timestamp::from_unix_millis),
            delivery_state,
            delivery_reason,
            tags: tags.as_deref().map(texts).unwrap_or_default(),
            trace_id: detail.trace_id,
            span_id: detail.span_id,
            summary,
        }))
    }

    async fn attempt_columns(
        &self,
        account: &AccountId,
        id: AttemptId,
    ) -> Result<Option<AttemptColumns>, Error> {
        let text = format!(
            "SELECT {SUMMARY}, url, request_headers, response_headers, response_body, \
             response_truncated, failure_message, trace_id, span_id FROM attempts \
             WHERE id = $1 AND (account = $2) IS TRUE"
        );
        self.named(&text, "started_at", account, id.uuid()).await
    }

    async fn whereabouts(&self, event: Uuid, delivery: Uuid) -> Result<Option<Whereabouts>, Error> {
        for guess in Span::guesses(event, "accepted_at") {
            let found = reading!(self.pool, connection => {
                Ok(sqlx::query_as(sqlx::AssertSqlSafe(format!(
                    "SELECT state, reason, last_number, next_attempt_at FROM deliveries \
                     WHERE event_id = $1 AND id = $2{}",
                    guess.bounds
                )))
                .bind(event)
                .bind(delivery)
                .persistent(guess.is_everywhere)
                .fetch_optional(&mut *connection)
                .await?)
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn posted(&self, account: &AccountId, event: Uuid) -> Result<Option<Posted>, Error> {
        let text = "SELECT body, tags FROM events WHERE id = $1 AND (account = $2) IS TRUE";
        self.named(text, "accepted_at", account, event).await
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
    ) -> Result<Found<EventRow>, Error> {
        if filter.tag.is_some() {
            return self.tagged_events(account, filter, cursor, limit).await;
        }
        let of_trace = !filter.trace_id.is_empty();
        let parts = self.parts(filter.span().beyond(cursor), cursor, !of_trace);
        let limit = limit as usize;
        let events: Vec<EventColumns> = reading!(self.pool, connection => {
            let mut events = Vec::new();
            for part in parts {
                let mut query = QueryBuilder::new(format!("SELECT {EVENT} FROM events WHERE "));
                if of_trace {
                    query.push("trace_id = ").push_bind(filter.trace_id.as_str());
                    beside!(query, "account", account.as_str());
                    if !filter.event_type.is_empty() {
                        beside!(query, "event_type", filter.event_type.as_str());
                    }
                } else {
                    query.push("account = ").push_bind(account.as_str());
                    if !filter.event_type.is_empty() {
                        query.push(" AND event_type = ").push_bind(filter.event_type.as_str());
                    }
                }
                let kept = span!(query, "accepted_at", "id", part, cursor);
                query.push(" LIMIT ").push_bind(missing(limit, &events));
                let found: Vec<EventColumns> =
                    query.build_query_as().persistent(kept).fetch_all(&mut *connection).await?;
                events.extend(found);
                if events.len() >= limit {
                    break;
                }
            }
            Ok(events)
        })?;
        Ok(Found {
            rows: self.with_fates(events).await?,
            ended_at: None,
        })
    }

    /// Those with a tag: first which, then what they are.
    async fn tagged_events(
        &self,
        account: &AccountId,
        filter: &EventFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Found<EventRow>, Error> {
        let Some((name, value)) = &filter.tag else {
            return Ok(Found {
                rows: Vec::new(),
                ended_at: None,
            });
        };
        let exact = filter.event_type.is_empty();
        let span = filter.span().beyond(cursor);
        let parts = self.parts(span, cursor, exact);
        let backwards = is_backwards(cursor);
        let limit = limit as usize;
        let (tagged, ended_at): (Vec<(i64, Uuid)>, _) = reading!(self.pool, connection => {
            let mut tagged = Vec::new();
            for part in parts {
                let mut query = QueryBuilder::new(
                    "SELECT accepted_at, event_id FROM (SELECT accepted_at, event_id, event_type \
                     FROM event_tags WHERE account = ",
                );
                query.push_bind(account.as_str());
                query.push(" AND name = ").push_bind(name.as_str());
                query.push(" AND value = ").push_bind(value.as_str());
                let kept = span!(query, "accepted_at", "event_id", part, cursor);
                query.push(" LIMIT ").push_bind(LOOKED_AT).push(") AS near WHERE TRUE");
                if !filter.event_type.is_empty() {
                    beside!(query, "event_type", filter.event_type.as_str());
                }
                order!(query, "accepted_at", "event_id", backwards);
                query.push(" LIMIT ").push_bind(missing(limit, &tagged));
                let found: Vec<(i64, Uuid)> =
                    query.build_query_as().persistent(kept).fetch_all(&mut *connection).await?;
                tagged.extend(found);
                if tagged.len() >= limit {
                    return Ok((tagged, None));
                }
            }
            if exact {
                return Ok((tagged, None));
            }
            let mut query = QueryBuilder::new(
                "SELECT accepted_at, event_id FROM event_tags WHERE account = ",
            );
            query.push_bind(account.as_str());
            query.push(" AND name = ").push_bind(name.as_str());
            query.push(" AND value = ").push_bind(value.as_str());
            let kept = span!(query, "accepted_at", "event_id", span, cursor);
            query.push(" LIMIT 1 OFFSET ").push_bind(LOOKED_AT - 1);
            Ok((tagged, query.build_query_as().persistent(kept).fetch_optional(&mut *connection).await?))
        })?;
        let mut events = self.events_by_id(&tagged).await?;
        events.sort_by_key(|event| (event.accepted_at, event.id));
        if !backwards {
            events.reverse();
        }
        Ok(Found {
            rows: self.with_fates(events).await?,
            ended_at,
        })
    }

    /// Events by instant and id, in no order.
    async fn events_by_id(&self, keys: &[(i64, Uuid)]) -> Result<Vec<EventColumns>, Error> {
        let instants = || keys.iter().map(|(at, _)| *at);
        let Some(span) = Span::of(instants()) else {
            return Ok(Vec::new());
        };
        let ids: Vec<Uuid> = keys.iter().map(|(_, id)| *id).collect();
        reading!(self.pool, connection => {
            let mut query = QueryBuilder::new(format!("SELECT {EVENT} FROM events WHERE id IN ("));
            separate!(query, ids);
            query.push(")");
            let kept = between!(query, "accepted_at", span);
            Ok(query.build_query_as().persistent(kept).fetch_all(&mut *connection).await?)
        })
    }

    /// One event of an account.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn event(&self, account: &AccountId, id: EventId) -> Result<Option<EventRow>, Error> {
        let text = format!("SELECT {EVENT} FROM events WHERE id = $1 AND (account = $2) IS TRUE");
        match self.named(&text, "accepted_at", account, id.uuid()).await? {
            Some(event) => Ok(self.with_fates(vec![event]).await?.pop()),
            None => Ok(None),
        }
    }

    /// Adds what became of events, three questions for all of them.
    async fn with_fates(&self, events: Vec<EventColumns>) -> Result<Vec<EventRow>, Error> {
        let instants = || events.iter().map(|event| event.accepted_at);
        let Some(span) = Span::of(instants()) else {
            return Ok(Vec::new());
        };
        let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
        type Fates = (
            Vec<DeliveryRow>,
            Vec<(Uuid, Uuid, String)>,
            Vec<(Uuid, Vec<u8>)>,
        );
        let (mut deliveries, mut not_sent, planned): Fates = reading!(self.pool, connection => {
            // First the plans: of those that are there the deliveries are, too.
            let mut query = QueryBuilder::new("SELECT event_id, not_sent FROM plans WHERE event_id IN (");
            separate!(query, ids);
            query.push(")");
            let kept = between!(query, "accepted_at", span);
            let planned = query.build_query_as().persistent(kept).fetch_all(&mut *connection).await?;
            let mut query = QueryBuilder::new(
                "SELECT event_id, endpoint_id, reason FROM not_sent WHERE event_id IN (",
            );
            separate!(query, ids);
            query.push(")");
            let kept = between!(query, "accepted_at", span);
            let not_sent = query.build_query_as().persistent(kept).fetch_all(&mut *connection).await?;
            let mut query = QueryBuilder::new(
                "SELECT id, event_id, endpoint_id, cause, state, reason, attempts, \
                 next_attempt_at FROM deliveries WHERE event_id IN (",
            );
            separate!(query, ids);
            query.push(")");
            let kept = between!(query, "accepted_at", span);
            let deliveries = query.build_query_as().persistent(kept).fetch_all(&mut *connection).await?;
            Ok((deliveries, not_sent, planned))
        })?;
        // Sorted here: an order would tempt the planner to walk an index that has
        // it.
        deliveries.sort_unstable_by_key(|delivery: &DeliveryRow| delivery.id);
        let planned: HashMap<Uuid, NotSent> = planned
            .into_iter()
            .map(|(event, packed)| (event, NotSent::from_bytes(packed.into())))
            .collect();
        for (event, packed) in &planned {
            let all = packed.iter();
            not_sent.extend(all.map(|(endpoint, why)| {
                let why = why.as_str().to_owned();
                (*event, endpoint.uuid(), why)
            }));
        }
        not_sent.sort_unstable();
        not_sent.dedup();
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
                planned: planned.contains_key(&event.id),
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

//! Events, alone and in lists.

use domain::page::Cursor;
use domain::{AccountId, EventId, Timestamp};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::page::{Found, LOOKED_AT, is_backwards, missing};
use super::span::{REACHES_MS, REACHES_OF_FEW_MS, Span};
use super::{EventRow, History};
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

#[derive(Debug, sqlx::FromRow)]
pub(super) struct EventColumns {
    pub(super) id: Uuid,
    pub(super) event_type: String,
    pub(super) accepted_at: i64,
    pub(super) live_mode: bool,
    pub(super) test: bool,
    pub(super) tags: String,
    pub(super) body: Vec<u8>,
    pub(super) trace_id: String,
}

impl History {
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
        let reaches: &[i64] = if of_trace { &[] } else { &REACHES_MS };
        let parts = self.parts(filter.span().beyond(cursor), cursor, reaches);
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
                span!(query, "accepted_at", "id", part, cursor);
                query.push(" LIMIT ").push_bind(missing(limit, &events));
                let found: Vec<EventColumns> =
                    query.build_query_as().persistent(!part.is_short()).fetch_all(&mut *connection).await?;
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
        let reaches: &[i64] = if exact { &REACHES_OF_FEW_MS } else { &[] };
        let parts = self.parts(span, cursor, reaches);
        let backwards = is_backwards(cursor);
        let limit = limit as usize;
        let (tagged, ended_at): (Vec<(Uuid, i64)>, _) = reading!(self.pool, connection => {
            let mut tagged = Vec::new();
            for part in parts {
                let mut query = QueryBuilder::new(
                    "SELECT event_id, accepted_at FROM (SELECT accepted_at, event_id, event_type \
                     FROM event_tags WHERE account = ",
                );
                query.push_bind(account.as_str());
                query.push(" AND name = ").push_bind(name.as_str());
                query.push(" AND value = ").push_bind(value.as_str());
                span!(query, "accepted_at", "event_id", part, cursor);
                query.push(" LIMIT ").push_bind(LOOKED_AT).push(") AS near WHERE TRUE");
                if !filter.event_type.is_empty() {
                    beside!(query, "event_type", filter.event_type.as_str());
                }
                order!(query, "accepted_at", "event_id", backwards);
                query.push(" LIMIT ").push_bind(missing(limit, &tagged));
                let found: Vec<(Uuid, i64)> =
                    query.build_query_as().persistent(!part.is_short()).fetch_all(&mut *connection).await?;
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
            span!(query, "accepted_at", "event_id", span, cursor);
            query.push(" LIMIT 1 OFFSET ").push_bind(LOOKED_AT - 1);
            Ok((tagged, query.build_query_as().persistent(!span.is_short()).fetch_optional(&mut *connection).await?))
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

    /// Events by id and instant, in no order.
    async fn events_by_id(&self, keys: &[(Uuid, i64)]) -> Result<Vec<EventColumns>, Error> {
        let Some(span) = Span::of(keys.iter().map(|(_, at)| *at)) else {
            return Ok(Vec::new());
        };
        let lateral = self.is_lateral();
        reading!(self.pool, connection => {
            let mut query = QueryBuilder::new(format!("SELECT {EVENT}"));
            look_up!(query, lateral, "events", "id", keys, span);
            Ok(query.build_query_as().persistent(!span.is_short()).fetch_all(&mut *connection).await?)
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
}

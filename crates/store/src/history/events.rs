//! Events, alone and in lists.

use domain::page::Cursor;
use domain::{AccountId, EventId, Timestamp};
use futures::future::try_join;
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::closed::DayKey;
use super::page::{EventKey, EventKeys, Found, LOOKED_AT, at_most, is_backwards};
use super::span::{Reach, Span};
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

const EVENT: &str =
    "SELECT id, event_type, accepted_at, live_mode, test, tags, body, trace_id FROM events";

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
        let reach = match filter.trace_id.as_str() {
            "" => Reach::OF_MANY,
            trace_id => Reach::OF_ONE.of(DayKey::Trace(trace_id)),
        };
        let span = filter.span().beyond(cursor);
        let look = move |part, lacking| self.events_in(account, filter, part, cursor, lacking);
        let found = self.page(span, cursor, reach, limit as usize, look).await?;
        Ok(Found {
            rows: self.with_fates(found.rows).await?,
            ended_at: found.ended_at,
        })
    }

    async fn events_in(
        &self,
        account: &AccountId,
        filter: &EventFilter,
        part: Span,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Found<EventColumns>, Error> {
        let rows = reading!(self.pool, connection => {
            let mut query = QueryBuilder::new(format!("{EVENT} WHERE "));
            if filter.trace_id.is_empty() {
                query.push("account = ").push_bind(account.as_str());
                if !filter.event_type.is_empty() {
                    query.push(" AND event_type = ").push_bind(filter.event_type.as_str());
                }
            } else {
                query.push("trace_id = ").push_bind(filter.trace_id.as_str());
                beside!(query, "account", account.as_str());
                if !filter.event_type.is_empty() {
                    beside!(query, "event_type", filter.event_type.as_str());
                }
            }
            span!(query, "accepted_at", "id", part, cursor);
            query.push(" LIMIT ").push_bind(at_most(limit));
            Ok(query.build_query_as().persistent(!part.is_short()).fetch_all(&mut *connection).await?)
        })?;
        Ok(Found {
            rows,
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
        let span = filter.span().beyond(cursor);
        let look = move |part, lacking| self.tagged_in(account, filter, part, cursor, lacking);
        let limit = limit as usize;
        let tagged = self.page(span, cursor, Reach::OF_FEW, limit, look).await?;
        let keys = tagged.rows.as_slice();
        let (mut events, fates) = try_join(self.events_by_id(keys), self.fates(keys)).await?;
        events.sort_by_key(|event| (event.accepted_at, event.id));
        if !is_backwards(cursor) {
            events.reverse();
        }
        Ok(Found {
            rows: fates.of(events),
            ended_at: tagged.ended_at,
        })
    }

    /// The ids and instants of events that have a tag.
    async fn tagged_in(
        &self,
        account: &AccountId,
        filter: &EventFilter,
        part: Span,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Found<EventKey>, Error> {
        let Some((name, value)) = &filter.tag else {
            return Ok(Found::default());
        };
        let event_type = filter.event_type.as_str();
        let looked_at = if event_type.is_empty() {
            at_most(limit)
        } else {
            LOOKED_AT
        };
        let tagged: Vec<(Uuid, i64, String)> = reading!(self.pool, connection => {
            let mut query = QueryBuilder::new(
                "SELECT event_id, accepted_at, event_type FROM event_tags WHERE account = ",
            );
            query.push_bind(account.as_str());
            query.push(" AND name = ").push_bind(name.as_str());
            query.push(" AND value = ").push_bind(value.as_str());
            span!(query, "accepted_at", "event_id", part, cursor);
            query.push(" LIMIT ").push_bind(looked_at);
            Ok(query.build_query_as().persistent(!part.is_short()).fetch_all(&mut *connection).await?)
        })?;
        let is_through = event_type.is_empty() || at_most(tagged.len()) < looked_at;
        let last = tagged.last().filter(|_| !is_through);
        let ended_at = last.map(|(id, at, _)| (*at, *id));
        let meant = |of: &str| event_type.is_empty() || of == event_type;
        let rows = tagged.into_iter().filter(|(_, _, of)| meant(of));
        let rows: Vec<EventKey> = rows.map(|(id, at, _)| (id, at)).take(limit).collect();
        let is_full = rows.len() >= limit;
        Ok(Found {
            rows,
            ended_at: ended_at.filter(|_| !is_full),
        })
    }

    /// Events by id and instant, in no order.
    async fn events_by_id(&self, keys: &[EventKey]) -> Result<Vec<EventColumns>, Error> {
        let asked = self.at_once(keys).map(|keys| self.looked_up(keys));
        let found = self.beside.all(asked.collect()).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn looked_up(&self, keys: EventKeys<'_>) -> Result<Vec<EventColumns>, Error> {
        reading!(self.pool, connection => {
            let mut query = QueryBuilder::default();
            keys.look_up(&mut query, EVENT, "id");
            Ok(query.build_query_as().persistent(false).fetch_all(&mut *connection).await?)
        })
    }

    /// One event of an account.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn event(&self, account: &AccountId, id: EventId) -> Result<Option<EventRow>, Error> {
        let text = format!("{EVENT} WHERE id = $1 AND (account = $2) IS TRUE");
        match self.named(&text, "accepted_at", account, id.uuid()).await? {
            Some(event) => Ok(self.with_fates(vec![event]).await?.pop()),
            None => Ok(None),
        }
    }
}

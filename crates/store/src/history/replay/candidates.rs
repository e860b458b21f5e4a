//! The next events of a replay, with what is known of them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use domain::{AccountId, EventId, Timestamp};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::{ReplayRow, Selection, which};
use crate::Error;
use crate::history::{Asked, History};

/// Ends a condition on event ids: those of `places`, of which there are some, in
/// the days that hold them.
/// By one column, since SQLite reads a whole table for `(a, b) IN (VALUES …)`.
macro_rules! at_places {
    ($query:ident, $places:ident) => {
        let instant = |place: Option<&Place>| place.map_or(0, |(at, _)| *at);
        let (first, last) = (instant($places.first()), instant($places.last()));
        let mut ids = $query.separated(", ");
        for (_, event) in $places {
            ids.push_bind(*event);
        }
        $query.push(") AND accepted_at >= ").push_bind(first);
        $query.push(" AND accepted_at <= ").push_bind(last);
    };
}

/// An event that a replay comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub event_id: Uuid,
    /// Unix milliseconds.
    pub accepted_at: i64,
    pub event_type: String,
    pub body: Body,
    /// Its deliveries to the endpoint, tests left out.
    pub deliveries: Vec<Known>,
    /// A delivery of it that another open replay waits for; it may not be recorded
    /// yet.
    pub awaited: Option<Uuid>,
}

/// What is left of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Kept(Vec<u8>),
    /// It is older than events are kept, or could not be recorded.
    Expired,
    /// It is so young that it is still to be recorded: its deliveries come over
    /// another stream, and were faster.
    Untold,
    /// `counted`: since the replay has counted it.
    Erased {
        counted: bool,
    },
}

/// A delivery as it is known.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Known {
    pub id: Uuid,
    pub event_id: Uuid,
    /// A [`domain::DeliveryState`].
    pub state: String,
    pub reason: String,
    pub attempts: i64,
}

/// What is kept of an event.
#[derive(sqlx::FromRow)]
struct Kept {
    id: Uuid,
    event_type: String,
    body: Vec<u8>,
    erased_since: bool,
}

impl Kept {
    fn into_body(self) -> (Uuid, (String, Body)) {
        let body = match self.body.is_empty() {
            false => Body::Kept(self.body),
            true => Body::Erased {
                counted: self.erased_since,
            },
        };
        (self.id, (self.event_type, body))
    }
}

/// Recording lags less, or somebody was told long ago.
const LAG: Duration = Duration::from_secs(3_600);

/// An event, behind when it was accepted in Unix milliseconds.
type Place = (i64, Uuid);

impl History {
    /// The next events of a replay in the order of their time, at most `limit`,
    /// with what is known of them now.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn candidates(
        &self,
        row: &ReplayRow,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Candidate>, Error> {
        let selection = Selection::of(row);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let places: Vec<Place> = reading!(self.pool, connection => {
            let mut query =
                QueryBuilder::new("SELECT DISTINCT d.accepted_at, d.event_id ");
            which!(query, selection);
            query.push(" ORDER BY d.accepted_at, d.event_id LIMIT ").push_bind(limit);
            Ok(query.build_query_as().fetch_all(&mut *connection).await?)
        })?;
        if places.is_empty() {
            return Ok(Vec::new());
        }
        // Before the deliveries: one that is no longer awaited is recorded, so it
        // is found there.
        let awaited = self.awaited_elsewhere(row, &places).await?;
        let deliveries = self.known_among(row, &places).await?;
        let mut bodies = self.bodies(row, &places, now).await?;
        let candidate = |(accepted_at, event_id): Place| {
            let of_event = deliveries.iter().filter(|one| one.event_id == event_id);
            let (event_type, body) = bodies
                .remove(&event_id)
                .unwrap_or_else(|| (String::new(), Body::Expired));
            Candidate {
                event_id,
                accepted_at,
                event_type,
                body,
                deliveries: of_event.cloned().collect(),
                awaited: awaited.get(&event_id).copied(),
            }
        };
        Ok(places.into_iter().map(candidate).collect())
    }

    /// Deliveries that other open replays of the endpoint wait for, by event.
    async fn awaited_elsewhere(
        &self,
        row: &ReplayRow,
        places: &[Place],
    ) -> Result<HashMap<Uuid, Uuid>, Error> {
        let found: Vec<(Uuid, Uuid)> = reading!(self.pool, connection => {
            let mut query = QueryBuilder::new(
                "SELECT event_id, delivery_id FROM replay_deliveries WHERE replay_id IN \
                 (SELECT id FROM replays WHERE ended_at IS NULL AND endpoint_id = ",
            );
            query.push_bind(row.endpoint_id).push(" AND id <> ").push_bind(row.id);
            query.push(") AND event_id IN (");
            at_places!(query, places);
            Ok(query.build_query_as().fetch_all(&mut *connection).await?)
        })?;
        Ok(found.into_iter().collect())
    }

    async fn known_among(&self, row: &ReplayRow, places: &[Place]) -> Result<Vec<Known>, Error> {
        reading!(self.pool, connection => {
            let mut query = QueryBuilder::new(
                "SELECT id, event_id, state, reason, attempts FROM deliveries WHERE event_id IN (",
            );
            at_places!(query, places);
            query.push(" AND cause <> 'test' AND endpoint_id = ").push_bind(row.endpoint_id);
            Ok(query.build_query_as().fetch_all(&mut *connection).await?)
        })
    }

    /// The type and what is left of each event; one that is not kept is not there.
    async fn bodies(
        &self,
        row: &ReplayRow,
        places: &[Place],
        now: Timestamp,
    ) -> Result<HashMap<Uuid, (String, Body)>, Error> {
        let kept: Vec<Kept> = reading!(self.pool, connection => {
            let mut query = QueryBuilder::new(
                "SELECT id, event_type, body, EXISTS (SELECT 1 FROM erased AS m \
                 WHERE m.id = events.id AND m.marked_at >= ",
            );
            query.push_bind(row.created_at).push(") AS erased_since FROM events WHERE id IN (");
            at_places!(query, places);
            Ok(query.build_query_as().fetch_all(&mut *connection).await?)
        })?;
        let mut bodies: HashMap<Uuid, (String, Body)> =
            kept.into_iter().map(Kept::into_body).collect();
        let missing = places.iter().filter(|(_, id)| !bodies.contains_key(id));
        let missing: Vec<Place> = missing.copied().collect();
        for event in self.erased_with_their_account(row, &missing).await? {
            bodies.insert(event, (String::new(), Body::Erased { counted: true }));
        }
        let oldest = now.unix_millis().saturating_sub(LAG.as_millis() as i64);
        let young = missing.iter().filter(|(at, _)| *at >= oldest);
        let young: Vec<Uuid> = young.map(|(_, id)| *id).collect();
        let refused = self.refused_among(&young).await?;
        for event in young.into_iter().filter(|event| !refused.contains(event)) {
            let untold = || (String::new(), Body::Untold);
            bodies.entry(event).or_insert_with(untold);
        }
        Ok(bodies)
    }

    /// Which of these events the tables did not take.
    async fn refused_among(&self, events: &[Uuid]) -> Result<HashSet<Uuid>, Error> {
        if events.is_empty() {
            return Ok(HashSet::new());
        }
        let found: Vec<Uuid> = reading!(self.pool, connection => {
            let mut query = QueryBuilder::new(
                "SELECT event_id FROM quarantine WHERE kind = 'event' AND event_id IN (",
            );
            let mut ids = query.separated(", ");
            for event in events {
                ids.push_bind(*event);
            }
            query.push(")");
            Ok(query.build_query_scalar().fetch_all(&mut *connection).await?)
        })?;
        Ok(found.into_iter().collect())
    }

    /// Which of these events, that are not kept, were erased. Of an account nothing
    /// stays, so an event that was erased with it was met in that moment only.
    async fn erased_with_their_account(
        &self,
        row: &ReplayRow,
        missing: &[Place],
    ) -> Result<Vec<Uuid>, Error> {
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let account =
            AccountId::parse(&row.account).map_err(|problem| Error::Refused(problem.detail))?;
        let asked = |(at, id): &Place| Asked {
            event: EventId::from_uuid(*id),
            account: &account,
            accepted_at: Timestamp::from_unix_millis(*at),
        };
        let asked: Vec<Asked<'_>> = missing.iter().map(asked).collect();
        let marks = self.erased_among(&asked).await?;
        let erased = asked.iter().filter(|one| marks.cover(**one));
        Ok(erased.map(|one| one.event.uuid()).collect())
    }
}

//! What a worker reads and writes of a replay. Whoever works on one has claimed
//! it for a while: what is written without the claim is not written.

use domain::{ReplayId, ReplayState, Timestamp};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::{COLUMNS, ReplayRow, Selection, which};
use crate::Error;
use crate::history::History;
use crate::history::claims::Claimable;

/// Ends a condition on event ids: those of `places`, in the days that hold them.
/// By one column, since SQLite reads a whole table for `(a, b) IN (VALUES …)`.
macro_rules! at_places {
    ($query:ident, $places:ident, $first:ident, $last:ident) => {
        let mut ids = $query.separated(", ");
        for (_, event) in &$places {
            ids.push_bind(*event);
        }
        $query.push(") AND accepted_at >= ").push_bind(*$first);
        $query.push(" AND accepted_at <= ").push_bind(*$last);
    };
}

const CLAIMABLE: Claimable = Claimable {
    table: "replays",
    columns: COLUMNS,
};

/// Replays that are looked at together.
const MAX_OPEN: i64 = 64;

/// An event that a replay comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub event_id: Uuid,
    /// Unix milliseconds.
    pub accepted_at: i64,
    pub event_type: String,
    /// `None`: no longer kept.
    pub body: Option<Vec<u8>>,
    /// Its deliveries to the endpoint, tests left out.
    pub deliveries: Vec<Known>,
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

/// A delivery whose end a replay waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    pub event_id: Uuid,
    /// Unix milliseconds.
    pub accepted_at: i64,
    pub delivery_id: Uuid,
}

/// Where a tracked delivery stands.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Unfinished {
    pub event_id: Uuid,
    /// `None`: it is not recorded yet.
    pub state: Option<String>,
    pub attempts: Option<i64>,
    /// Whether its event is still kept.
    pub is_kept: bool,
}

/// What a worker has done.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Deliveries that are under way from now on.
    pub tracked: Vec<Tracked>,
    /// Events whose tracked delivery has ended.
    pub finished: Vec<Uuid>,
    pub sent: i64,
    pub succeeded: i64,
    pub failed: i64,
    /// The last event that was dealt with, if there was one.
    pub cursor: Option<(i64, Uuid)>,
    /// When all of it has ended.
    pub ended_at: Option<Timestamp>,
}

impl History {
    /// Replays that have something to send or under way.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn open_replays(&self) -> Result<Vec<ReplayId>, Error> {
        let ids: Vec<Uuid> = reading!(self.pool, connection => {
            Ok(sqlx::query_scalar(
                "SELECT id FROM replays WHERE ended_at IS NULL ORDER BY id LIMIT $1",
            )
            .bind(MAX_OPEN)
            .fetch_all(&mut *connection)
            .await?)
        })?;
        Ok(ids.into_iter().map(ReplayId::from_uuid).collect())
    }

    /// Claims an open replay for `worker`, or renews the claim; `None` if another
    /// one has it or it has ended.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn claim_replay(
        &self,
        id: ReplayId,
        worker: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<ReplayRow>, Error> {
        self.claim(CLAIMABLE, id.uuid(), worker, now, until).await
    }

    /// Gives back what `worker` has claimed.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn release_replays(&self, worker: Uuid) -> Result<(), Error> {
        self.release(CLAIMABLE, worker).await
    }

    /// Where the deliveries stand that a replay waits for.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn unfinished(&self, id: ReplayId) -> Result<Vec<Unfinished>, Error> {
        reading!(self.pool, connection => {
            Ok(sqlx::query_as(
                "SELECT r.event_id, d.state, d.attempts, e.id IS NOT NULL AS is_kept \
                 FROM replay_deliveries AS r \
                 LEFT JOIN deliveries AS d ON d.event_id = r.event_id AND d.id = r.delivery_id \
                 AND d.accepted_at = r.accepted_at \
                 LEFT JOIN events AS e ON e.id = r.event_id AND e.accepted_at = r.accepted_at \
                 WHERE r.replay_id = $1",
            )
            .bind(id.uuid())
            .fetch_all(&mut *connection)
            .await?)
        })
    }

    /// The next events of a replay in the order of their time, at most `limit`,
    /// with what is known of them now.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn candidates(&self, row: &ReplayRow, limit: usize) -> Result<Vec<Candidate>, Error> {
        let selection = Selection::of(row);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let places: Vec<(i64, Uuid)> = reading!(self.pool, connection => {
            let mut query =
                QueryBuilder::new("SELECT DISTINCT d.accepted_at, d.event_id ");
            which!(query, selection);
            query.push(" ORDER BY d.accepted_at, d.event_id LIMIT ").push_bind(limit);
            Ok(query.build_query_as().fetch_all(&mut *connection).await?)
        })?;
        let (Some((first, _)), Some((last, _))) = (places.first(), places.last()) else {
            return Ok(Vec::new());
        };
        type Found = (Vec<(Uuid, String, Vec<u8>)>, Vec<Known>);
        let (events, deliveries): Found = reading!(self.pool, connection => {
            let mut query =
                QueryBuilder::new("SELECT id, event_type, body FROM events WHERE id IN (");
            at_places!(query, places, first, last);
            let events = query.build_query_as().fetch_all(&mut *connection).await?;
            let mut query = QueryBuilder::new(
                "SELECT id, event_id, state, reason, attempts FROM deliveries WHERE event_id IN (",
            );
            at_places!(query, places, first, last);
            query.push(" AND cause <> 'test' AND endpoint_id = ").push_bind(row.endpoint_id);
            let deliveries = query.build_query_as().fetch_all(&mut *connection).await?;
            Ok((events, deliveries))
        })?;
        let candidate = |(accepted_at, event_id): (i64, Uuid)| {
            let event = events.iter().find(|(id, ..)| *id == event_id);
            let of_event = deliveries.iter().filter(|one| one.event_id == event_id);
            Candidate {
                event_id,
                accepted_at,
                event_type: event.map(|(_, name, _)| name.clone()).unwrap_or_default(),
                body: event
                    .map(|(.., body)| body.clone())
                    .filter(|body| !body.is_empty()),
                deliveries: of_event.cloned().collect(),
            }
        };
        Ok(places.into_iter().map(candidate).collect())
    }

    /// Writes down what `worker` has done, all of it or, without the claim,
    /// nothing; tells which.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn save_progress(
        &self,
        id: ReplayId,
        worker: Uuid,
        progress: &Progress,
    ) -> Result<bool, Error> {
        let (at, event) = progress.cursor.unzip();
        transaction!(self.pool, tx => {
            let changed = sqlx::query(
                "UPDATE replays SET sent = sent + $3, succeeded = succeeded + $4, \
                 failed = failed + $5, cursor_at = COALESCE($6, cursor_at), \
                 cursor_event = COALESCE($7, cursor_event) \
                 WHERE id = $1 AND claimed_by = $2 AND ended_at IS NULL",
            )
            .bind(id.uuid())
            .bind(worker)
            .bind(progress.sent)
            .bind(progress.succeeded)
            .bind(progress.failed)
            .bind(at)
            .bind(event)
            .execute(&mut *tx)
            .await?;
            if changed.rows_affected() == 0 {
                return Ok(false);
            }
            if !progress.finished.is_empty() {
                let mut query =
                    QueryBuilder::new("DELETE FROM replay_deliveries WHERE replay_id = ");
                query.push_bind(id.uuid()).push(" AND event_id IN (");
                let mut events = query.separated(", ");
                for event in &progress.finished {
                    events.push_bind(*event);
                }
                query.push(")");
                query.build().execute(&mut *tx).await?;
            }
            if !progress.tracked.is_empty() {
                let mut query = QueryBuilder::new(
                    "INSERT INTO replay_deliveries (replay_id, event_id, delivery_id, accepted_at) ",
                );
                query.push_values(&progress.tracked, |mut row, tracked| {
                    row.push_bind(id.uuid())
                        .push_bind(tracked.event_id)
                        .push_bind(tracked.delivery_id)
                        .push_bind(tracked.accepted_at);
                });
                query.push(" ON CONFLICT (replay_id, event_id) DO NOTHING");
                query.build().execute(&mut *tx).await?;
            }
            if let Some(ended_at) = progress.ended_at {
                // What was counted at first and not met again has succeeded
                // meanwhile; what has failed meanwhile was not counted at first.
                sqlx::query(
                    "UPDATE replays SET ended_at = $2, state = CASE WHEN state = $3 THEN $4 ELSE state END, \
                     succeeded = CASE WHEN state = $3 AND matched > succeeded + failed \
                     THEN matched - failed ELSE succeeded END, \
                     matched = CASE WHEN matched < succeeded + failed \
                     THEN succeeded + failed ELSE matched END WHERE id = $1",
                )
                .bind(id.uuid())
                .bind(ended_at.unix_millis())
                .bind(ReplayState::Running.as_str())
                .bind(ReplayState::Done.as_str())
                .execute(&mut *tx)
                .await?;
            }
            Ok(true)
        })
    }

    /// Removes a replay whose endpoint is deleted.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn remove_replay(&self, id: ReplayId) -> Result<(), Error> {
        const REMOVE: [&str; 2] = [
            "DELETE FROM replay_deliveries WHERE replay_id = $1",
            "DELETE FROM replays WHERE id = $1",
        ];
        transaction!(self.pool, tx => {
            for statement in REMOVE {
                sqlx::query(statement).bind(id.uuid()).execute(&mut *tx).await?;
            }
            Ok(())
        })
    }
}

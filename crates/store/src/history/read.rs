//! What a batch needs to know before it can be folded.

use std::collections::{HashMap, HashSet};

use domain::{DeliveryState, Timestamp};
use uuid::Uuid;

use super::advance::Standing;
use super::condition::Condition;
use crate::Error;
use crate::bulk::{Bulk, Key, Lookup};

macro_rules! condition_columns {
    () => {
        "id, account, generation, deleted, last_attempt_at, last_failure, failing_since, \
         failures, throttled, paused, paused_until, recovered_by, recovered_since"
    };
}

/// Begins a text for SQLite with the table `keys` of the places at which the
/// keys of `$length` bytes begin in `$1`.
macro_rules! keys {
    ($length:literal) => {
        concat!(
            "WITH RECURSIVE keys (place) AS (SELECT 1 UNION ALL SELECT place + ",
            $length,
            " FROM keys WHERE place + ",
            $length,
            " <= length($1)) "
        )
    };
}

/// SQLite has one writer at a time anyway.
static ENDPOINTS: Lookup = Lookup {
    sqlite: concat!(
        keys!(16),
        "SELECT ",
        condition_columns!(),
        " FROM keys CROSS JOIN history_endpoints AS e ON e.id = substr($1, place, 16)"
    ),
    postgres: concat!(
        "SELECT ",
        condition_columns!(),
        " FROM history_endpoints WHERE id = ANY($1) ORDER BY id FOR UPDATE"
    ),
};

static DELIVERIES: Lookup = Lookup {
    sqlite: concat!(
        keys!(32),
        "SELECT d.id, d.state, d.reason, d.attempts, d.last_number, d.next_attempt_at \
         FROM keys CROSS JOIN deliveries AS d ON d.event_id = substr($1, place, 16) \
         AND d.id = substr($1, place + 16, 16)"
    ),
    // One at a time through the index. A join may be planned while the table is
    // small, as one that reads all of it, and kept while it grows.
    postgres: "SELECT d.id, d.state, d.reason, d.attempts, d.last_number, d.next_attempt_at \
               FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[]) AS keys (event_id, id, at) \
               CROSS JOIN LATERAL (SELECT * FROM deliveries \
               WHERE event_id = keys.event_id AND id = keys.id AND accepted_at = keys.at \
               AND accepted_at >= $4 AND accepted_at <= $5 LIMIT 1) AS d",
};

static ATTEMPTS: Lookup = Lookup {
    sqlite: concat!(
        keys!(16),
        "SELECT a.id FROM keys CROSS JOIN attempts AS a ON a.id = substr($1, place, 16)"
    ),
    postgres: "SELECT a.id FROM UNNEST($1::uuid[], $2::bigint[]) AS keys (id, at) \
               CROSS JOIN LATERAL (SELECT id FROM attempts \
               WHERE id = keys.id AND started_at = keys.at \
               AND started_at >= $3 AND started_at <= $4 LIMIT 1) AS a",
};

/// Where a recorded delivery stands.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct StandingRow {
    id: Uuid,
    state: String,
    reason: String,
    attempts: i64,
    pub(super) last_number: i64,
    next_attempt_at: Option<i64>,
}

impl StandingRow {
    /// Whether an attempt of this number is recorded, or need not be made.
    pub(super) fn has_passed(&self, number: i64) -> bool {
        self.last_number >= number || self.state != DeliveryState::Pending.as_str()
    }

    pub(super) fn standing(&self) -> Result<Standing, Error> {
        let state = self.state.parse();
        Ok(Standing {
            state: state.map_err(|_| Error::Refused("a stored state is unknown".to_owned()))?,
            reason: Standing::reason(&self.reason),
            attempts: self.attempts,
            last_number: self.last_number,
            next_attempt_at: self.next_attempt_at.map(Timestamp::from_unix_millis),
        })
    }
}

/// Locks the rows of endpoints, in the order of the ids given.
pub(super) async fn lock_endpoints<C: Bulk>(
    connection: &mut C,
    ids: &[Key<1>],
) -> Result<HashMap<Uuid, Condition>, Error> {
    let found: Vec<Condition> = connection.find(&ENDPOINTS, ids).await?;
    Ok(found.into_iter().map(|row| (row.id, row)).collect())
}

/// Deliveries, by the ids of their event and their own, and the event's instant.
pub(super) async fn standings<C: Bulk>(
    connection: &mut C,
    keys: &[Key<2>],
) -> Result<HashMap<Uuid, StandingRow>, Error> {
    let found: Vec<StandingRow> = connection.find(&DELIVERIES, keys).await?;
    Ok(found.into_iter().map(|row| (row.id, row)).collect())
}

/// Those of the attempts that are recorded, by id and start.
pub(super) async fn attempts<C: Bulk>(
    connection: &mut C,
    ids: &[Key<1>],
) -> Result<HashSet<Uuid>, Error> {
    let found: Vec<(Uuid,)> = connection.find(&ATTEMPTS, ids).await?;
    Ok(found.into_iter().map(|(id,)| id).collect())
}

//! Retention: what is too old goes. PostgreSQL drops the tables of whole days;
//! SQLite deletes a few rows at a time, so that recording gets its turn.

use std::time::Duration;

use domain::Timestamp;
use sqlx::{AssertSqlSafe, Decode, Encode, PgConnection, PgPool, Sqlite, Type};
use uuid::Uuid;

use super::History;
use super::closed::{DAYS_OF_KEYS, KEYS_OF_DAYS};
use super::days::{Day, OF_EVENTS, OF_RECORDS};
use super::turn::Turn;
use crate::Error;
use crate::pool::{Engine, bounded};

/// Rows that one statement deletes.
const CHUNK: i64 = 500;

/// Endpoints whose counts of a day one statement deletes on PostgreSQL. For more than
/// about two hundred, the trigger's plan reads all counts that there are.
const ENDPOINTS: i64 = 100;

const HOUR: Duration = Duration::from_secs(3_600);

/// What is no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// Events accepted before, with their bodies and tags.
    pub events_before: Timestamp,
    /// Deliveries, attempts and counts of events accepted, or attempts
    /// started, before.
    pub records_before: Timestamp,
}

/// What is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// Tables that were dropped.
    pub tables: u64,
    /// Rows that were deleted.
    pub rows: u64,
}

impl History {
    /// Removes what is no longer kept: on PostgreSQL what is of whole days that
    /// have passed, on SQLite to the instant. One process drops tables at a time; what
    /// an earlier one left half done is ended.
    ///
    /// # Errors
    ///
    /// An outage; calling again goes on.
    ///
    /// # Cancel safety
    ///
    /// What is removed is removed; calling again goes on.
    pub async fn expire(&self, expiry: Expiry) -> Result<Expired, Error> {
        let (events, records) = (expiry.events_before, expiry.records_before);
        let mut expired = Expired::default();
        match &self.pool.0 {
            Engine::Postgres(pool) => expired.tables = drop_days(pool, expiry).await?,
            Engine::Sqlite { .. } => {
                let steps = [
                    self.delete_by::<String>("events", "account", "accepted_at", events)
                        .await?,
                    self.delete_by::<String>("attempts", "account", "started_at", records)
                        .await?,
                    self.delete_by::<Uuid>("deliveries", "endpoint_id", "accepted_at", records)
                        .await?,
                    self.delete_by::<Uuid>("not_sent", "endpoint_id", "accepted_at", records)
                        .await?,
                ];
                expired.rows = steps.iter().sum();
            }
        }
        expired.rows += self.delete_counts(records).await?;
        Ok(expired)
    }

    /// Forgets replays and erasures that ended before `jobs`, and marks of what was
    /// erased that were made before `marks`.
    ///
    /// # Errors
    ///
    /// An outage; calling again goes on.
    pub async fn forget_jobs(&self, jobs: Timestamp, marks: Timestamp) -> Result<(), Error> {
        let statements = [
            (
                "DELETE FROM replays WHERE id IN (SELECT id FROM replays \
                 WHERE ended_at IS NOT NULL AND ended_at < $1 ORDER BY ended_at LIMIT $2)",
                jobs,
            ),
            (
                "DELETE FROM erasures WHERE id IN (SELECT id FROM erasures \
                 WHERE ended_at IS NOT NULL AND ended_at < $1 ORDER BY ended_at LIMIT $2)",
                jobs,
            ),
            (
                "DELETE FROM erased WHERE (id, erasure_id) IN (SELECT id, erasure_id FROM erased \
                 WHERE marked_at < $1 ORDER BY marked_at LIMIT $2)",
                marks,
            ),
        ];
        for (statement, before) in statements {
            loop {
                let forgotten = transaction!(self.pool, tx => {
                    Ok(sqlx::query(statement)
                        .bind(before.unix_millis())
                        .bind(CHUNK)
                        .execute(&mut *tx)
                        .await?
                        .rows_affected())
                })?;
                if forgotten == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Deletes a table's rows of before, owner by owner, as its index has them.
    async fn delete_by<O>(
        &self,
        table: &str,
        owner: &str,
        instant: &str,
        before: Timestamp,
    ) -> Result<u64, Error>
    where
        O: Default + Clone + Send + Unpin + Type<Sqlite>,
        O: for<'q> Encode<'q, Sqlite> + for<'r> Decode<'r, Sqlite>,
    {
        let Engine::Sqlite { read, write } = &self.pool.0 else {
            return Ok(0);
        };
        let next = format!("SELECT MIN({owner}) FROM {table} WHERE {owner} > $1");
        let delete = format!(
            "DELETE FROM {table} WHERE {owner} = $1 AND {instant} < $2 AND {instant} <= COALESCE( \
             (SELECT {instant} FROM {table} WHERE {owner} = $1 AND {instant} < $2 \
             ORDER BY {instant} LIMIT 1 OFFSET $3), $2)"
        );
        let mut rows = 0;
        let mut last = O::default();
        loop {
            let found: Option<O> = bounded(async {
                let next = sqlx::query_scalar(AssertSqlSafe(next.clone())).bind(last.clone());
                Ok(next.fetch_one(read).await?)
            })
            .await?;
            let Some(found) = found else {
                return Ok(rows);
            };
            loop {
                let deleted = bounded(async {
                    let delete = sqlx::query(AssertSqlSafe(delete.clone()))
                        .bind(found.clone())
                        .bind(before.unix_millis())
                        .bind(CHUNK);
                    Ok(delete.execute(write).await?.rows_affected())
                })
                .await?;
                rows += deleted;
                if deleted == 0 {
                    break;
                }
            }
            last = found;
        }
    }

    /// Deletes counts of before, the oldest first: on PostgreSQL those of whole days, as its
    /// tables go.
    async fn delete_counts(&self, before: Timestamp) -> Result<u64, Error> {
        let (delete, hour, at_most) = match self.pool.0 {
            // The oldest day as a whole: nothing of it is left then for the trigger to add
            // up, as hour by hour there would be.
            Engine::Postgres(_) => (
                "DELETE FROM delivery_counts WHERE endpoint_id = ANY (ARRAY( \
                 SELECT endpoint_id FROM delivery_counts WHERE hour < $1 ORDER BY hour LIMIT $2)) \
                 AND hour < $1 AND hour < (SELECT MIN(hour) / 24 * 24 + 24 FROM delivery_counts)",
                hour_of(Day::of(before).start()),
                ENDPOINTS,
            ),
            Engine::Sqlite { .. } => (
                "DELETE FROM delivery_counts WHERE (endpoint_id, hour) IN \
                 (SELECT endpoint_id, hour FROM delivery_counts WHERE hour < $1 \
                 ORDER BY hour LIMIT $2)",
                hour_of(before),
                CHUNK,
            ),
        };
        let mut rows = 0;
        loop {
            let deleted = transaction!(self.pool, tx => {
                let delete = sqlx::query(delete).bind(hour).bind(at_most);
                Ok(delete.execute(&mut *tx).await?.rows_affected())
            })?;
            rows += deleted;
            if deleted == 0 {
                return Ok(rows);
            }
        }
    }
}

/// Unix hours.
fn hour_of(instant: Timestamp) -> i64 {
    instant.unix_millis().div_euclid(HOUR.as_millis() as i64)
}

/// Drops the tables of passed days, unless another process is at it.
async fn drop_days(pool: &PgPool, expiry: Expiry) -> Result<u64, Error> {
    let dropped = Turn::DROPPING_DAYS.take(pool, async |connection: &mut PgConnection| {
        drop_all(connection, expiry).await
    });
    Ok(dropped.await?.unwrap_or_default())
}

async fn drop_all(connection: &mut PgConnection, expiry: Expiry) -> Result<u64, Error> {
    let mut dropped = 0;
    let of_events = OF_EVENTS.map(|table| (table, expiry.events_before));
    let of_records = OF_RECORDS.map(|table| (table, expiry.records_before));
    let of_days = of_events.into_iter().chain(of_records);
    let mut passing: Vec<(&str, Day)> = of_days
        .map(|(table, before)| (table, Day::of(before)))
        .collect();
    let oldest = Day::of(expiry.events_before.min(expiry.records_before));
    passing.push((KEYS_OF_DAYS, oldest.plus(1 - DAYS_OF_KEYS)));
    for (table, before) in passing {
        for (part, state) in passed(connection, table, before).await? {
            drop_day(connection, table, &part, &state).await?;
            dropped += 1;
        }
    }
    for forget in [
        "DELETE FROM closed_days WHERE day < $1",
        "DELETE FROM reopened_days WHERE day < $1",
    ] {
        bounded(async {
            let forget = sqlx::query(forget).bind(oldest.number());
            forget.execute(&mut *connection).await?;
            Ok(())
        })
        .await?;
    }
    Ok(dropped)
}

/// The tables of days before `day`, oldest first, and how far each is from
/// being dropped.
async fn passed(
    connection: &mut PgConnection,
    table: &str,
    day: Day,
) -> Result<Vec<(String, String)>, Error> {
    bounded(async {
        let parts = sqlx::query_as(
            "SELECT relname::text, CASE WHEN inhparent IS NULL THEN 'detached' \
             WHEN inhdetachpending THEN 'pending' ELSE 'attached' END \
             FROM pg_class LEFT JOIN pg_inherits ON inhrelid = pg_class.oid \
             WHERE relkind = 'r' AND pg_table_is_visible(pg_class.oid) \
             AND relname ~ ('^' || $1 || '_[0-9]{8}$') AND relname < $1 || '_' || $2 \
             ORDER BY relname",
        );
        let parts = parts.bind(table).bind(day.digits());
        Ok(parts.fetch_all(&mut *connection).await?)
    })
    .await
}

/// Detaches a day's table while others read and write, and drops it.
async fn drop_day(
    connection: &mut PgConnection,
    table: &str,
    part: &str,
    state: &str,
) -> Result<(), Error> {
    let detach = match state {
        "attached" => Some("CONCURRENTLY"),
        "pending" => Some("FINALIZE"),
        _ => None,
    };
    let detach = detach.map(|how| format!("ALTER TABLE {table} DETACH PARTITION {part} {how}"));
    for statement in detach.into_iter().chain([format!("DROP TABLE {part}")]) {
        bounded(async {
            let statement = sqlx::raw_sql(AssertSqlSafe(statement));
            statement.execute(&mut *connection).await?;
            Ok(())
        })
        .await?;
    }
    Ok(())
}

//! What follows from changes of endpoints.

use domain::{AccountId, EndpointId};
use uuid::Uuid;

use super::History;
use crate::Error;

/// Rows that one statement changes, and those of the same instant as the last:
/// short enough that others get their turn.
const CHUNK: i64 = 500;

/// What still waits when the rest is cancelled, and that is little.
pub(super) const COUNT_WAITING: &str = "UPDATE history_endpoints SET \
    throttled = (SELECT COUNT(*) FROM deliveries WHERE endpoint_id = $1 \
    AND state = 'pending' AND reason = 'throttled' AND cause <> 'test'), \
    paused = (SELECT COUNT(*) FROM deliveries WHERE endpoint_id = $1 \
    AND state = 'pending' AND reason = 'paused' AND cause <> 'test') WHERE id = $1";

impl History {
    /// Every endpoint that is known and not deleted, with its account and the
    /// generation up to which its deliveries were cancelled.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn known_endpoints(&self) -> Result<Vec<(EndpointId, AccountId, u64)>, Error> {
        let rows: Vec<(Uuid, String, i64)> = reading!(self.pool, connection => {
            Ok(sqlx::query_as(
                "SELECT id, account, generation FROM history_endpoints WHERE deleted = FALSE",
            )
            .fetch_all(&mut *connection)
            .await?)
        })?;
        rows.into_iter()
            .map(|(id, account, generation)| {
                let account = AccountId::parse(&account)
                    .map_err(|_| Error::Refused("a stored account cannot be read".to_owned()))?;
                let generation = u64::try_from(generation).unwrap_or(0);
                Ok((EndpointId::from_uuid(id), account, generation))
            })
            .collect()
    }

    /// Cancels what waits of generations below `generation`.
    ///
    /// # Errors
    ///
    /// An outage; calling again goes on.
    pub async fn cancel_pending(
        &self,
        account: &AccountId,
        endpoint: EndpointId,
        generation: u64,
    ) -> Result<(), Error> {
        let generation = i64::try_from(generation).unwrap_or(i64::MAX);
        loop {
            let is_all = transaction!(self.pool, tx => {
                // First of all, so that what is planned meanwhile is recorded as
                // cancelled. A period of failure ends with what was disabled.
                sqlx::query(
                    "INSERT INTO history_endpoints (id, account, generation, deleted) \
                     VALUES ($1, $2, $3, FALSE) ON CONFLICT (id) DO UPDATE SET \
                     generation = CASE WHEN history_endpoints.generation < excluded.generation \
                     THEN excluded.generation ELSE history_endpoints.generation END, \
                     failing_since = CASE WHEN history_endpoints.generation < excluded.generation \
                     THEN NULL ELSE history_endpoints.failing_since END, \
                     failures = CASE WHEN history_endpoints.generation < excluded.generation \
                     THEN 0 ELSE history_endpoints.failures END",
                )
                .bind(endpoint.uuid())
                .bind(account.as_str())
                .bind(generation)
                .execute(&mut *tx)
                .await?;
                let rows: Vec<(Uuid, i64, i64, String)> = sqlx::query_as(
                    "UPDATE deliveries SET state = 'cancelled', reason = 'endpoint_disabled', \
                     next_attempt_at = NULL WHERE endpoint_id = $1 AND state = 'pending' \
                     AND generation < $2 AND accepted_at <= COALESCE((SELECT accepted_at \
                     FROM deliveries WHERE endpoint_id = $1 AND state = 'pending' \
                     AND generation < $2 ORDER BY accepted_at LIMIT 1 OFFSET $3), \
                     9223372036854775807) RETURNING id, accepted_at, attempts, cause",
                )
                .bind(endpoint.uuid())
                .bind(generation)
                .bind(CHUNK)
                .fetch_all(&mut *tx)
                .await?;
                for (_, accepted_at, attempts, cause) in &rows {
                    if cause == "test" {
                        continue;
                    }
                    sqlx::query(
                        "UPDATE delivery_counts SET cancelled = cancelled + 1, \
                         pending = pending - 1, retrying = retrying - $3 \
                         WHERE endpoint_id = $1 AND hour = $2",
                    )
                    .bind(endpoint.uuid())
                    .bind(accepted_at.div_euclid(3_600_000))
                    .bind(i64::from(*attempts > 0))
                    .execute(&mut *tx)
                    .await?;
                }
                // Fewer than were looked for, so nothing is left: in the same transaction
                // what waited is told to be over.
                let is_all = (rows.len() as i64) <= CHUNK;
                if is_all {
                    sqlx::query(COUNT_WAITING).bind(endpoint.uuid()).execute(&mut *tx).await?;
                }
                Ok(is_all)
            })?;
            if is_all {
                return Ok(());
            }
        }
    }

    /// Removes everything of a deleted endpoint, for good: nothing of it is
    /// recorded again.
    ///
    /// # Errors
    ///
    /// An outage; calling again goes on.
    pub async fn erase_endpoint(&self, endpoint: EndpointId) -> Result<(), Error> {
        /// The oldest first, as the index has them: what a table divided by day
        /// is asked about lies in few of its days.
        macro_rules! erase {
            ($table:literal, $instant:literal) => {
                concat!(
                    "DELETE FROM ",
                    $table,
                    " WHERE endpoint_id = $1 AND ",
                    $instant,
                    " <= COALESCE((SELECT ",
                    $instant,
                    " FROM ",
                    $table,
                    " WHERE endpoint_id = $1 ORDER BY ",
                    $instant,
                    " LIMIT 1 OFFSET $2), 9223372036854775807)"
                )
            };
        }
        const ERASE: [&str; 4] = [
            erase!("attempts", "started_at"),
            erase!("deliveries", "accepted_at"),
            erase!("not_sent", "accepted_at"),
            erase!("delivery_counts", "hour"),
        ];
        for statement in ERASE {
            loop {
                let erased = transaction!(self.pool, tx => {
                    Ok(sqlx::query(statement)
                        .bind(endpoint.uuid())
                        .bind(CHUNK)
                        .execute(&mut *tx)
                        .await?
                        .rows_affected())
                })?;
                if erased == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Notes that an endpoint is deleted, before its rows are removed.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn bury_endpoint(
        &self,
        account: &AccountId,
        endpoint: EndpointId,
    ) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            sqlx::query(
                "INSERT INTO history_endpoints (id, account, generation, deleted) \
                 VALUES ($1, $2, 0, TRUE) ON CONFLICT (id) DO UPDATE SET deleted = TRUE, \
                 last_attempt_at = NULL, last_failure = NULL, failing_since = NULL, failures = 0, \
                 throttled = 0, paused = 0, paused_until = NULL, recovered_by = NULL, \
                 recovered_since = NULL",
            )
            .bind(endpoint.uuid())
            .bind(account.as_str())
            .execute(&mut *tx)
            .await?;
            Ok(())
        })
    }

    /// Endpoints that are deleted but have rows left, e.g. after a crash.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn half_erased(&self) -> Result<Vec<EndpointId>, Error> {
        let ids: Vec<Uuid> = reading!(self.pool, connection => {
            Ok(sqlx::query_scalar(
                "SELECT id FROM history_endpoints AS e WHERE deleted = TRUE AND ( \
                 EXISTS (SELECT 1 FROM attempts WHERE endpoint_id = e.id) OR \
                 EXISTS (SELECT 1 FROM deliveries WHERE endpoint_id = e.id) OR \
                 EXISTS (SELECT 1 FROM not_sent WHERE endpoint_id = e.id) OR \
                 EXISTS (SELECT 1 FROM delivery_counts WHERE endpoint_id = e.id))",
            )
            .fetch_all(&mut *connection)
            .await?)
        })?;
        Ok(ids.into_iter().map(EndpointId::from_uuid).collect())
    }
}

//! All that an account has had until an instant: rows go for good.

use std::collections::BTreeMap;

use domain::{AccountId, Timestamp};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::Erased;
use crate::Error;
use crate::history::endpoints::COUNT_WAITING;
use crate::history::{History, Stats};

const HOUR_MS: i64 = 3_600_000;

/// Rows of a transaction: short enough that others get their turn.
const CHUNK: i64 = 200;

/// A delivery that goes.
#[derive(sqlx::FromRow)]
struct Gone {
    event_id: Uuid,
    id: Uuid,
    accepted_at: i64,
    state: String,
    attempts: i64,
    cause: String,
}

impl Gone {
    /// What it was counted for.
    fn counts(&self) -> Stats {
        let is = |state| i64::from(self.state == state);
        Stats {
            total: 1,
            succeeded: is("succeeded"),
            failed: is("failed"),
            cancelled: is("cancelled"),
            pending: is("pending"),
            retrying: if self.attempts > 0 { is("pending") } else { 0 },
        }
    }
}

impl History {
    /// Erases some of what an account has had before an instant; nothing is gone
    /// when nothing is left.
    ///
    /// # Errors
    ///
    /// An outage; calling again goes on.
    pub async fn erase_account(
        &self,
        account: &AccountId,
        before: Timestamp,
    ) -> Result<Erased, Error> {
        let gone = self.erase_events_of(account, before.unix_millis()).await?;
        if gone != Erased::default() {
            return Ok(gone);
        }
        self.erase_records_of(account, before).await
    }

    /// Removes some deliveries, attempts and reasons of before an instant.
    pub(in crate::history) async fn erase_records_of(
        &self,
        account: &AccountId,
        before: Timestamp,
    ) -> Result<Erased, Error> {
        let before = before.unix_millis();
        let gone = self.erase_attempts(account, before).await?;
        if gone != Erased::default() {
            return Ok(gone);
        }
        self.erase_by_endpoint(account, before).await
    }

    async fn erase_by_endpoint(&self, account: &AccountId, before: i64) -> Result<Erased, Error> {
        for endpoint in self.endpoints_of(account).await? {
            let mut gone = self.erase_deliveries(endpoint, before).await?;
            gone.deliveries += self.erase_not_sent(endpoint, before).await?;
            if gone != Erased::default() {
                return Ok(gone);
            }
        }
        Ok(Erased::default())
    }

    async fn erase_attempts(&self, account: &AccountId, before: i64) -> Result<Erased, Error> {
        let attempts = transaction!(self.pool, tx => {
            Ok(sqlx::query(
                "DELETE FROM attempts WHERE account = $1 AND started_at < $2 AND started_at <= \
                 COALESCE((SELECT started_at FROM attempts WHERE account = $1 AND started_at < $2 \
                 ORDER BY started_at LIMIT 1 OFFSET $3), $2)",
            )
            .bind(account.as_str())
            .bind(before)
            .bind(CHUNK)
            .execute(&mut *tx)
            .await?
            .rows_affected())
        })?;
        Ok(Erased {
            attempts: i64::try_from(attempts).unwrap_or(i64::MAX),
            ..Erased::default()
        })
    }

    pub(in crate::history) async fn erase_events_of(
        &self,
        account: &AccountId,
        before: i64,
    ) -> Result<Erased, Error> {
        let events = transaction!(self.pool, tx => {
            let events: Vec<Uuid> = sqlx::query_scalar(
                "DELETE FROM events WHERE account = $1 AND accepted_at < $2 AND accepted_at <= \
                 COALESCE((SELECT accepted_at FROM events WHERE account = $1 AND accepted_at < $2 \
                 ORDER BY accepted_at LIMIT 1 OFFSET $3), $2) RETURNING id",
            )
            .bind(account.as_str())
            .bind(before)
            .bind(CHUNK)
            .fetch_all(&mut *tx)
            .await?;
            for event in &events {
                sqlx::query("DELETE FROM quarantine WHERE event_id = $1")
                    .bind(*event)
                    .execute(&mut *tx)
                    .await?;
            }
            Ok(events.len())
        })?;
        Ok(Erased {
            events: i64::try_from(events).unwrap_or(i64::MAX),
            ..Erased::default()
        })
    }

    async fn endpoints_of(&self, account: &AccountId) -> Result<Vec<Uuid>, Error> {
        reading!(self.pool, connection => {
            Ok(sqlx::query_scalar(
                "SELECT id FROM history_endpoints WHERE account = $1 ORDER BY id",
            )
            .bind(account.as_str())
            .fetch_all(&mut *connection)
            .await?)
        })
    }

    async fn erase_deliveries(&self, endpoint: Uuid, before: i64) -> Result<Erased, Error> {
        transaction!(self.pool, tx => {
            sqlx::query("UPDATE history_endpoints SET account = account WHERE id = $1")
                .bind(endpoint)
                .execute(&mut *tx)
                .await?;
            let gone: Vec<Gone> = sqlx::query_as(
                "SELECT event_id, id, accepted_at, state, attempts, cause FROM deliveries \
                 WHERE endpoint_id = $1 AND accepted_at < $2 ORDER BY accepted_at LIMIT $3",
            )
            .bind(endpoint)
            .bind(before)
            .bind(CHUNK)
            .fetch_all(&mut *tx)
            .await?;
            if gone.is_empty() {
                return Ok(Erased::default());
            }
            // Those that were started since, too.
            let mut attempts = QueryBuilder::new("DELETE FROM attempts WHERE event_id IN (");
            let mut events = attempts.separated(", ");
            for one in &gone {
                events.push_bind(one.event_id);
            }
            attempts.push(")");
            let attempts = attempts.build().execute(&mut *tx).await?.rows_affected();
            for one in &gone {
                sqlx::query("DELETE FROM deliveries WHERE event_id = $1 AND id = $2 AND accepted_at = $3")
                    .bind(one.event_id)
                    .bind(one.id)
                    .bind(one.accepted_at)
                    .execute(&mut *tx)
                    .await?;
            }
            for (hour, counts) in by_hour(&gone) {
                sqlx::query(
                    "UPDATE delivery_counts SET total = total - $3, succeeded = succeeded - $4, \
                     failed = failed - $5, cancelled = cancelled - $6, pending = pending - $7, \
                     retrying = retrying - $8 WHERE endpoint_id = $1 AND hour = $2",
                )
                .bind(endpoint)
                .bind(hour)
                .bind(counts.total)
                .bind(counts.succeeded)
                .bind(counts.failed)
                .bind(counts.cancelled)
                .bind(counts.pending)
                .bind(counts.retrying)
                .execute(&mut *tx)
                .await?;
            }
            sqlx::query(COUNT_WAITING).bind(endpoint).execute(&mut *tx).await?;
            Ok(Erased {
                deliveries: i64::try_from(gone.len()).unwrap_or(i64::MAX),
                attempts: i64::try_from(attempts).unwrap_or(i64::MAX),
                ..Erased::default()
            })
        })
    }

    async fn erase_not_sent(&self, endpoint: Uuid, before: i64) -> Result<i64, Error> {
        let rows = transaction!(self.pool, tx => {
            Ok(sqlx::query(
                "DELETE FROM not_sent WHERE endpoint_id = $1 AND accepted_at < $2 AND accepted_at <= \
                 COALESCE((SELECT accepted_at FROM not_sent WHERE endpoint_id = $1 \
                 AND accepted_at < $2 ORDER BY accepted_at LIMIT 1 OFFSET $3), $2)",
            )
            .bind(endpoint)
            .bind(before)
            .bind(CHUNK)
            .execute(&mut *tx)
            .await?
            .rows_affected())
        })?;
        Ok(i64::try_from(rows).unwrap_or(i64::MAX))
    }
}

fn by_hour(gone: &[Gone]) -> BTreeMap<i64, Stats> {
    let mut hours: BTreeMap<i64, Stats> = BTreeMap::new();
    for one in gone.iter().filter(|one| one.cause != "test") {
        let hour = one.accepted_at.div_euclid(HOUR_MS);
        *hours.entry(hour).or_default() += one.counts();
    }
    hours
}

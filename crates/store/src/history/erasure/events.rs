//! Events that are marked: bodies, tags and attempts go. What stays is that there
//! was an event, and what became of it.

use domain::ErasureId;
use uuid::Uuid;

use super::Erased;
use crate::Error;
use crate::history::endpoints::COUNT_WAITING;
use crate::history::{History, texts};

const HOUR_MS: i64 = 3_600_000;

/// An attempt's start is told by another clock than its event's instant.
const SLACK_MS: i64 = 3_600_000;

/// A delivery that was still to be made.
#[derive(sqlx::FromRow)]
struct Ended {
    endpoint_id: Uuid,
    attempts: i64,
    cause: String,
}

impl History {
    /// Erases the next marked events of an erasure, in the order of their ids;
    /// what is to be delivered of them ends as failed. Gives the last id and what
    /// is gone; `None`: there are no more. Doing it again is safe.
    ///
    /// # Errors
    ///
    /// An outage; calling again goes on.
    pub async fn erase_events(
        &self,
        erasure: ErasureId,
        after: Uuid,
        limit: i64,
    ) -> Result<Option<(Uuid, Erased)>, Error> {
        let marked: Vec<(Uuid, i64)> = reading!(self.pool, connection => {
            Ok(sqlx::query_as(
                "SELECT id, accepted_before - 1 FROM erased WHERE erasure_id = $1 AND id > $2 \
                 ORDER BY id LIMIT $3",
            )
            .bind(erasure.uuid())
            .bind(after)
            .bind(limit)
            .fetch_all(&mut *connection)
            .await?)
        })?;
        let Some((last, _)) = marked.last() else {
            return Ok(None);
        };
        let mut gone = Erased::default();
        for (event, accepted_at) in &marked {
            gone += self.end_deliveries(*event, *accepted_at).await?;
            gone += self.erase_event(*event, *accepted_at).await?;
        }
        Ok(Some((*last, gone)))
    }

    /// What is to be delivered of an event has failed.
    async fn end_deliveries(&self, event: Uuid, accepted_at: i64) -> Result<Erased, Error> {
        let deliveries = transaction!(self.pool, tx => {
            let endpoints: Vec<Uuid> = sqlx::query_scalar(
                "SELECT DISTINCT endpoint_id FROM deliveries \
                 WHERE event_id = $1 AND accepted_at = $2 AND state = 'pending' ORDER BY endpoint_id",
            )
            .bind(event)
            .bind(accepted_at)
            .fetch_all(&mut *tx)
            .await?;
            // In the order in which everybody locks.
            for endpoint in &endpoints {
                sqlx::query("UPDATE history_endpoints SET account = account WHERE id = $1")
                    .bind(*endpoint)
                    .execute(&mut *tx)
                    .await?;
            }
            let ended: Vec<Ended> = sqlx::query_as(
                "UPDATE deliveries SET state = 'failed', reason = 'erased', next_attempt_at = NULL \
                 WHERE event_id = $1 AND accepted_at = $2 AND state = 'pending' \
                 RETURNING endpoint_id, attempts, cause",
            )
            .bind(event)
            .bind(accepted_at)
            .fetch_all(&mut *tx)
            .await?;
            for one in ended.iter().filter(|one| one.cause != "test") {
                sqlx::query(
                    "UPDATE delivery_counts SET failed = failed + 1, pending = pending - 1, \
                     retrying = retrying - $3 WHERE endpoint_id = $1 AND hour = $2",
                )
                .bind(one.endpoint_id)
                .bind(accepted_at.div_euclid(HOUR_MS))
                .bind(i64::from(one.attempts > 0))
                .execute(&mut *tx)
                .await?;
            }
            for endpoint in &endpoints {
                sqlx::query(COUNT_WAITING).bind(*endpoint).execute(&mut *tx).await?;
            }
            Ok(ended.len())
        })?;
        Ok(Erased {
            deliveries: i64::try_from(deliveries).unwrap_or(i64::MAX),
            ..Erased::default()
        })
    }

    async fn erase_event(&self, event: Uuid, accepted_at: i64) -> Result<Erased, Error> {
        transaction!(self.pool, tx => {
            let attempts = sqlx::query("DELETE FROM attempts WHERE event_id = $1 AND started_at >= $2")
                .bind(event)
                .bind(accepted_at - SLACK_MS)
                .execute(&mut *tx)
                .await?;
            let named: Option<(String, String)> = sqlx::query_as(
                "SELECT account, tags FROM events WHERE id = $1 AND accepted_at = $2",
            )
            .bind(event)
            .bind(accepted_at)
            .fetch_optional(&mut *tx)
            .await?;
            let (account, tags) = named.unwrap_or_default();
            for (name, value) in texts(&tags) {
                sqlx::query(
                    "DELETE FROM event_tags WHERE account = $1 AND name = $2 AND value = $3 \
                     AND accepted_at = $4 AND event_id = $5",
                )
                .bind(&account)
                .bind(name)
                .bind(value)
                .bind(accepted_at)
                .bind(event)
                .execute(&mut *tx)
                .await?;
            }
            let events = sqlx::query(
                "UPDATE events SET tags = '{}', body = $3 WHERE id = $1 AND accepted_at = $2 \
                 AND body <> $3",
            )
            .bind(event)
            .bind(accepted_at)
            .bind(Vec::<u8>::new())
            .execute(&mut *tx)
            .await?;
            sqlx::query("DELETE FROM quarantine WHERE event_id = $1")
                .bind(event)
                .execute(&mut *tx)
                .await?;
            let count = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
            Ok(Erased {
                events: count(events.rows_affected()),
                attempts: count(attempts.rows_affected()),
                ..Erased::default()
            })
        })
    }
}

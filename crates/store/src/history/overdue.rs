//! What is due and has not happened.

use domain::{EventId, Timestamp};
use uuid::Uuid;

use super::History;
use crate::Error;

/// A delivery whose next attempt is due for long. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Overdue {
    pub id: Uuid,
    pub event_id: Uuid,
    pub endpoint_id: Uuid,
    pub account: String,
    pub event_type: String,
    /// A [`domain::Cause`].
    pub cause: String,
    /// What it waits for.
    pub reason: String,
    pub generation: i64,
    pub accepted_at: i64,
    /// The highest number of an attempt.
    pub last_number: i64,
    pub due_at: i64,
}

impl History {
    /// Deliveries that were due before an instant, beyond a place in their order:
    /// when each was due, and its id.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn overdue(
        &self,
        before: Timestamp,
        after: (i64, Uuid),
        limit: i64,
    ) -> Result<Vec<Overdue>, Error> {
        reading!(self.pool, connection => {
            Ok(sqlx::query_as(
                "SELECT id, event_id, endpoint_id, account, event_type, cause, reason, generation, \
                 accepted_at, last_number, COALESCE(next_attempt_at, planned_at) AS due_at \
                 FROM deliveries WHERE state = 'pending' \
                 AND COALESCE(next_attempt_at, planned_at) < $1 \
                 AND COALESCE(next_attempt_at, planned_at) >= $2 \
                 AND (COALESCE(next_attempt_at, planned_at), id) > ($2, $3) \
                 ORDER BY COALESCE(next_attempt_at, planned_at), id LIMIT $4",
            )
            .bind(before.unix_millis())
            .bind(after.0)
            .bind(after.1)
            .bind(limit)
            .fetch_all(&mut *connection)
            .await?)
        })
    }

    /// Notes that an overdue attempt is due from now on, unless anything was
    /// recorded of it since it was read; whether it was noted.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn now_due(&self, overdue: &Overdue, now: Timestamp) -> Result<bool, Error> {
        let changed = transaction!(self.pool, tx => {
            Ok(sqlx::query(
                "UPDATE deliveries SET next_attempt_at = $4 WHERE event_id = $1 AND id = $2 \
                 AND accepted_at = $3 AND state = 'pending' AND last_number = $5 \
                 AND COALESCE(next_attempt_at, planned_at) = $6",
            )
            .bind(overdue.event_id)
            .bind(overdue.id)
            .bind(overdue.accepted_at)
            .bind(now.unix_millis())
            .bind(overdue.last_number)
            .bind(overdue.due_at)
            .execute(&mut *tx)
            .await?
            .rows_affected())
        })?;
        Ok(changed > 0)
    }

    /// The body of an event, if it is still kept.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn body(
        &self,
        event: EventId,
        accepted_at: Timestamp,
    ) -> Result<Option<Vec<u8>>, Error> {
        let body: Option<Vec<u8>> = reading!(self.pool, connection => {
            Ok(sqlx::query_scalar("SELECT body FROM events WHERE id = $1 AND accepted_at = $2")
                .bind(event.uuid())
                .bind(accepted_at.unix_millis())
                .fetch_optional(&mut *connection)
                .await?)
        })?;
        Ok(body.filter(|body| !body.is_empty()))
    }
}

//! A delivery by its own id.

use domain::{AccountId, DeliveryId};
use sqlx::FromRow;

use super::span::Span;
use super::{DeliveryRow, History};
use crate::Error;

#[derive(FromRow)]
struct Typed {
    event_type: String,
    #[sqlx(flatten)]
    row: DeliveryRow,
}

impl History {
    /// A delivery of an account, with the type of its event.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn delivery(
        &self,
        account: &AccountId,
        id: DeliveryId,
    ) -> Result<Option<(String, DeliveryRow)>, Error> {
        for span in Span::guesses(id.uuid()) {
            let found: Option<Typed> = reading!(self.pool, connection => {
                Ok(sqlx::query_as(
                    "SELECT event_type, id, event_id, endpoint_id, cause, state, reason, attempts, \
                     next_attempt_at FROM deliveries WHERE id = $1 AND (account = $2) IS TRUE \
                     AND accepted_at >= $3 AND accepted_at <= $4 LIMIT 1",
                )
                .bind(id.uuid())
                .bind(account.as_str())
                .bind(span.first)
                .bind(span.last)
                .fetch_optional(&mut *connection)
                .await?)
            })?;
            if let Some(found) = found {
                return Ok(Some((found.event_type, found.row)));
            }
        }
        Ok(None)
    }
}

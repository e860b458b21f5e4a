use domain::{AccountId, EndpointId, EventId};
use uuid::Uuid;

use super::{DeliveryRow, History};
use crate::Error;

/// What is needed to send an event again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResendSource {
    pub event_type: String,
    /// Unix milliseconds.
    pub accepted_at: i64,
    pub body: Vec<u8>,
    /// 32 hex digits.
    pub trace_id: String,
    /// A delivery to the endpoint that is under way, if there is one, with the
    /// highest number of its attempts and its generation.
    pub pending: Option<(DeliveryRow, i64, i64)>,
}

impl History {
    /// What is needed to send an event to an endpoint again.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn resend_source(
        &self,
        account: &AccountId,
        event: EventId,
        endpoint: EndpointId,
    ) -> Result<Option<ResendSource>, Error> {
        let found: Option<(String, i64, Vec<u8>, String)> = reading!(self.pool, connection => {
            Ok(sqlx::query_as(
                "SELECT event_type, accepted_at, body, trace_id FROM events \
                 WHERE id = $1 AND account = $2",
            )
            .bind(event.uuid())
            .bind(account.as_str())
            .fetch_optional(&mut *connection)
            .await?)
        })?;
        let Some((event_type, accepted_at, body, trace_id)) = found else {
            return Ok(None);
        };
        let pending: Option<DeliveryRow> = reading!(self.pool, connection => {
            Ok(sqlx::query_as(
                "SELECT id, event_id, endpoint_id, cause, state, reason, attempts, \
                 next_attempt_at FROM deliveries WHERE event_id = $1 AND endpoint_id = $2 \
                 AND state = 'pending' ORDER BY id DESC LIMIT 1",
            )
            .bind(event.uuid())
            .bind(endpoint.uuid())
            .fetch_optional(&mut *connection)
            .await?)
        })?;
        let pending = match pending {
            None => None,
            Some(row) => {
                let numbers: Option<(i64, i64)> = self.numbers(event.uuid(), row.id).await?;
                numbers.map(|(last_number, generation)| (row, last_number, generation))
            }
        };
        Ok(Some(ResendSource {
            event_type,
            accepted_at,
            body,
            trace_id,
            pending,
        }))
    }

    async fn numbers(&self, event: Uuid, delivery: Uuid) -> Result<Option<(i64, i64)>, Error> {
        reading!(self.pool, connection => {
            Ok(sqlx::query_as("SELECT last_number, generation FROM deliveries WHERE event_id = $1 AND id = $2")
                .bind(event)
                .bind(delivery)
                .fetch_optional(&mut *connection)
                .await?)
        })
    }
}

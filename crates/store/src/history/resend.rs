use domain::{AccountId, EndpointId, EventId, NotSent};
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
    /// Whether it is known where it went first.
    pub planned: bool,
    /// Whether it is a test event, which is for one endpoint only.
    pub test: bool,
    /// Whether this endpoint is the one.
    pub test_of_endpoint: bool,
    /// How many deliveries of it to the endpoint are recorded.
    pub deliveries: u64,
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
        type Found = (
            String,
            i64,
            Vec<u8>,
            String,
            bool,
            bool,
            Option<Vec<u8>>,
            i64,
        );
        let found: Option<Found> = reading!(self.pool, connection => {
            Ok(sqlx::query_as(
                "SELECT event_type, accepted_at, body, trace_id, test, \
                 EXISTS (SELECT 1 FROM deliveries AS d WHERE d.event_id = events.id \
                 AND d.accepted_at = events.accepted_at AND d.endpoint_id = $3 AND d.cause = 'test') OR \
                 EXISTS (SELECT 1 FROM not_sent AS n WHERE n.event_id = events.id \
                 AND n.accepted_at = events.accepted_at AND n.endpoint_id = $3), \
                 (SELECT p.not_sent FROM plans AS p WHERE p.event_id = events.id \
                 AND p.accepted_at = events.accepted_at), \
                 (SELECT COUNT(*) FROM deliveries AS d WHERE d.event_id = events.id \
                 AND d.accepted_at = events.accepted_at AND d.endpoint_id = $3) \
                 FROM events WHERE id = $1 AND account = $2",
            )
            .bind(event.uuid())
            .bind(account.as_str())
            .bind(endpoint.uuid())
            .fetch_optional(&mut *connection)
            .await?)
        })?;
        let Some(found) = found else {
            return Ok(None);
        };
        let (event_type, accepted_at, body, trace_id, test, told_of, not_sent, deliveries) = found;
        let planned = not_sent.is_some();
        let not_sent = NotSent::from_bytes(not_sent.unwrap_or_default().into());
        let is_named = not_sent.iter().any(|(named, _)| named == endpoint);
        let pending: Option<DeliveryRow> = reading!(self.pool, connection => {
            Ok(sqlx::query_as(
                "SELECT id, event_id, endpoint_id, cause, state, reason, attempts, \
                 next_attempt_at FROM deliveries WHERE event_id = $1 AND endpoint_id = $2 \
                 AND accepted_at = $3 AND state = 'pending' ORDER BY id DESC LIMIT 1",
            )
            .bind(event.uuid())
            .bind(endpoint.uuid())
            .bind(accepted_at)
            .fetch_optional(&mut *connection)
            .await?)
        })?;
        let pending = match pending {
            None => None,
            Some(row) => {
                let numbers: Option<(i64, i64)> =
                    self.numbers(accepted_at, event.uuid(), row.id).await?;
                numbers.map(|(last_number, generation)| (row, last_number, generation))
            }
        };
        Ok(Some(ResendSource {
            event_type,
            accepted_at,
            body,
            trace_id,
            planned,
            test,
            // A plan names no other endpoint for it.
            test_of_endpoint: test && (told_of || is_named),
            deliveries: u64::try_from(deliveries).unwrap_or(0),
            pending,
        }))
    }

    async fn numbers(
        &self,
        accepted_at: i64,
        event: Uuid,
        delivery: Uuid,
    ) -> Result<Option<(i64, i64)>, Error> {
        reading!(self.pool, connection => {
            Ok(sqlx::query_as(
                "SELECT last_number, generation FROM deliveries \
                 WHERE event_id = $1 AND id = $2 AND accepted_at = $3",
            )
                .bind(event)
                .bind(delivery)
                .bind(accepted_at)
                .fetch_optional(&mut *connection)
                .await?)
        })
    }
}

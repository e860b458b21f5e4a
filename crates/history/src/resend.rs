//! Sending an event again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use domain::{
    AccountId, Cause, Content, DeferralReason, Delivery, DeliveryEvent, DeliveryId, Endpoint,
    EventId, EventType, Problem, Reason, Timestamp,
};
use store::ResendSource;
use telemetry::trace;
use tokio::time::timeout;

use crate::Shared;
use crate::again::NewDelivery;
use crate::service::{broker_down, database, event_not_found};

/// The answer comes when JetStream holds it.
const PATIENCE: Duration = Duration::from_secs(5);

impl Shared {
    /// Sends an event to an endpoint again, and gives the delivery's id. What
    /// is under way is brought forward instead.
    pub(crate) async fn resend(
        &self,
        account: &AccountId,
        event: EventId,
        endpoint: &Endpoint,
    ) -> Result<DeliveryId, Problem> {
        if endpoint.disabled {
            let detail = "the endpoint is disabled; enable it and send the event again";
            return Err(Problem::new(Reason::EndpointDisabled, detail));
        }
        if endpoint.awaits_verification() {
            let detail = "the endpoint is not verified yet; have it echo its challenge first";
            return Err(Problem::new(Reason::EndpointUnverified, detail));
        }
        if !self.deps.broker.is_connected() {
            return Err(broker_down());
        }
        let source = self
            .deps
            .store
            .resend_source(account, event, endpoint.id)
            .await;
        let source = source
            .map_err(|error| database(&error))?
            .ok_or_else(event_not_found)?;
        if source.body.is_empty() {
            let detail = "the event was erased: there is nothing left to send";
            return Err(Problem::new(Reason::BodyExpired, detail));
        }
        if source.test && !source.test_of_endpoint {
            let message = "this is a test event of another endpoint; send this one a test event \
                           of its own";
            return Err(Problem::of_field(
                Reason::FieldInvalid,
                "endpoint_id",
                message,
            ));
        }
        let again = Again {
            account,
            event,
            endpoint,
            source,
        };
        let sent = timeout(PATIENCE, again.send(self)).await;
        sent.map_err(|_| broker_down())?
    }
}

struct Again<'a> {
    account: &'a AccountId,
    event: EventId,
    endpoint: &'a Endpoint,
    source: ResendSource,
}

impl Again<'_> {
    async fn send(self, shared: &Shared) -> Result<DeliveryId, Problem> {
        let carried = Arc::new(self.carried()?);
        let broker = &shared.deps.broker;
        let delivery = |id, cause, number, generation| Delivery {
            id,
            endpoint_id: self.endpoint.id,
            event: Arc::clone(&carried),
            cause,
            attempt_number: number,
            directory_revision: shared.deps.endpoints.revision(),
            endpoint_generation: generation,
            previous_attempt: None,
        };
        if let Some((row, last_number, generation)) = &self.source.pending {
            let id = DeliveryId::from_uuid(row.id);
            // One that was not tried yet, or is due and waits for a limit, is on its
            // way as it is.
            let waits = row.reason.parse::<DeferralReason>().is_ok();
            if row.next_attempt_at.is_some() && !waits {
                let cause = row.cause.parse().unwrap_or(Cause::Event);
                let number = u32::try_from(last_number + 1).unwrap_or(u32::MAX);
                let generation = u64::try_from(*generation).unwrap_or(0);
                let next = delivery(id, cause, number, generation);
                broker
                    .bring_forward(&next, now())
                    .await
                    .map_err(|_| broker_down())?;
            }
            return Ok(id);
        }
        let id = DeliveryId::resent(self.event, self.endpoint.id, self.source.deliveries);
        // A test stays one: outside stats and health.
        let cause = if self.source.test {
            Cause::Test
        } else {
            Cause::Resend
        };
        let new = NewDelivery {
            id,
            cause,
            endpoint: self.endpoint,
            event: carried,
        };
        new.publish(shared).await.map_err(|_| broker_down())?;
        Ok(id)
    }

    /// The event as a delivery carries it, its body with it.
    fn carried(&self) -> Result<DeliveryEvent, Problem> {
        Ok(DeliveryEvent {
            id: self.event,
            account: self.account.clone(),
            event_type: EventType::parse(&self.source.event_type)?,
            accepted_at: Timestamp::from_unix_millis(self.source.accepted_at),
            content: Content::Inline(Bytes::from(self.source.body.clone())),
            trace: trace::current().unwrap_or_else(|| trace::entered(None)),
        })
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

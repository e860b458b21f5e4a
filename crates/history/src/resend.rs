//! Sending an event again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::{
    AccountId, Cause, Content, DeferralReason, Delivery, DeliveryEvent, DeliveryId, Endpoint,
    EndpointId, EventId, EventType, Problem, Reason, Timestamp,
};
use store::{DeliveryRow, ResendSource};
use telemetry::trace;
use tokio::time::timeout;

use crate::Shared;
use crate::again::NewDelivery;
use crate::jobs::now;
use crate::service::{RETRY_AFTER, broker_down, database, event_not_found};

/// The answer comes when JetStream holds it.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

/// An event that is older and has no plan never gets one: its row was removed, or it
/// was recorded by a version that knew none.
const UNPLANNED: Duration = Duration::from_secs(600);

/// The delivery that an event is sent again by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resent {
    pub(crate) id: DeliveryId,
    pub(crate) outcome: Outcome,
}

/// What became of a wish to send again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Created,
    BroughtForward,
    /// It is on its way as it is: not tried yet, or it waits for this.
    AlreadyPending(Option<DeferralReason>),
}

impl Outcome {
    /// As the API calls it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::BroughtForward => "brought_forward",
            Self::AlreadyPending(_) => "already_pending",
        }
    }

    /// What is waited for; empty: nothing in particular.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::AlreadyPending(Some(reason)) => reason.as_str(),
            _ => "",
        }
    }

    /// What can be done about a delivery that is under way. One that was not tried
    /// yet, or is due and waits for a limit, is on its way as it is.
    fn of_pending(row: &DeliveryRow) -> Self {
        match (row.reason.parse().ok(), row.next_attempt_at) {
            (None, Some(_)) => Self::BroughtForward,
            (waits_for, _) => Self::AlreadyPending(waits_for),
        }
    }
}

impl Shared {
    /// What is to be sent. Of a young event whose plan is not recorded yet it is not
    /// known whether it is under way: that is waited for.
    async fn resend_source(
        &self,
        account: &AccountId,
        event: EventId,
        endpoint: EndpointId,
    ) -> Result<ResendSource, Problem> {
        let asked = Instant::now();
        loop {
            let source = self.deps.store.resend_source(account, event, endpoint);
            let source = source.await.map_err(|error| database(&error))?;
            let source = source.ok_or_else(event_not_found)?;
            let age = now().since(Timestamp::from_unix_millis(source.accepted_at));
            if source.planned || age > UNPLANNED {
                return Ok(source);
            }
            if asked.elapsed() > PATIENCE {
                let detail = "where the event goes is not recorded yet; send it again in a moment";
                let problem = Problem::new(Reason::DatabaseUnavailable, detail);
                return Err(problem.retry_after(RETRY_AFTER));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sends an event to an endpoint again. What is under way is brought forward
    /// instead, where that is up to anybody.
    pub(crate) async fn resend(
        &self,
        account: &AccountId,
        event: EventId,
        endpoint: &Endpoint,
    ) -> Result<Resent, Problem> {
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
        let source = self.resend_source(account, event, endpoint.id).await?;
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
    async fn send(self, shared: &Shared) -> Result<Resent, Problem> {
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
            let outcome = Outcome::of_pending(row);
            if outcome == Outcome::BroughtForward {
                let cause = row.cause.parse().unwrap_or(Cause::Event);
                let number = u32::try_from(last_number + 1).unwrap_or(u32::MAX);
                let generation = u64::try_from(*generation).unwrap_or(0);
                let next = delivery(id, cause, number, generation);
                broker
                    .bring_forward(&next, now())
                    .await
                    .map_err(|_| broker_down())?;
            }
            return Ok(Resent { id, outcome });
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
        let outcome = Outcome::Created;
        Ok(Resent { id, outcome })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_retry_is_brought_forward() {
        let outcome = |reason: &str, next_attempt_at| {
            let outcome = Outcome::of_pending(&DeliveryRow {
                id: uuid::Uuid::nil(),
                event_id: uuid::Uuid::nil(),
                endpoint_id: uuid::Uuid::nil(),
                cause: "event".to_owned(),
                state: "pending".to_owned(),
                reason: reason.to_owned(),
                attempts: 0,
                next_attempt_at,
            });
            (outcome.as_str(), outcome.reason())
        };
        assert_eq!(outcome("", None), ("already_pending", ""));
        assert_eq!(outcome("retrying", Some(1)), ("brought_forward", ""));
        for waits in ["throttled", "paused"] {
            for told in [None, Some(1)] {
                assert_eq!(outcome(waits, told), ("already_pending", waits));
            }
        }
    }
}

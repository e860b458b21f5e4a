//! What is done with one attempt: post it, record what happened, schedule what
//! comes next.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use broker::{Broker, ErasureDirectory, RecordPublisher};
use bytes::Bytes;
use domain::{
    Cause, Content, DeferralReason, Delivery, Endpoint, EndpointId, Outcome, Record, Timestamp,
    TraceContext,
};
use futures::future::join_all;
use proto::pipeline::DisableEndpoint;
use telemetry::trace::AttemptsInTrace;
use tokio::time::timeout;
use tracing::{debug, error, warn};

use crate::attempt::Sender;
use crate::decide::End;
use crate::item::Item;
use crate::lease::Deadline;
use crate::metrics::Metrics;
use crate::secrets::{Keyring, NotOpened};
use crate::settled::Settlement;
use crate::spans::Spans;
use crate::step::{self, Step, stripped};

/// For one read of a body from EVENTS.
const BODY_PATIENCE: Duration = Duration::from_secs(5);

/// Between two reads of a body.
const PAUSE: Duration = Duration::from_millis(250);

/// An attempt was not settled here, now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsettled {
    #[error("the partition is somebody else's")]
    NotOwned,
    #[error(transparent)]
    Secret(#[from] NotOpened),
    #[error("could not publish what became of it")]
    Publish(#[from] broker::Error),
}

/// All that attempts share.
#[derive(Debug)]
pub(crate) struct Deliver {
    pub(crate) broker: Broker,
    pub(crate) records: RecordPublisher,
    pub(crate) erasures: ErasureDirectory,
    pub(crate) keyring: Keyring,
    pub(crate) sender: Sender,
    pub(crate) metrics: Metrics,
    pub(crate) in_trace: AttemptsInTrace,
}

impl Deliver {
    /// Makes the attempt, if `deadline` still holds when everything is there
    /// that it needs.
    ///
    /// # Errors
    ///
    /// Then nothing was posted.
    pub(crate) async fn post(
        &self,
        item: &Item,
        endpoint: &Endpoint,
        deadline: &Deadline,
        mut spans: Box<Spans>,
    ) -> Result<Step, Unsettled> {
        let delivery = &item.delivery;
        if self.is_erased(delivery) {
            return Ok(Step::end(delivery, End::ERASED));
        }
        let event = &delivery.event;
        if event.event_type.is_challenge()
            && domain::challenge::is_expired(event.accepted_at, now())
        {
            return Ok(Step::end(delivery, End::UNVERIFIED));
        }
        let secrets = self.keyring.secrets(endpoint)?;
        let Some(body) = self.body(delivery).await else {
            return Ok(Step::end(delivery, End::BODY_EXPIRED));
        };
        if !deadline.holds(Instant::now()) {
            return Err(Unsettled::NotOwned);
        }
        if delivery.attempt_number == 1 && delivery.cause == Cause::Event {
            let accepted_at = delivery.event.accepted_at;
            self.metrics.begun(accepted_at, item.is_parked(), now());
        }
        spans.post_begins();
        let made = self
            .sender
            .send(delivery, endpoint, &secrets, body, &spans.post)
            .await;
        spans.post_ended(delivery, endpoint, &made.attempt);
        debug!(
            delivery = %delivery.id,
            status = made.attempt.response_status,
            failure = made.attempt.failure.as_ref().map(|failure| failure.class.as_str()),
            "attempt {} of {} was made", delivery.attempt_number, delivery.id,
        );
        Ok(Step::made(delivery, endpoint, made, spans))
    }

    /// Returns when JetStream holds what became of an attempt, and its next one.
    ///
    /// # Errors
    ///
    /// When the server refuses a part for good.
    pub(crate) async fn conclude(&self, item: &Item, step: Step) -> Result<Settlement, Unsettled> {
        let delivery = &item.delivery;
        // A step is an attempt or an end: both settle.
        let settlement = Settlement::of(&step.record).unwrap_or(Settlement {
            next_attempt_at: None,
        });
        if let Some(command) = step.verified {
            // Before it is recorded: what is recorded is not done again.
            Box::pin(self.broker.send_verify(*command)).await?;
        }
        self.metrics.record(&step.record, now());
        let record = Arc::new(step.record);
        let trace = step.spans.as_ref().map(|spans| spans.post.clone());
        let (recorded, gone) =
            tokio::join!(self.record(Arc::clone(&record)), self.disable(step.gone),);
        if let Some(spans) = step.spans {
            spans.settled(item, &record);
        }
        recorded?;
        gone?;
        // Only then: whoever comes after a crash finds the attempt settled, and
        // schedules the next one. The other way round there would be both.
        self.schedule(delivery, trace, settlement).await?;
        Ok(settlement)
    }

    /// Sees to it that the next attempt of what was done before is scheduled;
    /// the message id makes it one.
    pub(crate) async fn repeat(&self, delivery: &Delivery, settlement: Settlement) {
        self.metrics.repeat();
        if let Err(error) = self.schedule(delivery, None, settlement).await {
            error!(%error, delivery = %delivery.id, "the next attempt of {} is lost", delivery.id);
        }
    }

    /// Whether the delivery's event is erased: then nothing of it is to be sent,
    /// nor to be put away for later.
    pub(crate) fn is_erased(&self, delivery: &Delivery) -> bool {
        let event = &delivery.event;
        let erasures = &self.erasures;
        erasures.covers(event.id, &event.account, event.accepted_at)
    }

    /// Moves deliveries of one endpoint to PARKED. Gives the sequence; 0 if there
    /// are none.
    ///
    /// # Errors
    ///
    /// When the server refuses them.
    pub(crate) async fn park(
        &self,
        endpoint: EndpointId,
        deliveries: &[Delivery],
        reason: DeferralReason,
    ) -> Result<u64, broker::Error> {
        if deliveries.is_empty() {
            return Ok(0);
        }
        let sequence = self.broker.park(endpoint, deliveries).await?;
        self.metrics.parked(deliveries.len(), reason);
        Ok(sequence)
    }

    /// Records why deliveries wait. Only told: one that cannot be recorded is
    /// parked all the same.
    pub(crate) async fn defer(
        &self,
        deliveries: &[Delivery],
        reason: DeferralReason,
        until: Option<Timestamp>,
    ) {
        let deferred =
            |delivery| Arc::new(step::record(delivery, Outcome::Deferred { reason, until }));
        let records = deliveries.iter().map(deferred);
        for recorded in join_all(records.map(|record| self.records.publish(record))).await {
            if let Err(error) = recorded {
                warn!(%error, "why a delivery waits is not recorded");
            }
        }
    }

    /// The event's body; `None` if EVENTS no longer holds it. Waits out outages.
    async fn body(&self, delivery: &Delivery) -> Option<Bytes> {
        let sequence = match &delivery.event.content {
            Content::Inline(body) => return Some(body.clone()),
            Content::EventsSequence(sequence) => *sequence,
        };
        loop {
            let read = Box::pin(self.broker.event_at(sequence));
            match timeout(BODY_PATIENCE, read).await {
                // A stream that was made anew holds another event there.
                Ok(Ok(event)) => {
                    return event
                        .filter(|event| event.id == delivery.event.id)
                        .map(|event| event.body);
                }
                Ok(Err(error)) if !error.is_outage() => {
                    error!(%error, sequence, event = %delivery.event.id, "the body of {} cannot be read", delivery.event.id);
                    return None;
                }
                Ok(Err(error)) => debug!(%error, sequence, "cannot read a body yet"),
                Err(_) => debug!(sequence, "reading a body took too long"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Returns when JetStream holds the record. One that is refused must not
    /// lead to a second POST: it is stripped, and if that does not help, lost.
    async fn record(&self, record: Arc<Record>) -> Result<(), broker::Error> {
        let refusal = match self.records.publish(Arc::clone(&record)).await {
            Err(broker::Error::Refused(refusal)) => refusal,
            other => return other,
        };
        let (delivery, number) = (record.delivery_id, record.attempt_number);
        warn!(refusal, %delivery, "the record of attempt {number} of {delivery} is stripped");
        match self.records.publish(Arc::new(stripped(&record))).await {
            Err(broker::Error::Refused(refusal)) => {
                error!(refusal, %delivery, "the record of attempt {number} of {delivery} is lost");
                Ok(())
            }
            other => other,
        }
    }

    async fn disable(&self, command: Option<DisableEndpoint>) -> Result<(), broker::Error> {
        match command {
            // On the heap, as the other rare ones: an attempt's task is moved
            // several times, and has room for each future it may await.
            Some(command) => Box::pin(self.broker.send_disable(command)).await,
            None => Ok(()),
        }
    }

    /// Schedules the next attempt, if there is one.
    async fn schedule(
        &self,
        delivery: &Delivery,
        trace: Option<TraceContext>,
        settlement: Settlement,
    ) -> Result<(), broker::Error> {
        let Some(at) = settlement.next_attempt_at else {
            return Ok(());
        };
        if self.is_erased(delivery) {
            return Ok(());
        }
        let next = Delivery {
            attempt_number: delivery.attempt_number + 1,
            previous_attempt: trace,
            ..delivery.clone()
        };
        Box::pin(self.broker.schedule_retry(&next, at)).await
    }
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

//! The way of one delivery: claim it, wait for a slot, send it, record what
//! happened, schedule what comes next.

use std::time::{Duration, SystemTime};

use broker::{Broker, EndpointDirectory, RecordPublisher};
use bytes::Bytes;
use domain::{Content, Delivery, Endpoint, Record, Timestamp, TraceContext};
use proto::pipeline::DisableEndpoint;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::attempt::Sender;
use crate::decide::{self, End};
use crate::follow::settlement;
use crate::metrics::Metrics;
use crate::secrets::{Keyring, NotOpened};
use crate::settled::{Claim, SettledSet, Settlement};
use crate::slots::{Slot, Slots};
use crate::step::{Step, stripped};

/// For the directory to see a revision, before it is said and waited again.
const DIRECTORY_PATIENCE: Duration = Duration::from_secs(5);

/// For one read of a body from EVENTS.
const BODY_PATIENCE: Duration = Duration::from_secs(5);

/// Between two reads of a body.
const PAUSE: Duration = Duration::from_millis(250);

/// A delivery was not settled now. Its message must come again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsettled {
    #[error("the dispatcher is shutting down")]
    ShuttingDown,
    #[error(transparent)]
    Secret(#[from] NotOpened),
    #[error("could not publish what became of it")]
    Publish(#[from] broker::Error),
}

/// All that deliveries share.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) broker: Broker,
    pub(crate) endpoints: EndpointDirectory,
    pub(crate) records: RecordPublisher,
    pub(crate) settled: SettledSet,
    pub(crate) slots: Slots,
    pub(crate) keyring: Keyring,
    pub(crate) sender: Sender,
    pub(crate) metrics: Metrics,
    /// Cancelled: nothing new is sent; what is in flight is finished.
    pub(crate) shutdown: CancellationToken,
}

impl Dispatch {
    /// Sees to it that this attempt has been made, its outcome recorded and the
    /// next one scheduled; at most once, as far as anybody's records tell.
    ///
    /// # Errors
    ///
    /// When it could not, now. Nothing was posted, or it is in the settled set.
    pub(crate) async fn settle(&self, delivery: &Delivery) -> Result<(), Unsettled> {
        loop {
            match self.settled.claim((delivery.id, delivery.attempt_number)) {
                Claim::Done(settlement) => return self.settle_again(delivery, settlement).await,
                Claim::InProgress(mut end) => {
                    // It never changes: it closes when the other is through.
                    let _ = end.changed().await;
                }
                Claim::New(ticket) => {
                    let step = self.take_step(delivery).await?;
                    let settlement = settlement(&step.record);
                    self.metrics.record(&step.record, now());
                    let (recorded, gone, scheduled) = tokio::join!(
                        self.record(step.record),
                        self.disable(step.gone),
                        self.schedule(delivery, step.trace, settlement),
                    );
                    recorded?;
                    // From here on a repeat finds it, and only schedules again.
                    ticket.settle(settlement, now());
                    gone?;
                    return scheduled;
                }
            }
        }
    }

    /// It has been made. The process may have ended before the next attempt was
    /// scheduled, so that is done again; the message id makes it one.
    async fn settle_again(
        &self,
        delivery: &Delivery,
        settlement: Settlement,
    ) -> Result<(), Unsettled> {
        self.metrics.repeat();
        if self
            .settled
            .knows((delivery.id, delivery.attempt_number + 1))
        {
            return Ok(());
        }
        self.schedule(delivery, None, settlement).await
    }

    /// Makes the attempt, or finds that there is none to make.
    async fn take_step(&self, delivery: &Delivery) -> Result<Step, Unsettled> {
        let slot = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return Err(Unsettled::ShuttingDown),
            slot = self.slot(delivery) => slot,
        };
        // Looked up only now: it may have changed while this waited.
        let endpoint = self.endpoints.get(delivery.endpoint_id);
        let step = match decide::admit(delivery, endpoint.as_deref()) {
            Ok(endpoint) => self.send(delivery, endpoint).await,
            Err(end) => Ok(Step::end(delivery, end)),
        };
        drop(slot);
        step
    }

    /// Waits for what the delivery was planned with, then for its turn.
    async fn slot(&self, delivery: &Delivery) -> Slot {
        let revision = delivery.directory_revision;
        while let Err(error) = self.endpoints.wait_for(revision, DIRECTORY_PATIENCE).await {
            debug!(%error, revision, delivery = %delivery.id, "{} waits for the directory", delivery.id);
        }
        self.slots.acquire(delivery.endpoint_id).await
    }

    async fn send(&self, delivery: &Delivery, endpoint: &Endpoint) -> Result<Step, Unsettled> {
        let secrets = self.keyring.secrets(endpoint)?;
        let body = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return Err(Unsettled::ShuttingDown),
            body = self.body(delivery) => body,
        };
        let Some(body) = body else {
            return Ok(Step::end(delivery, End::BODY_EXPIRED));
        };
        let made = self.sender.send(delivery, endpoint, &secrets, body).await;
        debug!(
            delivery = %delivery.id,
            status = made.attempt.response_status,
            failure = made.attempt.failure.as_ref().map(|failure| failure.class.as_str()),
            "attempt {} of {} was made", delivery.attempt_number, delivery.id,
        );
        Ok(Step::made(delivery, endpoint, made))
    }

    /// The event's body; `None` if EVENTS no longer holds it. Waits out outages.
    async fn body(&self, delivery: &Delivery) -> Option<Bytes> {
        let sequence = match &delivery.event.content {
            Content::Inline(body) => return Some(body.clone()),
            Content::EventsSequence(sequence) => *sequence,
        };
        loop {
            match timeout(BODY_PATIENCE, self.broker.event_at(sequence)).await {
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
    async fn record(&self, record: Record) -> Result<(), broker::Error> {
        let refusal = match self.records.publish(record.clone()).await {
            Err(broker::Error::Refused(refusal)) => refusal,
            other => return other,
        };
        let (delivery, number) = (record.delivery_id, record.attempt_number);
        warn!(refusal, %delivery, "the record of attempt {number} of {delivery} is stripped");
        match self.records.publish(stripped(record)).await {
            Err(broker::Error::Refused(refusal)) => {
                error!(refusal, %delivery, "the record of attempt {number} of {delivery} is lost");
                Ok(())
            }
            other => other,
        }
    }

    async fn disable(&self, command: Option<DisableEndpoint>) -> Result<(), broker::Error> {
        match command {
            Some(command) => self.broker.send_disable(command).await,
            None => Ok(()),
        }
    }

    /// Schedules the next attempt, if there is one.
    async fn schedule(
        &self,
        delivery: &Delivery,
        trace: Option<TraceContext>,
        settlement: Settlement,
    ) -> Result<(), Unsettled> {
        let Some(at) = settlement.next_attempt_at else {
            return Ok(());
        };
        let next = Delivery {
            attempt_number: delivery.attempt_number + 1,
            previous_attempt: trace,
            ..delivery.clone()
        };
        Ok(self.broker.schedule_retry(&next, at).await?)
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

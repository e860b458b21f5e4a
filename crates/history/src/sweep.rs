//! The sweeper: an attempt that is due for long, and of which no message stands
//! anywhere any more, is sent for again, with the same number. Its normal count
//! is zero; whatever else it finds is a fault of the broker, or of ours.
//!
//! It trusts SQL only while recording is current, and sends for nothing that a
//! stream still holds: neither an outage of the database nor one of the
//! dispatchers makes it send twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use broker::RecordPublisher;
use bytes::Bytes;
use domain::{
    AccountId, Cause, Content, DeferralReason, Delivery, DeliveryEvent, DeliveryId, DeliveryState,
    EndedReason, Endpoint, EndpointId, EventId, EventType, Outcome, Partition, Record, Timestamp,
};
use opentelemetry::metrics::Counter;
use store::{Error, Overdue};
use telemetry::{metric, trace};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::Shared;
use crate::jobs::now;

/// Between two rounds, while nothing is overdue for longer than this.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);
/// Deliveries that are read at once, and looked at in one round: of a paused
/// endpoint many are overdue, and parked.
const PAGE: i64 = 256;
const ROUND: usize = 4_096;

/// Before all.
const BEGINNING: (i64, Uuid) = (i64::MIN, Uuid::nil());

/// Sweeps until `shutdown` is cancelled.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let after = shared.config.sweep_after;
    let interval = (after / 5).min(LONGEST_INTERVAL);
    let publishing = TaskTracker::new();
    let mut sweeper = Sweeper {
        records: RecordPublisher::start(&shared.deps.broker, &publishing),
        shared: &shared,
        after,
        place: BEGINNING,
        swept: metric::HISTORY_SWEPT.counter_from_zero(),
    };
    loop {
        tokio::select! {
            () = sleep(interval) => {}
            () = shutdown.cancelled() => return,
        }
        tokio::select! {
            swept = sweeper.round() => match swept {
                Ok(0) => {}
                Ok(swept) => warn!(swept, "{swept} overdue attempts were lost and are sent for again"),
                Err(error) => debug!(%error, "nothing is swept now"),
            },
            () = shutdown.cancelled() => return,
        }
    }
}

struct Sweeper<'a> {
    shared: &'a Shared,
    records: RecordPublisher,
    /// How long an attempt must be overdue.
    after: Duration,
    /// Up to where the last round has looked.
    place: (i64, Uuid),
    swept: Counter<u64>,
}

/// What streams hold, as it was found in one round.
#[derive(Default)]
struct Streams {
    oldest_due: HashMap<Partition, Option<Timestamp>>,
    parked: HashMap<EndpointId, bool>,
}

impl Sweeper<'_> {
    /// Looks at some of what is overdue; how many were sent for.
    async fn round(&mut self) -> Result<u64, Error> {
        let deps = &self.shared.deps;
        if !deps.broker.is_connected() || !deps.endpoints.is_current() {
            return Ok(0);
        }
        let before = now().minus(self.after);
        let (mut streams, mut looked_at, mut swept) = (Streams::default(), 0, 0);
        while looked_at < ROUND {
            let overdue = deps.store.overdue(before, self.place, PAGE).await?;
            let Some(last) = overdue.last() else {
                // The next round begins anew.
                self.place = BEGINNING;
                break;
            };
            let next = (last.due_at, last.id);
            // What was recorded since it was read is told then.
            self.shared.recording_is_current(self.after / 2).await?;
            for one in &overdue {
                if self.is_lost(one, &mut streams).await? && self.send(one).await? {
                    swept += 1;
                    self.swept.add(1, &[]);
                }
            }
            looked_at += overdue.len();
            self.place = next;
        }
        Ok(swept)
    }

    /// Whether no message of it stands anywhere. One that is due stands in the
    /// stream since about then, until it is recorded; one that was deferred is
    /// parked, in the order of its endpoint.
    async fn is_lost(&self, one: &Overdue, streams: &mut Streams) -> Result<bool, Error> {
        let broker = &self.shared.deps.broker;
        let endpoint = EndpointId::from_uuid(one.endpoint_id);
        let partition = self.shared.config.partitions.of(endpoint);
        let oldest = match streams.oldest_due.get(&partition) {
            Some(oldest) => *oldest,
            None => {
                let oldest = broker.oldest_due(partition).await.map_err(outage)?;
                streams.oldest_due.insert(partition, oldest);
                oldest
            }
        };
        let due_at = Timestamp::from_unix_millis(one.due_at);
        if oldest.is_some_and(|oldest| oldest <= due_at.plus(self.after)) {
            return Ok(false);
        }
        if one.reason.parse::<DeferralReason>().is_ok() {
            let parked = match streams.parked.get(&endpoint) {
                Some(parked) => *parked,
                None => {
                    let parked = broker.has_parked(endpoint).await.map_err(outage)?;
                    streams.parked.insert(endpoint, parked);
                    parked
                }
            };
            if parked {
                return Ok(false);
            }
        }
        let delivery = DeliveryId::from_uuid(one.id);
        let scheduled = broker.is_scheduled(endpoint, delivery).await;
        scheduled.map(|scheduled| !scheduled).map_err(outage)
    }

    /// Publishes it, unless something was recorded of it meanwhile; whether it
    /// did.
    async fn send(&self, one: &Overdue) -> Result<bool, Error> {
        let deps = &self.shared.deps;
        let id = EndpointId::from_uuid(one.endpoint_id);
        let endpoint = deps.endpoints.get(id);
        // What is to be cancelled is told by the directory.
        let active = |endpoint: &Arc<Endpoint>| {
            let generation = u64::try_from(one.generation).unwrap_or(0);
            !endpoint.disabled && generation >= endpoint.generation
        };
        if !endpoint.is_some_and(|endpoint| active(&endpoint)) {
            return Ok(false);
        }
        let event = EventId::from_uuid(one.event_id);
        let accepted_at = Timestamp::from_unix_millis(one.accepted_at);
        let body = deps.store.body(event, accepted_at).await?;
        // Claims it: another process does not send it too.
        if !deps.store.now_due(one, now()).await? {
            return Ok(false);
        }
        match body {
            Some(body) => self.publish(one, body).await?,
            None => self.give_up(one).await?,
        }
        Ok(true)
    }

    async fn publish(&self, one: &Overdue, body: Vec<u8>) -> Result<(), Error> {
        let publishers = self.shared.publishers.get();
        let publishers = publishers.ok_or_else(|| outage(broker::Error::Closed))?;
        let record = record(one)?;
        let event = DeliveryEvent {
            id: record.event_id,
            account: record.account,
            event_type: record.event_type,
            accepted_at: record.accepted_at,
            content: Content::Inline(Bytes::from(body)),
            trace: trace::entered(None),
        };
        let delivery = Delivery {
            id: record.delivery_id,
            endpoint_id: record.endpoint_id,
            event: Arc::new(event),
            cause: record.cause,
            attempt_number: record.attempt_number,
            directory_revision: self.shared.deps.endpoints.revision(),
            endpoint_generation: record.endpoint_generation,
            previous_attempt: None,
        };
        let partition = self.shared.config.partitions.of(record.endpoint_id);
        let published = publishers.deliveries.publish(partition, vec![delivery]);
        published.await.map_err(outage)
    }

    /// Its body is no longer kept.
    async fn give_up(&self, one: &Overdue) -> Result<(), Error> {
        let record = Arc::new(record(one)?);
        self.records.publish(record).await.map_err(outage)
    }
}

/// That it has failed, for want of a body.
fn record(one: &Overdue) -> Result<Record, Error> {
    let unreadable = |_| Error::Refused("a stored delivery cannot be read".to_owned());
    let number = u32::try_from(one.last_number + 1);
    Ok(Record {
        delivery_id: DeliveryId::from_uuid(one.id),
        event_id: EventId::from_uuid(one.event_id),
        endpoint_id: EndpointId::from_uuid(one.endpoint_id),
        account: AccountId::parse(&one.account).map_err(unreadable)?,
        event_type: EventType::parse(&one.event_type).map_err(unreadable)?,
        cause: one.cause.parse().unwrap_or(Cause::Event),
        accepted_at: Timestamp::from_unix_millis(one.accepted_at),
        endpoint_generation: u64::try_from(one.generation).unwrap_or(0),
        attempt_number: number.unwrap_or(u32::MAX),
        outcome: Outcome::Ended {
            state: DeliveryState::Failed,
            reason: EndedReason::BodyExpired,
            at: now(),
        },
    })
}

fn outage(error: broker::Error) -> Error {
    Error::Unavailable(error.to_string())
}

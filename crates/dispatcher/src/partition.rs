//! One partition that this process owns: take it over, take in its deliveries,
//! let it go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{Broker, Consumer, EndpointDirectory, ErasureDirectory, Message};
use domain::{Cause, EndpointId, Outcome, Partition};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::conductor::{Gain, Handle};
use crate::deliver::now;
use crate::item::{Ends, Item, Source};
use crate::lease::Deadline;
use crate::settled::{MEMORY, SettledSet, Settlement};

/// Messages taken at a time.
const BATCH: usize = 32;
/// The unit of room, in bytes.
const ROOM_UNIT: usize = 1_024;
/// Room for messages that are held, in units: 128 MiB for all partitions. When
/// it is full, messages stay where they are until lanes have parked theirs.
pub(crate) const ROOM: usize = 131_072;
/// For the directory to see a revision, before it is said and waited again.
const DIRECTORY_PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks for what an earlier owner parked late.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// For POSTs that take long to end, before nothing new is begun at all.
const CALM: Duration = Duration::from_secs(10);
const CALL: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);

/// What partitions share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) endpoints: EndpointDirectory,
    pub(crate) erasures: ErasureDirectory,
    pub(crate) conductor: Handle,
    pub(crate) ends: Ends,
    pub(crate) room: Arc<Semaphore>,
}

/// A partition under a lease.
#[derive(Debug)]
pub(crate) struct Tenure {
    pub(crate) partition: Partition,
    pub(crate) epoch: u64,
    pub(crate) deadline: Deadline,
    /// Cancelled: finish what is under way, and end.
    pub(crate) leave: CancellationToken,
    /// Cancelled: the lease is somebody else's.
    pub(crate) lost: CancellationToken,
}

impl Tenure {
    /// Works on the partition until it is left or lost.
    pub(crate) async fn run(self, shared: Shared) {
        let lost = self.lost.clone();
        tokio::select! {
            () = lost.cancelled() => {
                self.deadline.expire();
                shared.conductor.lost(self.partition).await;
            }
            () = self.work(&shared) => {}
        }
    }

    async fn work(&self, shared: &Shared) {
        let gain = tokio::select! {
            gain = self.take_over(shared) => gain,
            // What an earlier tenure began, the next owner would begin again.
            () = self.leave.cancelled() => return shared.conductor.drain(self.partition).await,
        };
        shared.conductor.gained(gain);
        let mut consumer = shared.broker.consume_owned(self.partition, self.epoch);
        self.take_in_until(shared, &mut consumer, self.leave.cancelled())
            .await;
        // Others go on while it is waited for those that take long.
        let calm = timeout(CALM, shared.conductor.calm(self.partition));
        self.take_in_until(shared, &mut consumer, calm).await;
        shared.conductor.drain(self.partition).await;
        shared.ends.flush().await;
        // Only now: it renews the messages that are in work.
        drop(consumer);
    }

    async fn take_in_until(
        &self,
        shared: &Shared,
        consumer: &mut Consumer,
        end: impl Future<Output = impl Sized>,
    ) {
        tokio::pin!(end);
        let mut look = interval(LOOK_AGAIN);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.tick().await;
        loop {
            let messages = tokio::select! {
                messages = consumer.next(BATCH) => messages,
                _ = look.tick() => {
                    shared.conductor.found(self.partition, self.parked(shared).await);
                    continue;
                }
                _ = &mut end => return,
            };
            for message in messages {
                tokio::select! {
                    () = self.take_in(shared, message) => {}
                    _ = &mut end => return,
                }
            }
        }
    }

    /// Learns what earlier owners have done and left.
    async fn take_over(&self, shared: &Shared) -> Gain {
        shared.endpoints.current().await;
        shared.erasures.current().await;
        let since = now().minus(MEMORY);
        let mut recent = shared.broker.recent_records(self.partition, since).await;
        let mut settled = SettledSet::of_one(shared.broker.partitions());
        let mut failing: HashMap<EndpointId, u32> = HashMap::new();
        while let Some(records) = recent.next().await {
            for record in &records {
                match &record.outcome {
                    // A test's says nothing about the endpoint.
                    Outcome::Attempt(attempt) if record.cause != Cause::Test => {
                        if attempt.failure.is_some() {
                            *failing.entry(record.endpoint_id).or_default() += 1;
                        } else {
                            failing.remove(&record.endpoint_id);
                        }
                    }
                    _ => {}
                }
                if let Some(settlement) = Settlement::of(record) {
                    let key = (record.delivery_id, record.attempt_number);
                    settled.settle(key, settlement, now());
                }
            }
        }
        Gain {
            partition: self.partition,
            epoch: self.epoch,
            deadline: self.deadline.clone(),
            settled,
            failing,
            parked: self.parked(shared).await,
        }
    }

    /// Endpoints that have something in PARKED. Waits out outages.
    async fn parked(&self, shared: &Shared) -> Vec<(EndpointId, u64)> {
        loop {
            match timeout(CALL, shared.broker.parked_endpoints(self.partition)).await {
                Ok(Ok(parked)) => return parked,
                Ok(Err(error)) => debug!(%error, "cannot look for parked deliveries yet"),
                Err(_) => debug!("looking for parked deliveries took too long"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Hands a message's deliveries to the conductor.
    async fn take_in(&self, shared: &Shared, message: Message) {
        let deliveries = match message.deliveries() {
            Ok(deliveries) => deliveries,
            Err(error) => return message.terminate(&error).await,
        };
        let units = (message.size_bytes() / ROOM_UNIT)
            .max(deliveries.len())
            .clamp(1, ROOM);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let room = Arc::clone(&shared.room).acquire_many_owned(units).await;
        let held = shared
            .ends
            .hold(message, deliveries.len(), room.expect("never closed"));
        let planned_with = deliveries
            .iter()
            .map(|delivery| delivery.directory_revision);
        let revision = planned_with.max().unwrap_or(0);
        while let Err(error) = shared
            .endpoints
            .wait_for(revision, DIRECTORY_PATIENCE)
            .await
        {
            debug!(%error, revision, "deliveries wait for the directory");
        }
        let arrived_at = Instant::now();
        let item = |delivery| Item {
            delivery,
            source: Source::Message(Arc::clone(&held)),
            epoch: self.epoch,
            arrived_at,
        };
        let items = deliveries.into_iter().map(item).collect();
        shared.conductor.arrived(self.partition, items).await;
    }
}

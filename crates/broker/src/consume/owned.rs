//! The consumers of a partition's owner: a pair of durables for each epoch.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use domain::Partition;
use futures::TryStreamExt as _;
use tokio::time::Instant;
use tracing::debug;

use super::{NotOpened, create, start};
use crate::Broker;
use crate::topology::{DELIVERIES, RETRIES, delivery_subject, retry_due_subject};

/// How long a durable that was deleted is not made again: whoever deleted it
/// makes its own first.
const GIVE_WAY: Duration = Duration::from_secs(2);

/// What a partition's owner consumes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Queue {
    Deliveries,
    Retries,
}

impl Queue {
    pub(super) const ALL: [Self; 2] = [Self::Deliveries, Self::Retries];

    const fn stream(self) -> &'static str {
        match self {
            Self::Deliveries => DELIVERIES,
            Self::Retries => RETRIES,
        }
    }

    fn filter(self, partition: Partition) -> String {
        match self {
            Self::Deliveries => delivery_subject(partition),
            Self::Retries => retry_due_subject(partition),
        }
    }
}

/// One of them, in one epoch.
#[derive(Debug)]
pub(super) struct Owned {
    queue: Queue,
    partition: Partition,
    epoch: u64,
    /// Whether the durable of this epoch was ever there.
    created: bool,
    /// Since when it is gone.
    gone: Option<Instant>,
}

impl Owned {
    /// A lane or a slow POST may hold a message for long, so less traffic is
    /// spent on it; what a dead owner held comes by the new epoch.
    const ACK_WAIT: Duration = Duration::from_secs(30);
    pub(super) const RENEWAL: Duration = Duration::from_secs(10);
    /// Messages in work at once.
    const MAX_HELD: i64 = 20_000;
    /// What the client asks for ahead; at most half of it again is on the way.
    const PREFETCH: usize = 256;
    const PREFETCH_BYTES: usize = 4 * 1_024 * 1_024;
    /// Messages that have arrived and are not taken yet; each of some 256 KiB
    /// at most.
    pub(super) const QUEUED: usize = 16;

    pub(super) const fn new(queue: Queue, partition: Partition, epoch: u64) -> Self {
        Self {
            queue,
            partition,
            epoch,
            created: false,
            gone: None,
        }
    }

    /// Takes over from earlier epochs. The stream is a work queue, so two
    /// epochs can never have a consumer at the same time.
    pub(super) async fn open(&mut self, broker: &Broker) -> Result<pull::Stream, NotOpened> {
        let exists = self.take_over(broker).await?;
        if !exists && self.created {
            let gone = *self.gone.get_or_insert_with(Instant::now);
            if gone.elapsed() < GIVE_WAY {
                return Err(NotOpened::Failed("it was deleted".to_owned()));
            }
        }
        let consumer = create(broker, self.config(), self.queue.stream()).await?;
        self.created = true;
        self.gone = None;
        let builder = consumer
            .stream()
            .max_messages_per_batch(Self::PREFETCH)
            .max_bytes_per_batch(Self::PREFETCH_BYTES);
        Ok(start(builder).await?)
    }

    /// Deletes the consumers of earlier epochs: what they held comes again, and
    /// their acks and pulls come to nothing. Tells whether this epoch's is
    /// there.
    async fn take_over(&self, broker: &Broker) -> Result<bool, NotOpened> {
        let stream = broker
            .jetstream
            .get_stream_no_info(self.queue.stream())
            .await
            .map_err(|error| error.to_string())?;
        let names: Vec<String> = stream
            .consumer_names()
            .try_collect()
            .await
            .map_err(|error| error.to_string())?;
        let epochs = || {
            names
                .iter()
                .filter_map(|name| Some((name, epoch(name, self.partition)?)))
        };
        if epochs().any(|(_, epoch)| epoch > self.epoch) {
            return Err(NotOpened::Superseded);
        }
        for (name, _) in epochs().filter(|(_, epoch)| *epoch < self.epoch) {
            debug!(name, "deleting the consumer of an earlier owner");
            stream
                .delete_consumer(name)
                .await
                .map_err(|error| error.to_string())?;
        }
        Ok(epochs().any(|(_, epoch)| epoch == self.epoch))
    }

    fn config(&self) -> pull::Config {
        pull::Config {
            durable_name: Some(format!("dispatcher-{}-{}", self.partition, self.epoch)),
            ack_policy: AckPolicy::Explicit,
            ack_wait: Self::ACK_WAIT,
            filter_subject: self.queue.filter(self.partition),
            max_ack_pending: Self::MAX_HELD,
            ..pull::Config::default()
        }
    }
}

/// The epoch of a partition's durable; 0 for those from before there were
/// epochs, `None` for another's.
fn epoch(durable: &str, partition: Partition) -> Option<u64> {
    let rest = durable.strip_prefix("dispatcher-")?;
    let (number, epoch) = match rest.split_once('-') {
        Some((number, epoch)) => (number, epoch.parse().ok()?),
        None => (rest, 0),
    };
    (number.parse() == Ok(partition.number())).then_some(epoch)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use domain::Partitions;

    use super::*;

    #[test]
    fn a_durable_tells_its_partition_and_epoch() {
        let partitions = Partitions::new(NonZeroU16::MIN.saturating_add(15));
        let partition = partitions.iter().nth(1).expect("there are 16");
        assert_eq!(epoch("dispatcher-1-42", partition), Some(42));
        assert_eq!(epoch("dispatcher-1", partition), Some(0));
        for other in [
            "dispatcher-11-42",
            "dispatcher-11",
            "dispatcher-1-x",
            "history",
        ] {
            assert_eq!(epoch(other, partition), None, "{other}");
        }
    }
}

//! What stands in the streams now, for the metrics.

use std::time::{Duration, SystemTime};

use async_nats::jetstream::{consumer, stream};
use domain::Timestamp;
use futures::TryStreamExt as _;

use crate::topology::{ATTEMPTS, COMMANDS, DELIVERIES, EVENTS, PARKED, PLANS, RETRIES};
use crate::{Broker, Error};

const STREAMS: [&str; 7] = [
    EVENTS, PLANS, DELIVERIES, RETRIES, PARKED, ATTEMPTS, COMMANDS,
];

/// Durables that processes share: stream, durable, and what metrics call it.
pub(crate) const SHARED: [(&str, &str, &str); 5] = [
    (EVENTS, "fanout", "fanout"),
    (EVENTS, "history", "history_events"),
    (PLANS, "history", "history_plans"),
    (ATTEMPTS, "history", "history_records"),
    (COMMANDS, "control", "control"),
];

/// The streams and their consumers at one instant.
#[derive(Debug, Clone, Default)]
pub struct Census {
    pub streams: Vec<StreamCensus>,
    pub consumers: Vec<ConsumerCensus>,
    /// Bytes of file storage, replicas included.
    pub storage_used: u64,
    /// `None`: the account has no limit.
    pub storage_limit: Option<u64>,
}

/// A stream.
#[derive(Debug, Clone, Copy)]
pub struct StreamCensus {
    pub name: &'static str,
    pub messages: u64,
    pub bytes: u64,
    /// Of its oldest message; zero if it has none.
    pub oldest_age: Duration,
}

/// A durable, or all those of the partitions' owners.
#[derive(Debug, Clone, Copy)]
pub struct ConsumerCensus {
    pub name: &'static str,
    /// Messages that it has never given.
    pub pending: u64,
    /// Messages that it gave and that are not acked.
    pub unacked: u64,
}

impl Broker {
    /// Asks nats-server, one question after the other.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn census(&self) -> Result<Census, Error> {
        let account = self.jetstream.query_account().await;
        let account = account.map_err(Error::unavailable)?;
        let limit = account.limits.max_storage;
        let mut census = Census {
            storage_used: account.storage,
            storage_limit: limit.and_then(|limit| u64::try_from(limit).ok()),
            ..Census::default()
        };
        for name in STREAMS {
            let stream = self.stream(name).await?;
            let info = stream.get_info().await.map_err(Error::unavailable)?;
            census.streams.push(StreamCensus::new(name, &info.state));
        }
        for (stream, durable, name) in SHARED {
            let stream = self.stream(stream).await?;
            // Whoever consumes makes it, at its first start.
            if let Ok(info) = stream.consumer_info(durable).await {
                census.consumers.push(ConsumerCensus::new(name, [&info]));
            }
        }
        let mut owned = Vec::new();
        for name in [DELIVERIES, RETRIES] {
            let consumers = self.stream(name).await?.consumers();
            let consumers: Vec<_> = consumers.try_collect().await.map_err(Error::unavailable)?;
            owned.extend(consumers);
        }
        census
            .consumers
            .push(ConsumerCensus::new("dispatcher", &owned));
        Ok(census)
    }

    async fn stream(&self, name: &str) -> Result<stream::Stream<()>, Error> {
        let stream = self.jetstream.get_stream_no_info(name).await;
        stream.map_err(Error::unavailable)
    }
}

impl StreamCensus {
    fn new(name: &'static str, state: &stream::State) -> Self {
        let oldest_age = match state.messages {
            0 => Duration::ZERO,
            _ => {
                let oldest = Timestamp::from(SystemTime::from(state.first_timestamp));
                Timestamp::from(SystemTime::now()).since(oldest)
            }
        };
        Self {
            name,
            messages: state.messages,
            bytes: state.bytes,
            oldest_age,
        }
    }
}

impl ConsumerCensus {
    fn new<'a>(name: &'static str, infos: impl IntoIterator<Item = &'a consumer::Info>) -> Self {
        let none = Self {
            name,
            pending: 0,
            unacked: 0,
        };
        infos.into_iter().fold(none, |sum, info| Self {
            pending: sum.pending + info.num_pending,
            unacked: sum.unacked + info.num_ack_pending as u64,
            ..sum
        })
    }
}

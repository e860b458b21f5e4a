//! Reading a stream from some point on, in order, for ever.

mod records;

use std::time::{Duration, SystemTime};

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use bytes::Bytes;
use domain::Timestamp;
use futures::StreamExt as _;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

pub use records::{RecentRecords, RecordFollower};

use crate::{Broker, Error};

const PULL: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(3);
const BATCH: usize = 512;
/// The server forgets a reader that is gone.
const INACTIVE: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const CALL: Duration = Duration::from_secs(5);

/// Where reading begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    /// With the last message of each subject, then all that follow.
    LastOfEachSubject,
    /// With what was stored at or after the instant.
    Since(Timestamp),
    /// Right after this sequence.
    After(u64),
}

/// What a follower comes upon.
#[derive(Debug)]
pub(crate) enum Step {
    /// It has begun to read.
    Opened {
        /// Right after this sequence.
        after: u64,
        /// What is there to be read now.
        pending: u64,
    },
    /// A message.
    Message(Followed),
}

/// A message as it stands in the stream.
#[derive(Debug)]
pub(crate) struct Followed {
    /// Its place; all before it has been read.
    pub(crate) sequence: u64,
    /// What was there to be read after it when it was sent.
    pub(crate) pending: u64,
    pub(crate) subject: String,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) payload: Bytes,
}

/// Reads a stream without acks, and goes on after any outage where it stood.
pub(crate) struct Follower {
    broker: Broker,
    stream: String,
    start: Start,
    /// Only this subject; every one if empty.
    subject: String,
    /// Messages that may wait here for who reads.
    batch: usize,
    connections: watch::Receiver<u64>,
    open: Option<(pull::Stream, u64)>,
    pause: Duration,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower")
            .field("stream", &self.stream)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

impl Follower {
    pub(crate) fn new(broker: &Broker, stream: String, start: Start) -> Self {
        Self {
            connections: broker.connections(),
            broker: broker.clone(),
            stream,
            start,
            subject: String::new(),
            batch: BATCH,
            open: None,
            pause: FIRST_PAUSE,
        }
    }

    /// Reads this subject only.
    pub(crate) fn only(self, subject: String) -> Self {
        Self { subject, ..self }
    }

    /// Asks for so many messages at once.
    pub(crate) fn in_batches_of(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// The next message, or the place where reading has begun.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: an interrupted call is made up for by the next.
    pub(crate) async fn next(&mut self) -> Step {
        loop {
            if self.open.is_none() {
                self.connections.mark_unchanged();
                match self.open().await {
                    Ok((stream, after, pending)) => {
                        self.open = Some((stream, 0));
                        return Step::Opened { after, pending };
                    }
                    Err(error) => {
                        debug!(error, stream = self.stream, "cannot follow yet");
                        tokio::time::sleep(self.pause).await;
                        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                        continue;
                    }
                }
            }
            let Some((stream, seen)) = &mut self.open else {
                continue;
            };
            let message = tokio::select! {
                message = stream.next() => message,
                // What hung on the old connection never answers.
                _ = self.connections.changed() => None,
            };
            let followed = match message {
                Some(Ok(message)) => match message.info() {
                    // A gap: something was lost on the way.
                    Ok(info) if info.consumer_sequence != *seen + 1 => None,
                    Ok(info) => {
                        *seen += 1;
                        let (sequence, pending) = (info.stream_sequence, info.pending);
                        let (message, _) = message.split();
                        Some(Followed {
                            sequence,
                            pending,
                            subject: message.subject.to_string(),
                            headers: message.headers,
                            payload: message.payload,
                        })
                    }
                    Err(_) => None,
                },
                Some(Err(error)) => {
                    debug!(%error, stream = self.stream, "following again");
                    None
                }
                None => None,
            };
            match followed {
                Some(followed) => {
                    self.start = Start::After(followed.sequence);
                    self.pause = FIRST_PAUSE;
                    return Step::Message(followed);
                }
                None => self.open = None,
            }
        }
    }

    async fn open(&self) -> Result<(pull::Stream, u64, u64), String> {
        let deliver_policy = match self.start {
            Start::LastOfEachSubject => DeliverPolicy::LastPerSubject,
            Start::Since(at) => {
                let since = SystemTime::UNIX_EPOCH
                    + Duration::from_millis(u64::try_from(at.unix_millis()).unwrap_or(0));
                DeliverPolicy::ByStartTime {
                    start_time: since.into(),
                }
            }
            Start::After(sequence) => DeliverPolicy::ByStartSequence {
                start_sequence: sequence + 1,
            },
        };
        let config = pull::Config {
            deliver_policy,
            // The last of *each* subject only makes sense with a filter.
            filter_subject: match self.start {
                Start::LastOfEachSubject if self.subject.is_empty() => ">".to_owned(),
                Start::LastOfEachSubject | Start::Since(_) | Start::After(_) => {
                    self.subject.clone()
                }
            },
            ack_policy: AckPolicy::None,
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: INACTIVE,
            ..pull::Config::default()
        };
        let opened = async {
            let consumer: Consumer<pull::Config> = self
                .broker
                .jetstream
                .create_consumer_on_stream(config, &self.stream)
                .await
                .map_err(|error| error.to_string())?;
            let info = consumer.cached_info();
            let (after, pending) = (info.delivered.stream_sequence, info.num_pending);
            let stream = consumer
                .stream()
                .max_messages_per_batch(self.batch)
                .expires(PULL)
                .heartbeat(HEARTBEAT)
                .messages()
                .await
                .map_err(|error| error.to_string())?;
            Ok((stream, after, pending))
        };
        timeout(CALL, opened)
            .await
            .map_err(|_| "no answer in time".to_owned())?
    }
}

impl Broker {
    pub(crate) async fn last_sequence(&self, stream: &str) -> Result<u64, Error> {
        let stream = self
            .jetstream
            .get_stream_no_info(stream)
            .await
            .map_err(Error::unavailable)?;
        let info = timeout(CALL, stream.get_info())
            .await
            .map_err(|_| Error::unavailable("no answer in time"))?
            .map_err(Error::unavailable)?;
        Ok(info.state.last_sequence)
    }

    /// Whether nothing stands behind `sequence` in a stream. Its leader looks
    /// there and nowhere else, which costs it a fraction of telling its state.
    pub(crate) async fn is_last(&self, stream: &str, sequence: u64) -> Result<bool, Error> {
        let next = self.message_from(stream, ">", sequence + 1).await?;
        Ok(next.is_none())
    }
}

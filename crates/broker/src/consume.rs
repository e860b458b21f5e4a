//! Durable consumers that outlive any outage.

mod message;
mod owned;

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer as PullConsumer, pull};
use domain::Partition;
use futures::StreamExt as _;
use proto::pipeline;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, warn};

pub use message::Message;
pub(crate) use message::decode_records;

use crate::Broker;
use crate::topology::{ATTEMPTS, COMMANDS, EVENTS, PLANS};
use message::{Held, renew};
use owned::{Owned, Queue};

/// One pull; it is renewed by itself.
const PULL: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What every process that asks for it shares, and who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// Events, for fan-out.
    Events,
    /// Events, for history.
    EventsForHistory,
    /// Plans, for history.
    Plans,
    /// Records of attempts, for history.
    Records,
    /// Commands, for control.
    Commands,
}

impl Input {
    /// A message that nobody acks comes again after this; held ones are
    /// renewed.
    const ACK_WAIT: Duration = Duration::from_secs(5);
    const RENEWAL: Duration = Duration::from_millis(1_500);
    /// What the client asks for ahead; at most half of it again is on the way.
    const PREFETCH: usize = 2_048;
    const PREFETCH_BYTES: usize = 16 * 1_024 * 1_024;

    pub(crate) const fn stream(self) -> &'static str {
        match self {
            Self::Events | Self::EventsForHistory => EVENTS,
            Self::Plans => PLANS,
            Self::Records => ATTEMPTS,
            Self::Commands => COMMANDS,
        }
    }

    pub(crate) const fn durable(self) -> &'static str {
        match self {
            Self::Events => "fanout",
            Self::EventsForHistory | Self::Plans | Self::Records => "history",
            Self::Commands => "control",
        }
    }

    /// Messages in work at once, all consumers of the durable together.
    const fn max_held(self) -> usize {
        match self {
            // An event is in work until its plan is stored, which waits for
            // others for a tenth of a second.
            Self::Events => 4_096,
            // One by one, and a transaction should take many.
            Self::EventsForHistory => 2_048,
            Self::Records => 256,
            // They wait for records.
            Self::Plans => 1_024,
            Self::Commands => 16,
        }
    }

    fn config(self) -> pull::Config {
        pull::Config {
            durable_name: Some(self.durable().to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: Self::ACK_WAIT,
            max_ack_pending: i64::try_from(self.max_held()).unwrap_or(i64::MAX),
            ..pull::Config::default()
        }
    }

    async fn open(self, broker: &Broker) -> Result<pull::Stream, String> {
        let consumer = create(broker, self.config(), self.stream()).await?;
        let builder = consumer
            .stream()
            .max_messages_per_batch(self.max_held().min(Self::PREFETCH))
            .max_bytes_per_batch(Self::PREFETCH_BYTES);
        start(builder).await
    }
}

/// What a role asks control to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// An endpoint answered 410, or has failed for too long.
    DisableEndpoint(pipeline::DisableEndpoint),
    /// An endpoint has echoed its challenge.
    VerifyEndpoint(pipeline::VerifyEndpoint),
    /// An operational event is to be published.
    RaiseEvent(pipeline::RaiseEvent),
    /// Keys were used.
    NoteKeyUses(pipeline::NoteKeyUses),
    /// Somebody did something at another role.
    NoteAudit(pipeline::NoteAudit),
}

/// The messages of an input, one at a time or as they come. Keep it until the
/// last message it gave is acked: it renews them.
#[derive(Debug)]
pub struct Consumer {
    messages: mpsc::Receiver<Message>,
    /// Ends with it.
    _tasks: JoinSet<()>,
}

impl Consumer {
    /// Waits for a message and returns what is there, at most `max`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn next(&mut self, max: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        if self.messages.recv_many(&mut messages, max).await == 0 {
            // Whoever fed it found that a newer owner consumes.
            std::future::pending::<()>().await;
        }
        messages
    }
}

impl Broker {
    /// Begins to consume.
    #[must_use]
    pub fn consume(&self, input: Input) -> Consumer {
        let sources = [Source::Shared(input)];
        self.consume_all(sources, input.max_held(), Input::RENEWAL)
    }

    /// Begins to consume all that dispatchers have to do for a partition,
    /// deliveries and retries that are due, as its owner since `epoch` (at
    /// least 1). What earlier owners held without acking it comes at once, and
    /// they get nothing more. If there is a later owner this gives nothing, for
    /// ever; only the lease tells.
    ///
    /// A message that is not taken from the consumer within 30 s may come
    /// twice.
    #[must_use]
    pub fn consume_owned(&self, partition: Partition, epoch: u64) -> Consumer {
        let source = |queue| Source::Owned(Owned::new(queue, partition, epoch));
        let sources = Queue::ALL.map(source);
        self.consume_all(sources, Owned::QUEUED, Owned::RENEWAL)
    }

    fn consume_all(
        &self,
        sources: impl IntoIterator<Item = Source>,
        queued: usize,
        renewal: Duration,
    ) -> Consumer {
        let (sender, messages) = mpsc::channel(queued);
        let held = Arc::new(Held::new());
        let mut tasks = JoinSet::new();
        for source in sources {
            let (held, sender) = (Arc::clone(&held), sender.clone());
            tasks.spawn(feed(self.clone(), source, held, sender));
        }
        tasks.spawn(renew(held, renewal));
        Consumer {
            messages,
            _tasks: tasks,
        }
    }
}

/// Where messages come from.
#[derive(Debug)]
enum Source {
    Shared(Input),
    Owned(Owned),
}

/// Why there are no messages.
#[derive(Debug)]
enum NotOpened {
    /// Not yet.
    Failed(String),
    /// Never again: a newer owner consumes.
    Superseded,
}

impl From<String> for NotOpened {
    fn from(error: String) -> Self {
        Self::Failed(error)
    }
}

impl Source {
    async fn open(&mut self, broker: &Broker) -> Result<pull::Stream, NotOpened> {
        match self {
            Self::Shared(input) => Ok(input.open(broker).await?),
            Self::Owned(owned) => owned.open(broker).await,
        }
    }
}

/// Moves messages from the server to whoever consumes, for ever.
async fn feed(broker: Broker, mut source: Source, held: Arc<Held>, sender: mpsc::Sender<Message>) {
    let mut pause = FIRST_PAUSE;
    let mut connections = broker.connections();
    loop {
        connections.mark_unchanged();
        match source.open(&broker).await {
            Ok(mut messages) => {
                loop {
                    let message = tokio::select! {
                        message = messages.next() => message,
                        // What hung on the old connection never answers.
                        _ = connections.changed() => break,
                    };
                    let message = match message {
                        Some(Ok(message)) => message,
                        Some(Err(error)) => {
                            debug!(%error, ?source, "consuming again");
                            break;
                        }
                        None => break,
                    };
                    pause = FIRST_PAUSE;
                    let Some(message) = Message::new(message, &held) else {
                        continue;
                    };
                    if sender.send(message).await.is_err() {
                        return;
                    }
                }
            }
            Err(NotOpened::Failed(error)) => debug!(error, ?source, "cannot consume yet"),
            Err(NotOpened::Superseded) => {
                warn!(?source, "a newer owner consumes the partition");
                return;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn create(
    broker: &Broker,
    config: pull::Config,
    stream: &str,
) -> Result<PullConsumer<pull::Config>, String> {
    broker
        .jetstream
        .create_consumer_on_stream(config, stream)
        .await
        .map_err(|error| error.to_string())
}

async fn start(builder: pull::StreamBuilder<'_>) -> Result<pull::Stream, String> {
    builder
        .expires(PULL)
        .heartbeat(HEARTBEAT)
        .messages()
        .await
        .map_err(|error| error.to_string())
}

//! Durable consumers that outlive any outage.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer as PullConsumer, pull};
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::{self, AckKind};
use bytes::Bytes;
use domain::{AcceptedEvent, Delivery, Partition, Plan, Record};
use futures::StreamExt as _;
use prost::Message as _;
use proto::{DecodeError, pipeline};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, error, warn};

use crate::Broker;
use crate::topology::{
    ATTEMPTS, COMMANDS, DELIVERIES, EVENTS, PLANS, RETRIES, delivery_subject, retry_due_subject,
};

/// A message that nobody acks comes again after this; held ones are renewed.
const ACK_WAIT: Duration = Duration::from_secs(5);
const RENEWAL: Duration = Duration::from_millis(1_500);
/// One pull; it is renewed by itself.
const PULL: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What is consumed, and by whom.
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
    /// New deliveries of a partition, for a dispatcher.
    Deliveries(Partition),
    /// Retries of a partition that are due, for a dispatcher.
    Retries(Partition),
    /// Commands, for control.
    Commands,
}

impl Input {
    const fn stream(self) -> &'static str {
        match self {
            Self::Events | Self::EventsForHistory => EVENTS,
            Self::Plans => PLANS,
            Self::Records => ATTEMPTS,
            Self::Deliveries(_) => DELIVERIES,
            Self::Retries(_) => RETRIES,
            Self::Commands => COMMANDS,
        }
    }

    fn durable(self) -> String {
        match self {
            Self::Events => "fanout".to_owned(),
            Self::EventsForHistory | Self::Plans | Self::Records => "history".to_owned(),
            Self::Deliveries(partition) | Self::Retries(partition) => {
                format!("dispatcher-{partition}")
            }
            Self::Commands => "control".to_owned(),
        }
    }

    fn filter(self) -> String {
        match self {
            Self::Deliveries(partition) => delivery_subject(partition),
            Self::Retries(partition) => retry_due_subject(partition),
            Self::Events
            | Self::EventsForHistory
            | Self::Plans
            | Self::Records
            | Self::Commands => String::new(),
        }
    }

    /// Messages in work at once, all consumers of the durable together.
    const fn max_held(self) -> usize {
        match self {
            Self::Events | Self::Deliveries(_) => 512,
            Self::EventsForHistory | Self::Plans | Self::Records | Self::Retries(_) => 256,
            Self::Commands => 16,
        }
    }

    fn config(self) -> pull::Config {
        pull::Config {
            durable_name: Some(self.durable()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            filter_subject: self.filter(),
            max_ack_pending: i64::try_from(self.max_held()).unwrap_or(i64::MAX),
            ..pull::Config::default()
        }
    }
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
            // The task that feeds it never ends before it.
            std::future::pending::<()>().await;
        }
        messages
    }
}

impl Broker {
    /// Begins to consume.
    #[must_use]
    pub fn consume(&self, input: Input) -> Consumer {
        let (sender, messages) = mpsc::channel(input.max_held());
        let held = Arc::new(Held::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(feed(self.clone(), input, Arc::clone(&held), sender));
        tasks.spawn(renew(held));
        Consumer {
            messages,
            _tasks: tasks,
        }
    }
}

/// Moves messages from the server to whoever consumes, for ever.
async fn feed(broker: Broker, input: Input, held: Arc<Held>, sender: mpsc::Sender<Message>) {
    let mut pause = FIRST_PAUSE;
    let mut connections = broker.connections();
    loop {
        connections.mark_unchanged();
        match open(&broker, input).await {
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
                            debug!(%error, ?input, "consuming again");
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
            Err(error) => debug!(error, ?input, "cannot consume yet"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn open(broker: &Broker, input: Input) -> Result<pull::Stream, String> {
    let consumer: PullConsumer<pull::Config> = broker
        .jetstream
        .create_consumer_on_stream(input.config(), input.stream())
        .await
        .map_err(|error| error.to_string())?;
    consumer
        .stream()
        .max_messages_per_batch(input.max_held())
        .expires(PULL)
        .heartbeat(HEARTBEAT)
        .messages()
        .await
        .map_err(|error| error.to_string())
}

/// Tells the server that held messages are still in work.
async fn renew(held: Arc<Held>) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        let ackers: Vec<Arc<Acker>> = held.lock().values().cloned().collect();
        for acker in ackers {
            if let Err(error) = acker.ack_with(AckKind::Progress).await {
                debug!(%error, "cannot renew a message");
            }
        }
    }
}

/// The messages that are in work.
#[derive(Default)]
struct Held {
    ackers: Mutex<HashMap<u64, Arc<Acker>>>,
    next: AtomicU64,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Acker>>> {
        // A map is whole after any panic.
        self.ackers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message in work: renewed until it is acked or dropped. A dropped one comes
/// again after 5 s.
pub struct Message {
    payload: Bytes,
    sequence: u64,
    delivered: u64,
    acker: Arc<Acker>,
    held: Arc<Held>,
    place: u64,
}

impl Message {
    fn new(message: jetstream::Message, held: &Arc<Held>) -> Option<Self> {
        let (sequence, delivered) = match message.info() {
            Ok(info) => (
                info.stream_sequence,
                u64::try_from(info.delivered).unwrap_or(1),
            ),
            Err(error) => {
                error!(%error, "a message without a JetStream reply subject is dropped");
                return None;
            }
        };
        let (message, acker) = message.split();
        let acker = Arc::new(acker);
        let place = held.next.fetch_add(1, Ordering::Relaxed);
        held.lock().insert(place, Arc::clone(&acker));
        Some(Self {
            payload: message.payload,
            sequence,
            delivered,
            acker,
            held: Arc::clone(held),
            place,
        })
    }

    /// Its place in the stream.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How often it has been delivered, this time included.
    #[must_use]
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Says that its work is done. If that does not reach the server it comes
    /// again.
    pub async fn ack(self) {
        if let Err(error) = self.acker.ack().await {
            warn!(%error, "cannot ack a message: it will come again");
        }
    }

    /// Says that it can never be worked on, and why.
    pub async fn terminate(self, reason: &(dyn std::error::Error + Sync)) {
        error!(error = %reason, sequence = self.sequence, "a message cannot be read and is dropped");
        if let Err(error) = self.acker.ack_with(AckKind::Term).await {
            warn!(%error, "cannot drop a message: it will come again");
        }
    }

    /// Reads an event.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn event(&self) -> Result<AcceptedEvent, DecodeError> {
        pipeline::AcceptedEvent::decode(self.payload.clone())?.try_into()
    }

    /// Reads a list of deliveries.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn deliveries(&self) -> Result<Vec<Delivery>, DecodeError> {
        proto::deliveries_from_list(pipeline::DeliveryList::decode(self.payload.clone())?)
    }

    /// Reads a list of plans.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn plans(&self) -> Result<Vec<Plan>, DecodeError> {
        let list = pipeline::PlanList::decode(self.payload.clone())?;
        list.plans.into_iter().map(TryInto::try_into).collect()
    }

    /// Reads a list of records.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn records(&self) -> Result<Vec<Record>, DecodeError> {
        decode_records(self.payload.clone())
    }

    /// Reads a command.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn disable_endpoint(&self) -> Result<pipeline::DisableEndpoint, DecodeError> {
        Ok(pipeline::DisableEndpoint::decode(self.payload.clone())?)
    }
}

pub(crate) fn decode_records(payload: Bytes) -> Result<Vec<Record>, DecodeError> {
    let list = pipeline::RecordList::decode(payload)?;
    list.records.into_iter().map(TryInto::try_into).collect()
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("sequence", &self.sequence)
            .field("delivered", &self.delivered)
            .finish_non_exhaustive()
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.held.lock().remove(&self.place);
    }
}

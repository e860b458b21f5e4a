//! What the other roles tell, into SQL: a batch is one transaction, and is
//! acked when that is committed. An outage of the database holds it back, for
//! as long as it takes.

use std::time::{Duration, SystemTime};

use broker::{Broker, Input, Message};
use domain::{AcceptedEvent, Plan, Record};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use proto::DecodeError;
use store::{Error, History};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(crate) const INPUTS: [Input; 3] = [Input::EventsForHistory, Input::Plans, Input::Records];

/// Messages of a batch. A list has up to 128 items; a transaction should not
/// keep others waiting for long.
const fn batch_of(input: Input) -> usize {
    match input {
        Input::EventsForHistory => 128,
        _ => 8,
    }
}

/// What a message holds.
#[derive(Debug)]
enum Items {
    Events(Vec<AcceptedEvent>),
    Plans(Vec<Plan>),
    Records(Vec<Record>),
}

impl Items {
    fn read(input: Input, message: &Message) -> Result<Self, DecodeError> {
        Ok(match input {
            Input::Plans => Self::Plans(message.plans()?),
            Input::Records => Self::Records(message.records()?),
            _ => Self::Events(vec![message.event()?]),
        })
    }

    fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::Events(all), Self::Events(more)) => all.extend(more),
            (Self::Plans(all), Self::Plans(more)) => all.extend(more),
            (Self::Records(all), Self::Records(more)) => all.extend(more),
            // One input holds one kind.
            _ => {}
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Events(_) => "event",
            Self::Plans(_) => "plan",
            Self::Records(_) => "record",
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Events(items) => items.len(),
            Self::Plans(items) => items.len(),
            Self::Records(items) => items.len(),
        }
    }

    async fn store(&self, store: &History) -> Result<(), Error> {
        match self {
            Self::Events(events) => store.record_events(events).await,
            Self::Plans(plans) => store.record_plans(plans).await,
            Self::Records(records) => store.record_outcomes(records).await,
        }
    }

    /// Each alone, with a name for it.
    fn split(self) -> Vec<(String, Self)> {
        match self {
            Self::Events(items) => items
                .into_iter()
                .map(|event| (event.id.to_string(), Self::Events(vec![event])))
                .collect(),
            Self::Plans(items) => items
                .into_iter()
                .map(|plan| (plan.event_id.to_string(), Self::Plans(vec![plan])))
                .collect(),
            Self::Records(items) => items
                .into_iter()
                .map(|record| {
                    let name = format!("{} {}", record.delivery_id, record.attempt_number);
                    (name, Self::Records(vec![record]))
                })
                .collect(),
        }
    }
}

/// Counts what is recorded.
#[derive(Debug)]
struct Recorded {
    items: Counter<u64>,
    quarantined: Counter<u64>,
}

impl Recorded {
    fn new() -> Self {
        let meter = opentelemetry::global::meter("postrider");
        Self {
            items: meter
                .u64_counter("postrider.history.recorded")
                .with_description("Items that were recorded, by kind.")
                .build(),
            quarantined: meter
                .u64_counter("postrider.history.quarantined")
                .with_description("Items that the database refused, by kind.")
                .build(),
        }
    }
}

/// Records an input until `shutdown` is cancelled.
pub(crate) async fn run(broker: Broker, store: History, input: Input, shutdown: CancellationToken) {
    let recorded = Recorded::new();
    let mut consumer = broker.consume(input);
    loop {
        let messages = tokio::select! {
            messages = consumer.next(batch_of(input)) => messages,
            () = shutdown.cancelled() => return,
        };
        let mut held = Vec::with_capacity(messages.len());
        let mut items: Option<Items> = None;
        for message in messages {
            match Items::read(input, &message) {
                Ok(more) => {
                    match &mut items {
                        Some(items) => items.append(more),
                        None => items = Some(more),
                    }
                    held.push(message);
                }
                Err(error) => message.terminate(&error).await,
            }
        }
        let Some(items) = items else { continue };
        tokio::select! {
            () = record(&store, items, &recorded) => {}
            // Not acked: it comes again, to whoever runs then.
            () = shutdown.cancelled() => return,
        }
        for message in held {
            message.ack().await;
        }
    }
}

/// Returns when every item is stored or quarantined.
async fn record(store: &History, items: Items, recorded: &Recorded) {
    let kind = KeyValue::new("kind", items.kind());
    let count = items.len() as u64;
    match insist(|| items.store(store)).await {
        Ok(()) => recorded.items.add(count, &[kind]),
        // Something in it: the others are not to suffer.
        Err(_) => {
            for (name, item) in items.split() {
                match insist(|| item.store(store)).await {
                    Ok(()) => recorded.items.add(1, std::slice::from_ref(&kind)),
                    Err(refusal) => {
                        error!(error = refusal, name, kind = item.kind(), "quarantined");
                        recorded.quarantined.add(1, std::slice::from_ref(&kind));
                        let now = SystemTime::now().into();
                        let noted =
                            insist(|| store.quarantine(item.kind(), &name, &refusal, now)).await;
                        if let Err(error) = noted {
                            error!(error, name, "cannot even be quarantined");
                        }
                    }
                }
            }
        }
    }
}

/// Tries until it is done or refused, and tells the refusal.
async fn insist<W: Future<Output = Result<(), Error>>>(
    mut work: impl FnMut() -> W,
) -> Result<(), String> {
    let mut pause = FIRST_PAUSE;
    loop {
        match work().await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_outage() => warn!(%error, "recording waits"),
            Err(error) => return Err(error.to_string()),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

//! One event: planned, published, acked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use broker::{Broker, DeliveryPublisher, EndpointDirectory, Message, PlanPublisher};
use domain::{
    AcceptedEvent, Content, Delivery, DeliveryEvent, NotSentReason, Partition, Partitions, Plan,
    Timestamp,
};
use futures::future::try_join_all;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use telemetry::metric;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{error, warn};

use crate::plan::plan;
use crate::spans::Processing;

/// A body up to this rides in the delivery; a larger one is fetched.
const INLINE_BYTES: usize = 32 * 1_024;
/// Deliveries of one event that travel together.
const MAX_LIST: usize = 128;
const CATCH_UP: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);

/// Waits, for as long as it takes, until the directory knows every change that
/// was answered before now.
pub(crate) async fn catch_up(broker: &Broker, endpoints: &EndpointDirectory) -> u64 {
    loop {
        match endpoints.catch_up(broker, CATCH_UP).await {
            Ok(revision) => return revision,
            Err(error) => warn!(%error, "events wait"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Works on events.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    partitions: Partitions,
    deliveries: DeliveryPublisher,
    plans: PlanPublisher,
    planned: Counter<u64>,
    lag: Histogram<f64>,
}

impl Worker {
    pub(crate) fn new(
        partitions: Partitions,
        deliveries: DeliveryPublisher,
        plans: PlanPublisher,
    ) -> Self {
        Self {
            partitions,
            deliveries,
            plans,
            planned: metric::FANOUT_ENDPOINTS.counter(),
            lag: metric::FANOUT_LAG.histogram(),
        }
    }

    /// Plans and publishes; the message is acked when all of it is stored, and its room
    /// free then.
    pub(crate) async fn work(
        self,
        message: Message,
        endpoints: EndpointDirectory,
        revision: u64,
        _room: OwnedSemaphorePermit,
    ) {
        let event = match message.event() {
            Ok(event) => event,
            Err(error) => return message.terminate(&error).await,
        };
        let of_account = endpoints.of_account(&event.account);
        let plan = plan(&event, &of_account, SystemTime::now().into());
        self.count(&plan);
        let processing = Processing::begin(&event);
        let deliveries = deliveries(&event, &plan, message.sequence(), revision, self.partitions);
        let send = async |(partition, mut list): (Partition, Vec<Delivery>)| {
            let sending = processing.send(&mut list);
            self.deliveries.publish(partition, list).await?;
            sending.done();
            Ok(())
        };
        let sent = try_join_all(deliveries.into_iter().map(send));
        let planned = tokio::try_join!(sent, self.plans.publish(plan));
        processing.done(&event, planned.is_ok());
        match planned {
            Ok(_) => {
                let lag = Timestamp::from(SystemTime::now()).since(event.accepted_at);
                self.lag.record(lag.as_secs_f64(), &[]);
                message.ack().await;
            }
            // It comes again.
            Err(error) => error!(%error, event = %event.id, "an event cannot be planned"),
        }
    }
}

impl Worker {
    fn count(&self, plan: &Plan) {
        let count = |decision, endpoints: usize| {
            if endpoints > 0 {
                let decision = KeyValue::new("decision", decision);
                self.planned.add(endpoints as u64, &[decision]);
            }
        };
        count("delivery", plan.deliveries.len());
        for reason in NotSentReason::ALL {
            let endpoints = plan.not_sent.iter().filter(|(_, why)| why == reason);
            count(reason.as_str(), endpoints.count());
        }
    }
}

/// The plan's deliveries by partition, in lists that are not too long.
fn deliveries(
    event: &AcceptedEvent,
    plan: &Plan,
    sequence: u64,
    directory_revision: u64,
    partitions: Partitions,
) -> Vec<(Partition, Vec<Delivery>)> {
    let shared = Arc::new(DeliveryEvent {
        id: event.id,
        account: event.account.clone(),
        event_type: event.event_type.clone(),
        accepted_at: event.accepted_at,
        content: match event.body.len() {
            0..=INLINE_BYTES => Content::Inline(event.body.clone()),
            _ => Content::EventsSequence(sequence),
        },
        trace: event.trace.clone(),
    });
    let mut lists: BTreeMap<Partition, Vec<Delivery>> = BTreeMap::new();
    for planned in &plan.deliveries {
        lists
            .entry(partitions.of(planned.endpoint_id))
            .or_default()
            .push(Delivery {
                id: planned.id,
                endpoint_id: planned.endpoint_id,
                event: Arc::clone(&shared),
                cause: planned.cause,
                attempt_number: 1,
                directory_revision,
                endpoint_generation: planned.endpoint_generation,
                previous_attempt: None,
            });
    }
    let chunks = |(partition, list): (Partition, Vec<Delivery>)| {
        let mut rest = list.into_iter();
        std::iter::from_fn(move || {
            let chunk: Vec<_> = rest.by_ref().take(MAX_LIST).collect();
            (!chunk.is_empty()).then_some((partition, chunk))
        })
    };
    lists.into_iter().flat_map(chunks).collect()
}

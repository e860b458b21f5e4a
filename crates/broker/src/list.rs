//! Lists: what accumulated while the previous publish was being acked travels
//! as one message. A lone item waits for nothing; where nobody waits for the
//! items either, lists keep a distance, since each costs the broker a write to
//! disk.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use bytes::Bytes;
use domain::{Content, Delivery, Outcome, Partition, Plan, Record};
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::topology::{delivery_subject, plan_subject, record_subject};
use crate::{Broker, Error};

/// Items of a list at most.
const MAX_ITEMS: usize = 128;
/// Bytes of a list, about, unless one item alone has more.
const MAX_BYTES: usize = 256 * 1_024;
/// Between two lists of plans that are not full: only history reads them.
const BETWEEN_PLANS: Duration = Duration::from_millis(100);
/// Between two lists of why deliveries wait.
const BETWEEN_DEFERRALS: Duration = Duration::from_millis(500);
/// What stands beside the big parts of an item.
const ITEM_BYTES: usize = 256;

/// What travels in lists.
trait Item: Send + Sync + Sized + 'static {
    fn encode(items: Vec<Self>) -> Vec<u8>;

    /// About.
    fn bytes(&self) -> usize;
}

/// One item and who waits for it to be stored.
type Entry<T> = (T, oneshot::Sender<Result<(), Error>>);

/// Queues of plans in each process: they wait for others, and the fewer there are
/// the more find together.
const PLAN_QUEUES: usize = 4;

/// A queue per partition, or for several, and a task for each that empties it.
#[derive(Debug)]
struct Lists<T>(Vec<mpsc::Sender<Entry<T>>>);

impl<T: Item> Lists<T> {
    /// Lists of a queue begin `distance` apart, unless full. Each of the first
    /// `queues` partitions has a queue, and the others share theirs.
    fn start(
        broker: &Broker,
        tasks: &TaskTracker,
        subject: impl Fn(Partition) -> String,
        distance: Duration,
        queues: usize,
    ) -> Self {
        let queues = broker.partitions().iter().take(queues).map(|partition| {
            let (sender, receiver) = mpsc::channel(2 * MAX_ITEMS);
            let lists = send_lists(broker.clone(), subject(partition), receiver, distance);
            tasks.spawn(lists);
            sender
        });
        Self(queues.collect())
    }

    /// Returns when JetStream holds it.
    async fn publish(&self, partition: Partition, item: T) -> Result<(), Error> {
        let (stored, waits) = oneshot::channel();
        let queue = &self.0[usize::from(partition.number()) % self.0.len()];
        queue
            .send((item, stored))
            .await
            .map_err(|_| Error::Closed)?;
        waits.await.map_err(|_| Error::Closed)?
    }
}

/// The next one that is there, or comes until `not_before`.
async fn next<T>(queue: &mut mpsc::Receiver<T>, not_before: Instant) -> Option<T> {
    match queue.try_recv() {
        Ok(entry) => Some(entry),
        Err(_) if Instant::now() >= not_before => None,
        Err(_) => timeout_at(not_before, queue.recv()).await.ok().flatten(),
    }
}

/// Ends when nobody can send any more and the queue is empty.
async fn send_lists<T: Item>(
    broker: Broker,
    subject: String,
    mut queue: mpsc::Receiver<Entry<T>>,
    distance: Duration,
) {
    let mut left_over = None;
    let mut not_before = Instant::now();
    loop {
        let Some(first) = (match left_over.take() {
            Some(entry) => Some(entry),
            None => queue.recv().await,
        }) else {
            return;
        };
        let mut bytes = first.0.bytes();
        let mut entries = vec![first];
        while entries.len() < MAX_ITEMS {
            let Some(entry) = next(&mut queue, not_before).await else {
                break;
            };
            bytes += entry.0.bytes();
            if bytes > MAX_BYTES {
                left_over = Some(entry);
                break;
            }
            entries.push(entry);
        }
        not_before = Instant::now() + distance;
        let (items, waiting): (Vec<T>, Vec<_>) = entries.into_iter().unzip();
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, Uuid::new_v4().to_string());
        let payload = Bytes::from(T::encode(items));
        let published = broker
            .publish_for_ever(subject.clone(), headers, payload)
            .await;
        if let Err(error) = &published {
            tracing::error!(%error, subject, "a list was refused");
        }
        for waits in waiting {
            // Whoever gave up waiting does not want the answer.
            let _ = waits.send(match &published {
                Ok(_) => Ok(()),
                Err(error) => Err(Error::Refused(error.to_string())),
            });
        }
    }
}

impl Item for Vec<Delivery> {
    fn encode(items: Vec<Self>) -> Vec<u8> {
        proto::encode_deliveries(items.iter().flatten())
    }

    fn bytes(&self) -> usize {
        let content = match self.first().map(|delivery| &delivery.event.content) {
            Some(Content::Inline(body)) => body.len(),
            Some(Content::EventsSequence(_)) | None => 0,
        };
        content + self.len() * ITEM_BYTES
    }
}

impl Item for Plan {
    fn encode(items: Vec<Self>) -> Vec<u8> {
        let plans = items.iter().map(Into::into).collect();
        proto::pipeline::PlanList { plans }.encode_to_vec()
    }

    fn bytes(&self) -> usize {
        ITEM_BYTES + self.deliveries.len() * 64 + self.not_sent.as_bytes().len()
    }
}

impl Item for Arc<Record> {
    fn encode(items: Vec<Self>) -> Vec<u8> {
        proto::encode_records(items.iter().map(Arc::as_ref))
    }

    fn bytes(&self) -> usize {
        proto::record_bytes(self)
    }
}

/// Sends deliveries to the dispatchers. Cheap to clone; its tasks end when the
/// last clone is dropped.
#[derive(Debug, Clone)]
pub struct DeliveryPublisher(Arc<Lists<Vec<Delivery>>>);

impl DeliveryPublisher {
    /// Starts the tasks that send.
    #[must_use]
    pub fn start(broker: &Broker, tasks: &TaskTracker) -> Self {
        Self(Arc::new(Lists::start(
            broker,
            tasks,
            delivery_subject,
            Duration::ZERO,
            usize::MAX,
        )))
    }

    /// Sends deliveries of one event whose endpoints are in `partition`; at
    /// most 128. Returns when they are stored.
    ///
    /// # Errors
    ///
    /// When the server refuses them for good.
    pub async fn publish(
        &self,
        partition: Partition,
        deliveries: Vec<Delivery>,
    ) -> Result<(), Error> {
        self.0.publish(partition, deliveries).await
    }
}

/// Sends plans to history.
#[derive(Debug, Clone)]
pub struct PlanPublisher(Arc<Lists<Plan>>, Broker);

impl PlanPublisher {
    /// Starts the tasks that send.
    #[must_use]
    pub fn start(broker: &Broker, tasks: &TaskTracker) -> Self {
        let lists = Lists::start(broker, tasks, plan_subject, BETWEEN_PLANS, PLAN_QUEUES);
        Self(Arc::new(lists), broker.clone())
    }

    /// Returns when the plan is stored.
    ///
    /// # Errors
    ///
    /// When the server refuses it for good.
    pub async fn publish(&self, plan: Plan) -> Result<(), Error> {
        self.0
            .publish(self.1.partitions().of_event(plan.event_id), plan)
            .await
    }
}

/// Sends records of attempts to history.
#[derive(Debug, Clone)]
pub struct RecordPublisher {
    /// What settles a delivery: its sender waits for it to be stored.
    outcomes: Arc<Lists<Arc<Record>>>,
    deferrals: Arc<Lists<Arc<Record>>>,
    broker: Broker,
}

impl RecordPublisher {
    /// Starts the tasks that send.
    #[must_use]
    pub fn start(broker: &Broker, tasks: &TaskTracker) -> Self {
        let lists = |distance| {
            Arc::new(Lists::start(
                broker,
                tasks,
                record_subject,
                distance,
                usize::MAX,
            ))
        };
        Self {
            outcomes: lists(Duration::ZERO),
            deferrals: lists(BETWEEN_DEFERRALS),
            broker: broker.clone(),
        }
    }

    /// Returns when the record is stored. One of a deferral may be stored
    /// after one of its attempt.
    ///
    /// # Errors
    ///
    /// When the server refuses it for good.
    pub async fn publish(&self, record: Arc<Record>) -> Result<(), Error> {
        let lists = match record.outcome {
            Outcome::Deferred { .. } => &self.deferrals,
            Outcome::Attempt(_) | Outcome::Ended { .. } => &self.outcomes,
        };
        let partition = self.broker.partitions().of(record.endpoint_id);
        lists.publish(partition, record).await
    }
}

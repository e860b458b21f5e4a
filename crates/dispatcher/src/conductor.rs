//! The one task that decides what is sent when: it hears what happened, lets
//! the lanes decide, and starts what they ask for.

mod work;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::directory::Change;
use broker::{Broker, EndpointDirectory};
use domain::{AccountId, EndpointId, Partition, breaker};
use telemetry::trace;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::sleep_until;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info};

use crate::deliver::{Deliver, Unsettled, now};
use crate::item::{Item, Source};
use crate::lanes::{Action, Lanes, SWEEP_OF_ALL, SWEEP_PARTS};
use crate::lease::Deadline;
use crate::metrics::Gauges;
use crate::settled::{SettledSet, Settlement};
use crate::spans::Spans;
use crate::step::Step;

use work::{Parking, Work};

/// Lists of deliveries that have arrived and were not looked at.
const ARRIVALS: usize = 64;
/// Looked at together.
const BATCH: usize = 256;
/// Between two looks at a part of the lanes.
const SWEEP: Duration = SWEEP_OF_ALL.checked_div(SWEEP_PARTS).unwrap();
const READ_LIMIT: Duration = Duration::from_secs(5);
const READ_PAUSE: Duration = Duration::from_millis(500);

/// What has happened to what was begun. Every sender was asked for it, so the
/// queue needs no bound of its own.
#[derive(Debug)]
enum News {
    Gained(Gain),
    Found(Partition, Vec<(EndpointId, u64)>),
    Calm(Partition, oneshot::Sender<()>),
    Drain(Partition, oneshot::Sender<()>),
    Lost(Partition, oneshot::Sender<()>),
    Posted {
        endpoint: EndpointId,
        epoch: u64,
        account: AccountId,
        /// `None`: it tells nothing about the endpoint.
        result: Option<bool>,
    },
    Settled(Item, Settlement),
    /// The endpoint is to be disabled.
    Gone(EndpointId),
    Unsettled(Item, bool),
    Repeated(Item),
    Stored(EndpointId, Vec<Item>, Option<u64>),
    Read(EndpointId, u64, Option<Vec<(u64, Vec<Item>)>>),
    Discarded(EndpointId, u64),
}

/// A partition that has become this process's.
#[derive(Debug)]
pub(crate) struct Gain {
    pub(crate) partition: Partition,
    pub(crate) epoch: u64,
    pub(crate) deadline: Deadline,
    pub(crate) settled: SettledSet,
    /// How often in a row endpoints have failed lately.
    pub(crate) failing: HashMap<EndpointId, u32>,
    /// Endpoints that have something in PARKED, and how many messages.
    pub(crate) parked: Vec<(EndpointId, u64)>,
}

/// Speaks to the conductor. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    news: mpsc::UnboundedSender<News>,
    arrivals: mpsc::Sender<(Partition, Vec<Item>)>,
}

impl Handle {
    /// A partition is this process's from now on.
    pub(crate) fn gained(&self, gain: Gain) {
        self.tell(News::Gained(gain));
    }

    /// These endpoints of the partition have something in PARKED.
    pub(crate) fn found(&self, partition: Partition, parked: Vec<(EndpointId, u64)>) {
        self.tell(News::Found(partition, parked));
    }

    /// Deliveries of a partition have arrived.
    pub(crate) async fn arrived(&self, partition: Partition, items: Vec<Item>) {
        if let Err(refused) = self.arrivals.send((partition, items)).await {
            refused.0.1.into_iter().for_each(Item::give_back);
        }
    }

    /// Begins nothing more for the partition's slow endpoints; returns when
    /// nothing of theirs is in flight, which is looked at twice a second.
    pub(crate) async fn calm(&self, partition: Partition) {
        let (done, is_calm) = oneshot::channel();
        self.tell(News::Calm(partition, done));
        let _ = is_calm.await;
    }

    /// Begins nothing more for the partition; returns when what was begun is
    /// settled.
    pub(crate) async fn drain(&self, partition: Partition) {
        let (done, drained) = oneshot::channel();
        self.tell(News::Drain(partition, done));
        let _ = drained.await;
    }

    /// Forgets the partition at once.
    pub(crate) async fn lost(&self, partition: Partition) {
        let (done, forgotten) = oneshot::channel();
        self.tell(News::Lost(partition, done));
        let _ = forgotten.await;
    }

    fn tell(&self, news: News) {
        // The conductor outlives whoever speaks to it.
        let _ = self.news.send(news);
    }
}

/// The task's own part.
#[derive(Debug)]
pub(crate) struct Conductor {
    lanes: Lanes,
    deliver: Arc<Deliver>,
    broker: Broker,
    handle: Handle,
    news: mpsc::UnboundedReceiver<News>,
    arrivals: mpsc::Receiver<(Partition, Vec<Item>)>,
    changes: broadcast::Receiver<Change>,
    /// Until when this process may send, by partition.
    deadlines: HashMap<Partition, (u64, Deadline)>,
    calming: Vec<(Partition, oneshot::Sender<()>)>,
    draining: Vec<(Partition, oneshot::Sender<()>)>,
    /// Where what was begun runs.
    tasks: TaskTracker,
    gauges: Gauges,
}

impl Conductor {
    pub(crate) fn new(
        lanes: Lanes,
        deliver: Arc<Deliver>,
        endpoints: &EndpointDirectory,
        tasks: TaskTracker,
        gauges: Gauges,
    ) -> (Self, Handle) {
        let (news_sender, news) = mpsc::unbounded_channel();
        let (arrivals_sender, arrivals) = mpsc::channel(ARRIVALS);
        let handle = Handle {
            news: news_sender,
            arrivals: arrivals_sender,
        };
        let conductor = Self {
            lanes,
            broker: deliver.broker.clone(),
            deliver,
            handle: handle.clone(),
            news,
            arrivals,
            changes: endpoints.changes(),
            deadlines: HashMap::new(),
            calming: Vec::new(),
            draining: Vec::new(),
            tasks,
            gauges,
        };
        (conductor, handle)
    }

    /// Conducts until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut news = Vec::with_capacity(BATCH);
        let mut next_sweep = Instant::now() + SWEEP;
        loop {
            let wake = self
                .lanes
                .next_wake()
                .map_or(next_sweep, |at| at.min(next_sweep));
            tokio::select! {
                biased;
                _ = self.news.recv_many(&mut news, BATCH) => {
                    for one in news.drain(..) {
                        self.hear(one);
                    }
                }
                change = self.changes.recv() => self.heed(&change),
                Some((partition, items)) = self.arrivals.recv() => {
                    self.lanes.arrived(partition, items, Instant::now());
                    while let Ok((partition, items)) = self.arrivals.try_recv() {
                        self.lanes.arrived(partition, items, Instant::now());
                    }
                }
                () = sleep_until(wake.into()) => {}
            }
            let at = Instant::now();
            if at >= next_sweep {
                if self.lanes.sweep(at) {
                    self.answer_the_calm(at);
                    self.gauges.set(self.lanes.census(at), at);
                }
                next_sweep = at + SWEEP;
            }
            for action in self.lanes.advance(at, now()) {
                self.begin(action);
            }
            self.answer_the_drained();
        }
    }

    fn hear(&mut self, news: News) {
        let at = Instant::now();
        match news {
            News::Gained(gain) => {
                self.deadlines
                    .insert(gain.partition, (gain.epoch, gain.deadline));
                let Gain {
                    partition,
                    epoch,
                    settled,
                    failing,
                    parked,
                    ..
                } = gain;
                self.lanes.gained(partition, epoch, settled, at, now());
                self.lanes.failing(partition, failing, at);
                self.lanes.found(partition, parked, at);
            }
            News::Found(partition, parked) => self.lanes.found(partition, parked, at),
            News::Calm(partition, done) => {
                self.lanes.calm(partition);
                self.calming.push((partition, done));
                self.answer_the_calm(at);
            }
            News::Drain(partition, done) => {
                self.lanes.drain(partition);
                self.draining.push((partition, done));
            }
            News::Lost(partition, done) => {
                self.lanes.lost(partition);
                self.deadlines.remove(&partition);
                let _ = done.send(());
            }
            News::Posted {
                endpoint,
                epoch,
                account,
                result,
            } => {
                let change = self.lanes.posted(endpoint, epoch, &account, result, at);
                self.gauges.breaker(change);
                match change {
                    breaker::Change::Opened => {
                        info!(%endpoint, %account, "deliveries to {endpoint} are paused: it keeps failing");
                    }
                    breaker::Change::Recovering => {
                        info!(%endpoint, %account, "{endpoint} answers again");
                    }
                    breaker::Change::None => {}
                }
            }
            News::Gone(endpoint) => self.lanes.gone(endpoint, at),
            News::Settled(item, settlement) => self.lanes.settled(item, settlement, now()),
            News::Unsettled(item, rests) => self.lanes.unsettled(item, rests, at),
            News::Repeated(item) => self.lanes.repeated(item),
            News::Stored(endpoint, items, sequence) => {
                self.lanes.stored(endpoint, items, sequence, at)
            }
            News::Read(endpoint, epoch, lists) => self.lanes.read(endpoint, epoch, lists, at),
            News::Discarded(endpoint, epoch) => self.lanes.discarded(endpoint, epoch),
        }
    }

    fn heed(&mut self, change: &Result<Change, RecvError>) {
        let at = Instant::now();
        match change {
            Ok(Change::Updated(endpoint)) => self.lanes.changed(endpoint.id, at),
            Ok(Change::Deleted { id, .. }) => self.lanes.changed(*id, at),
            // The directory lives as long as the role.
            Err(RecvError::Lagged(_) | RecvError::Closed) => self.lanes.all_changed(at),
        }
    }

    fn answer_the_calm(&mut self, now: Instant) {
        let lanes = &self.lanes;
        let calm = self
            .calming
            .extract_if(.., |(partition, _)| lanes.is_calm(*partition, now));
        for (_, done) in calm {
            let _ = done.send(());
        }
    }

    fn answer_the_drained(&mut self) {
        let lanes = &self.lanes;
        let drained = self
            .draining
            .extract_if(.., |(partition, _)| lanes.is_drained(*partition));
        for (_, done) in drained {
            let _ = done.send(());
        }
    }

    fn begin(&self, action: Action) {
        let (deliver, handle) = (Arc::clone(&self.deliver), self.handle.clone());
        match action {
            Action::Post(item, endpoint) => {
                let deadline = self.deadline_of(&item);
                let spans = Box::new(Spans::begin(&item.delivery, deliver.in_trace));
                let context = spans.post.clone();
                let mut work = Work::new(handle, item, true);
                let attempt = async move {
                    let step = match (&work.item, &deadline) {
                        (Some(item), Some(deadline)) => {
                            deliver.post(item, &endpoint, deadline, spans).await
                        }
                        _ => Err(Unsettled::NotOwned),
                    };
                    work.posted(&step);
                    match step {
                        Ok(step) => work.conclude(&deliver, step).await,
                        Err(reason) => work.give_up(&reason),
                    }
                };
                self.tasks.spawn(trace::within(context, attempt));
            }
            Action::End(item, end) => {
                let step = Step::end(&item.delivery, end);
                let mut work = Work::new(handle, item, false);
                self.tasks
                    .spawn(async move { work.conclude(&deliver, step).await });
            }
            Action::Repeat(item, settlement) => {
                self.tasks.spawn(async move {
                    deliver.repeat(&item.delivery, settlement).await;
                    handle.tell(News::Repeated(item));
                });
            }
            Action::Park(endpoint, items, reason, until) => {
                let parking = Parking::new(handle, endpoint, items);
                self.tasks.spawn(async move {
                    // What is erased meanwhile has ended: its message is done too.
                    let deliveries = parking.items.iter().map(|item| &item.delivery);
                    let deliveries = deliveries.filter(|delivery| !deliver.is_erased(delivery));
                    let deliveries: Vec<_> = deliveries.cloned().collect();
                    let stored = deliver.park(endpoint, &deliveries, reason).await;
                    let is_stored = stored.is_ok();
                    if let Err(error) = &stored {
                        error!(%error, %endpoint, "deliveries of {endpoint} cannot be parked");
                    }
                    parking.ended(stored.ok());
                    if is_stored {
                        deliver.defer(&deliveries, reason, until).await;
                    }
                });
            }
            Action::Read(endpoint, after, max) => {
                let (broker, epoch) = (self.broker.clone(), self.epoch_of(endpoint));
                self.tasks.spawn(async move {
                    let lists = read(&broker, endpoint, after, max, epoch).await;
                    handle.tell(News::Read(endpoint, epoch, lists));
                });
            }
            Action::Discard(endpoint, through) => {
                let (broker, epoch) = (self.broker.clone(), self.epoch_of(endpoint));
                self.tasks.spawn(async move {
                    let removed = broker.discard_parked(endpoint, through).await;
                    if let Err(error) = removed {
                        // Who reads it again finds it settled.
                        debug!(%error, %endpoint, "what was parked for {endpoint} stays a while");
                    }
                    handle.tell(News::Discarded(endpoint, epoch));
                });
            }
        }
    }

    fn deadline_of(&self, item: &Item) -> Option<Deadline> {
        let partition = self.broker.partitions().of(item.delivery.endpoint_id);
        let (epoch, deadline) = self.deadlines.get(&partition)?;
        (*epoch == item.epoch).then(|| deadline.clone())
    }

    fn epoch_of(&self, endpoint: EndpointId) -> u64 {
        let partition = self.broker.partitions().of(endpoint);
        self.deadlines
            .get(&partition)
            .map_or(0, |(epoch, _)| *epoch)
    }
}

/// Reads on in PARKED; `None` if it cannot be read now.
async fn read(
    broker: &Broker,
    endpoint: EndpointId,
    after: u64,
    max: usize,
    epoch: u64,
) -> Option<Vec<(u64, Vec<Item>)>> {
    let parked = broker.parked(endpoint, after, max);
    let lists = match tokio::time::timeout(READ_LIMIT, parked).await {
        Ok(Ok(lists)) => lists,
        Ok(Err(error)) => {
            debug!(%error, %endpoint, "what is parked for {endpoint} cannot be read yet");
            tokio::time::sleep(READ_PAUSE).await;
            return None;
        }
        Err(_) => return None,
    };
    let arrived_at = Instant::now();
    let item = |sequence, delivery| Item {
        delivery,
        source: Source::Parked(sequence),
        epoch,
        arrived_at,
    };
    let lists = lists.into_iter().map(|list| {
        let items = list.deliveries.into_iter();
        let items = items.map(|delivery| item(list.sequence, delivery));
        (list.sequence, items.collect())
    });
    Some(lists.collect())
}

//! A world for lanes: time is passed in, PARKED is a map, and POSTs take as
//! long as the test says.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::Mutex;

use domain::{Delivery, DeliveryId, Partitions};

use super::super::*;
use crate::item::Source;
use crate::samples;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MILLI: Duration = Duration::from_millis(1);
pub(super) const EPOCH: u64 = 7;
pub(super) const NOW_IS: Timestamp = Timestamp::from_unix_millis(1_000_000);

pub(super) type Endpoints = Arc<Mutex<HashMap<EndpointId, Arc<Endpoint>>>>;

/// What an endpoint does to a POST: how long it takes, and whether it succeeds.
pub(super) type Behaviour = Box<dyn Fn(&Delivery, Duration) -> (Duration, bool)>;

pub(super) struct World {
    pub(super) lanes: Lanes,
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) endpoints: Endpoints,
    pub(super) behaviour: Behaviour,
    pub(super) parked: BTreeMap<u64, (EndpointId, Vec<Delivery>)>,
    pub(super) sequence: u64,
    pub(super) storing: Vec<(Instant, EndpointId, Vec<Item>, u64)>,
    pub(super) in_flight: Vec<(Instant, Item, bool)>,
    /// Every POST: when it began, to which endpoint, of which delivery.
    pub(super) posts: Vec<(Duration, EndpointId, DeliveryId)>,
    pub(super) ended: Vec<(DeliveryId, End)>,
    /// What is recorded.
    pub(super) settled: Vec<Key>,
    /// The tenure.
    pub(super) epoch: u64,
    pub(super) most_parked: usize,
}

impl World {
    pub(super) fn new(concurrency: usize, behaviour: Behaviour) -> Self {
        let settings = Settings {
            concurrency,
            breaker: breaker::Settings {
                failures: 10,
                probe_interval: 30 * SECOND,
            },
        };
        let endpoints = Endpoints::default();
        let shared = Arc::clone(&endpoints);
        let lookup = Box::new(move |id| shared.lock().unwrap().get(&id).cloned());
        let hash = Partitions::new(NonZeroU16::MIN);
        let start = Instant::now();
        let mut lanes = Lanes::new(settings, hash, lookup);
        let partition = hash.iter().next().unwrap();
        lanes.gained(partition, EPOCH, SettledSet::of_one(hash), start, NOW_IS);
        Self {
            lanes,
            start,
            // What an earlier owner may have sent is long ago.
            now: start + SECOND,
            endpoints,
            behaviour,
            parked: BTreeMap::new(),
            sequence: 0,
            storing: Vec::new(),
            in_flight: Vec::new(),
            posts: Vec::new(),
            ended: Vec::new(),
            settled: Vec::new(),
            epoch: EPOCH,
            most_parked: 0,
        }
    }

    pub(super) fn partition(&self) -> Partition {
        self.lanes.hash.iter().next().unwrap()
    }

    pub(super) fn endpoint(&mut self, account: &str, rate_limit: Option<u32>) -> EndpointId {
        let endpoint = Endpoint {
            account: AccountId::parse(account).unwrap(),
            rate_limit,
            ..samples::endpoint()
        };
        let id = endpoint.id;
        self.endpoints
            .lock()
            .unwrap()
            .insert(id, Arc::new(endpoint));
        id
    }

    pub(super) fn change(&mut self, id: EndpointId, change: impl FnOnce(&mut Endpoint)) {
        let mut endpoint = (*self.endpoints.lock().unwrap()[&id]).clone();
        change(&mut endpoint);
        self.endpoints
            .lock()
            .unwrap()
            .insert(id, Arc::new(endpoint));
        self.lanes.changed(id, self.now);
    }

    pub(super) fn item(&self, endpoint: EndpointId) -> Item {
        let mut item = samples::item(endpoint);
        let mut event = (*item.delivery.event).clone();
        event.account = self.endpoints.lock().unwrap()[&endpoint].account.clone();
        item.delivery.event = Arc::new(event);
        item.epoch = self.epoch;
        item.arrived_at = self.now;
        item
    }

    pub(super) fn arrive(&mut self, endpoint: EndpointId, count: usize) -> Vec<DeliveryId> {
        let items: Vec<Item> = (0..count).map(|_| self.item(endpoint)).collect();
        let ids = items.iter().map(|item| item.delivery.id).collect();
        let partition = self.partition();
        self.lanes.arrived(partition, items, self.now);
        self.settle();
        ids
    }

    /// Does what the lanes ask for, until they ask for nothing more.
    pub(super) fn settle(&mut self) {
        loop {
            let actions = self.lanes.advance(self.now, NOW_IS);
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.act(action);
            }
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Post(item, endpoint) => {
                let at = self.now - self.start;
                self.posts.push((at, endpoint.id, item.delivery.id));
                let (takes, succeeds) = (self.behaviour)(&item.delivery, at);
                self.in_flight.push((self.now + takes, item, succeeds));
            }
            Action::End(item, end) => {
                self.ended.push((item.delivery.id, end));
                self.lanes.settled(item, ENDED, NOW_IS);
            }
            Action::Repeat(item, _) => self.lanes.repeated(item),
            Action::Park(endpoint, items, ..) => {
                self.sequence += 1;
                let deliveries = items.iter().map(|item| item.delivery.clone()).collect();
                self.parked.insert(self.sequence, (endpoint, deliveries));
                self.most_parked = self.most_parked.max(self.parked.len());
                // It is to be read a while before that is heard.
                self.storing
                    .push((self.now + 3 * MILLI, endpoint, items, self.sequence));
            }
            Action::Read(endpoint, after, max) => {
                let behind = self.parked.range(after + 1..);
                let of_endpoint = behind
                    .filter(|(_, (of, _))| *of == endpoint)
                    .take(max.min(4));
                let lists = of_endpoint.map(|(sequence, (_, deliveries))| {
                    let item = |delivery: &Delivery| Item {
                        delivery: delivery.clone(),
                        source: Source::Parked(*sequence),
                        epoch: self.epoch,
                        arrived_at: self.now,
                    };
                    (*sequence, deliveries.iter().map(item).collect())
                });
                let lists = lists.collect();
                self.lanes.read(endpoint, self.epoch, Some(lists), self.now);
            }
            Action::Discard(endpoint, through) => {
                self.parked
                    .retain(|sequence, (of, _)| *of != endpoint || *sequence > through);
                self.lanes.discarded(endpoint, self.epoch);
            }
        }
    }

    /// Lets `time` pass, a millisecond at a time where something happens.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut next_sweep = self.now;
        while self.now < end {
            self.now += MILLI;
            if self.now >= next_sweep {
                self.lanes.sweep(self.now);
                next_sweep = self.now + SWEEP_OF_ALL / SWEEP_PARTS;
            }
            let now = self.now;
            let over: Vec<_> = self
                .in_flight
                .extract_if(.., |(at, ..)| *at <= now)
                .collect();
            for (_, item, succeeded) in over {
                let account = item.delivery.event.account.clone();
                let endpoint = item.delivery.endpoint_id;
                self.lanes
                    .posted(endpoint, item.epoch, &account, Some(succeeded), now);
                self.settled.push(item.key());
                self.lanes.settled(item, ENDED, NOW_IS);
            }
            let stored: Vec<_> = self.storing.extract_if(.., |(at, ..)| *at <= now).collect();
            for (_, endpoint, items, sequence) in stored {
                self.lanes.stored(endpoint, items, Some(sequence), now);
            }
            self.settle();
        }
    }

    pub(super) fn posts_to(&self, endpoint: EndpointId) -> Vec<Duration> {
        let to = self.posts.iter().filter(|(_, of, _)| *of == endpoint);
        to.map(|(at, ..)| *at).collect()
    }

    pub(super) fn sent_in_order(&self, endpoint: EndpointId) -> Vec<DeliveryId> {
        let to = self.posts.iter().filter(|(_, of, _)| *of == endpoint);
        to.map(|(_, _, delivery)| *delivery).collect()
    }
}

pub(super) const ENDED: Settlement = Settlement {
    next_attempt_at: None,
};

pub(super) fn takes(time: Duration) -> Behaviour {
    Box::new(move |_, _| (time, true))
}

/// The most in any second.
pub(super) fn most_in_a_second(posts: &[Duration]) -> usize {
    let within = |first: &Duration| {
        posts
            .iter()
            .filter(|at| *at >= first && **at < *first + SECOND)
            .count()
    };
    posts.iter().map(within).max().unwrap_or(0)
}

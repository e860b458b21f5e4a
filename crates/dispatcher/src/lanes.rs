//! Every lane of the partitions that this process owns. No I/O: what happened
//! comes in with the time it happened, what is to be done comes out as
//! [`Action`]s.
//!
//! - here: what arrives, and whose turn it is
//! - [`tenure`]: partitions come and go
//! - [`ends`]: what became of what was begun

mod ends;
mod tenure;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::breaker::{self, Breaker};
use domain::{AccountId, DeferralReason, Endpoint, EndpointId, Partition, Partitions, Timestamp};

use crate::decide::{self, End};
use crate::item::Item;
use crate::lane::{Gate, Lane, time_of};
use crate::settled::{Claim, Key, SettledSet, Settlement};
use crate::share::Share;

/// Outcomes that are not recorded yet, at most. When there are so many, nothing
/// new is sent: what cannot be recorded must not be repeated.
const MAX_UNRECORDED: usize = 4_096;

/// How long a lane rests whose delivery could not be settled here, or whose
/// endpoint said that it is gone and is not disabled yet.
const REST: Duration = Duration::from_secs(30);

/// How long until PARKED is asked again.
const READ_AGAIN: Duration = Duration::from_millis(100);

/// Between two looks at a lane.
pub(crate) const SWEEP_OF_ALL: Duration = Duration::from_millis(500);
/// Lanes are looked at in so many parts: what they park is acked then, and the
/// broker writes each ack to disk before it takes the next delivery.
pub(crate) const SWEEP_PARTS: u32 = 10;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Action {
    /// Post it; then say [`Lanes::posted`], and [`Lanes::settled`].
    Post(Item, Arc<Endpoint>),
    /// Record that it ends without a POST; then say [`Lanes::settled`].
    End(Item, End),
    /// It has been done before: see to it that its next attempt is scheduled;
    /// then say [`Lanes::repeated`].
    Repeat(Item, Settlement),
    /// Store them in PARKED, record why; then say [`Lanes::stored`].
    Park(EndpointId, Vec<Item>, DeferralReason, Option<Timestamp>),
    /// Read so many messages of PARKED behind this sequence; then say
    /// [`Lanes::read`].
    Read(EndpointId, u64, usize),
    /// Remove from PARKED up to this sequence; then say [`Lanes::discarded`].
    Discard(EndpointId, u64),
}

/// How lanes are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// POSTs in flight at once, all lanes together.
    pub(crate) concurrency: usize,
    pub(crate) breaker: breaker::Settings,
}

/// Where a lane looks up its endpoint.
type Lookup = Box<dyn Fn(EndpointId) -> Option<Arc<Endpoint>> + Send>;

/// A partition that this process owns.
#[derive(Debug)]
struct Owned {
    epoch: u64,
    since: Instant,
    settled: SettledSet,
    /// Actions under way whose end is not known yet.
    under_way: usize,
    /// Of them, those that an earlier tenure of this process began.
    resumed: HashSet<Key>,
    /// Nothing new is begun where POSTs take long.
    calming: bool,
    /// Nothing new is begun.
    draining: bool,
}

impl Owned {
    /// An action on these items has come to its end.
    fn is_through(&mut self, items: &[Item]) {
        let mut through = 0;
        for item in items {
            if item.epoch == self.epoch {
                through = 1;
            } else if self.resumed.remove(&item.key()) {
                through += 1;
            }
        }
        self.under_way = self.under_way.saturating_sub(through);
    }
}

pub(crate) struct Lanes {
    settings: Settings,
    hash: Partitions,
    lookup: Lookup,
    partitions: HashMap<Partition, Owned>,
    /// What was under way when its partition was lost, and its end since then. It may
    /// have been sent, while its record waits for the broker: if the partition comes
    /// back, it must not be sent again.
    left_behind: HashMap<Partition, HashMap<Key, Option<Settlement>>>,
    lanes: HashMap<EndpointId, Lane>,
    share: Share,
    unrecorded: usize,
    /// Lanes to look at before anything else happens.
    touched: HashSet<EndpointId>,
    timers: BinaryHeap<Reverse<(Instant, EndpointId)>>,
    /// Lanes that this sweep has still to look at, by part.
    unswept: [Vec<EndpointId>; SWEEP_PARTS as usize],
    /// The part that is swept next, and the one of the next lane.
    next_part: usize,
    part_of_next: usize,
    actions: Vec<Action>,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes")
            .field("lanes", &self.lanes.len())
            .finish_non_exhaustive()
    }
}

/// What lanes look like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Census {
    pub(crate) lanes: usize,
    pub(crate) in_flight: usize,
    /// Waiting in memory.
    pub(crate) queued: usize,
    /// Those of them that wait for a place alone.
    pub(crate) ready: usize,
    /// Since when the oldest of those does.
    pub(crate) ready_since: Option<Instant>,
    /// Waiting in PARKED, about.
    pub(crate) parked: u64,
    /// Endpoints that only get probes.
    pub(crate) paused: usize,
}

impl Lanes {
    pub(crate) fn new(settings: Settings, hash: Partitions, lookup: Lookup) -> Self {
        Self {
            share: Share::new(settings.concurrency),
            settings,
            hash,
            lookup,
            partitions: HashMap::new(),
            left_behind: HashMap::new(),
            lanes: HashMap::new(),
            unrecorded: 0,
            touched: HashSet::new(),
            timers: BinaryHeap::new(),
            unswept: Default::default(),
            next_part: 0,
            part_of_next: 0,
            actions: Vec::new(),
        }
    }

    /// Deliveries have arrived.
    pub(crate) fn arrived(&mut self, partition: Partition, items: Vec<Item>, now: Instant) {
        for item in items {
            self.arrive(partition, item, now);
        }
    }

    fn arrive(&mut self, partition: Partition, item: Item, now: Instant) {
        let owned = match self.partitions.get_mut(&partition) {
            Some(owned) if !owned.draining && owned.epoch == item.epoch => owned,
            _ => return item.give_back(),
        };
        let item = match owned.settled.claim(item) {
            Claim::New(item) => item,
            Claim::Follows => return,
            Claim::Done(item, settlement) => return self.repeat(item, settlement),
        };
        let endpoint = item.delivery.endpoint_id;
        if !self.lanes.contains_key(&endpoint) {
            let breaker = Breaker::new(self.settings.breaker);
            let account = Some(item.delivery.event.account.clone());
            self.make_lane(partition, endpoint, account, breaker, now);
        }
        if let Some(lane) = self.lanes.get_mut(&endpoint) {
            lane.push(item, now);
            self.touched.insert(endpoint);
        }
    }

    fn make_lane(
        &mut self,
        partition: Partition,
        id: EndpointId,
        account: Option<AccountId>,
        breaker: Breaker,
        now: Instant,
    ) {
        let endpoint = (self.lookup)(id);
        let of_endpoint = endpoint.as_ref().map(|endpoint| endpoint.account.clone());
        // Nobody's account is nowhere in flight: what is parked for an endpoint
        // that is gone ends without a POST.
        let Some(account) = of_endpoint
            .or(account)
            .or_else(|| AccountId::parse("-").ok())
        else {
            return;
        };
        let since = self
            .partitions
            .get(&partition)
            .map_or(now, |owned| owned.since);
        let mut lane = Lane::new(account, partition, endpoint, breaker, since, now);
        lane.part = self.part_of_next;
        self.part_of_next = (lane.part + 1) % self.unswept.len();
        self.lanes.insert(id, lane);
    }

    /// It is done; its next attempt may not have been scheduled, if whoever did
    /// it died right then.
    fn repeat(&mut self, item: Item, settlement: Settlement) {
        let next = (item.delivery.id, item.delivery.attempt_number + 1);
        let owned = self
            .partitions
            .get(&self.hash.of(item.delivery.endpoint_id));
        let knows_next = owned.is_some_and(|owned| owned.settled.knows(next));
        if settlement.next_attempt_at.is_some() && !knows_next {
            self.actions.push(Action::Repeat(item, settlement));
        } else {
            self.release(item);
        }
    }

    /// The next attempt of what was done before is scheduled.
    pub(crate) fn repeated(&mut self, item: Item) {
        self.release(item);
    }

    /// The directory has another version of the endpoint, or has it no more.
    pub(crate) fn changed(&mut self, endpoint: EndpointId, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(&endpoint) {
            lane.change((self.lookup)(endpoint), now);
            self.touched.insert(endpoint);
        }
    }

    /// Any endpoint may have changed.
    pub(crate) fn all_changed(&mut self, now: Instant) {
        let endpoints: Vec<EndpointId> = self.lanes.keys().copied().collect();
        for endpoint in endpoints {
            self.changed(endpoint, now);
        }
    }

    /// Parks what has waited for too long, in a part of the lanes; drops those that
    /// are idle when a look at all of them begins, and tells that it does. To be
    /// called [`SWEEP_PARTS`] times in [`SWEEP_OF_ALL`].
    pub(crate) fn sweep(&mut self, now: Instant) -> bool {
        let part = self.next_part;
        self.next_part = (part + 1) % self.unswept.len();
        let begins = part == 0;
        if begins {
            self.lanes.retain(|_, lane| !lane.is_idle(now));
            for (id, lane) in self.lanes.iter().filter(|(_, lane)| lane.queued() > 0) {
                self.unswept[lane.part].push(*id);
            }
        }
        for id in self.unswept[part].drain(..) {
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.sweep(now);
                self.touched.insert(id);
            }
        }
        begins
    }

    /// Moves everything on that can move, and gives what is to be done.
    pub(crate) fn advance(&mut self, now: Instant, now_is: Timestamp) -> Vec<Action> {
        while let Some(Reverse((at, endpoint))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            if let Some(lane) = self.lanes.get_mut(&endpoint)
                && lane.wake_at == Some(at)
            {
                lane.wake_at = None;
                self.touched.insert(endpoint);
            }
        }
        let mut touched = std::mem::take(&mut self.touched);
        for endpoint in touched.drain() {
            self.pump(endpoint, now, now_is);
        }
        self.touched = touched;
        while self.unrecorded < MAX_UNRECORDED
            && let Some(endpoint) = self.share.next(now)
        {
            let lane = self.lanes.get_mut(&endpoint);
            let since = lane.and_then(|lane| lane.in_line.take());
            self.pump_one(endpoint, since.unwrap_or(now), now);
        }
        std::mem::take(&mut self.actions)
    }

    /// When to advance again, if nothing happens before.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let may_send = self.unrecorded < MAX_UNRECORDED;
        let turn = may_send.then(|| self.share.next_turn_at()).flatten();
        [timer, turn].into_iter().flatten().min()
    }

    fn pump(&mut self, endpoint: EndpointId, now: Instant, now_is: Timestamp) {
        while self.send_next(endpoint, false, now) {}
        let Some(lane) = self.lanes.get_mut(&endpoint) else {
            return;
        };
        let Some(owned) = self.partitions.get_mut(&lane.partition) else {
            return;
        };
        let hungry = lane.is_hungry();
        if !owned.draining {
            if let Some(items) = lane.backlog.next_list(now, hungry) {
                let (reason, until) = lane.deferral(now);
                let until = until.map(|until| time_of(until, now, now_is));
                owned.under_way += 1;
                self.actions
                    .push(Action::Park(endpoint, items, reason, until));
            }
            if lane.wants_more()
                && let Some(after) = lane.backlog.next_read()
            {
                let max = lane.read_ahead();
                self.actions.push(Action::Read(endpoint, after, max));
            }
        }
        if let Some(through) = lane.backlog.next_discard() {
            self.actions.push(Action::Discard(endpoint, through));
        }
        let next_list_at = lane.backlog.next_list_at(hungry);
        if let Some(at) = next_list_at.filter(|at| *at > now) {
            self.wake_at(endpoint, at);
        }
    }

    /// Its turn in line, where it stands `since` then: one, and to the end of it again.
    fn pump_one(&mut self, endpoint: EndpointId, since: Instant, now: Instant) {
        if self.send_next(endpoint, true, now) {
            self.touched.insert(endpoint);
            if let Some(lane) = self.lanes.get_mut(&endpoint)
                && lane.gate(now) == Gate::Open
                && lane.queued() > 0
                && lane.in_line.is_none()
            {
                lane.in_line = Some(since);
                let account = lane.account.clone();
                self.share.wait(&account, endpoint);
            }
        }
    }

    /// Sends or ends the next delivery of a lane. Gives whether there may be
    /// more to do right away. `in_turn`: it has waited for its account's share.
    fn send_next(&mut self, endpoint: EndpointId, in_turn: bool, now: Instant) -> bool {
        let Some(lane) = self.lanes.get_mut(&endpoint) else {
            return false;
        };
        let Some(owned) = self.partitions.get_mut(&lane.partition) else {
            return false;
        };
        if owned.draining {
            return false;
        }
        let Some(front) = lane.front() else {
            return false;
        };
        let admitted = decide::admit(&front.delivery, lane.endpoint.as_deref());
        if let Err(end) = admitted {
            if let Some(item) = lane.pop() {
                owned.under_way += 1;
                self.unrecorded += 1;
                self.actions.push(Action::End(item, end));
            }
            return true;
        }
        if lane.in_line.is_some() || (owned.calming && lane.is_slow(now)) {
            return false;
        }
        match lane.gate(now) {
            Gate::Open => {}
            Gate::Full => return false,
            Gate::Until(at) => {
                self.wake_at(endpoint, at);
                return false;
            }
        }
        if self.unrecorded >= MAX_UNRECORDED || !self.share.start(&lane.account, in_turn, now) {
            lane.in_line = Some(now);
            let account = lane.account.clone();
            self.share.wait(&account, endpoint);
            return false;
        }
        if let (Some(item), Some(to)) = (lane.pop(), lane.endpoint.clone()) {
            lane.sent(item.is_test(), now);
            owned.under_way += 1;
            self.unrecorded += 1;
            self.actions.push(Action::Post(item, to));
        }
        true
    }

    fn wake_at(&mut self, endpoint: EndpointId, at: Instant) {
        if let Some(lane) = self.lanes.get_mut(&endpoint)
            && lane.wake_at.is_none_or(|known| at < known)
        {
            lane.wake_at = Some(at);
            self.timers.push(Reverse((at, endpoint)));
        }
    }

    pub(crate) fn census(&self, now: Instant) -> Census {
        let mut census = Census {
            lanes: self.lanes.len(),
            in_flight: self.share.in_flight(),
            ..Census::default()
        };
        for lane in self.lanes.values() {
            census.queued += lane.queued();
            let ready = lane.ready(now);
            if ready > 0 {
                census.ready += ready;
                let since = [census.ready_since, lane.ready_since()];
                census.ready_since = since.into_iter().flatten().min();
            }
            census.parked += lane.backlog.waiting();
            census.paused += usize::from(lane.is_paused());
        }
        census
    }
}

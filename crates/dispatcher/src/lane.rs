//! One endpoint's lane: what waits for it in memory, and whether it may be sent
//! to now. Only a partition's owner has one, so nothing of it is shared.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::breaker::{self, Breaker};
use domain::pace::Pacer;
use domain::{AccountId, DeferralReason, Endpoint, Partition, Timestamp};

use crate::backlog::Backlog;
use crate::item::Item;

/// POSTs at once to an endpoint that says nothing else.
pub(crate) const DEFAULT_CONCURRENCY: u32 = 64;

/// A change of owner may wait so long for a POST.
const BRISK: Duration = Duration::from_secs(1);

/// A paced lane with less work than this gets what is being parked for it.
const SOON: Duration = Duration::from_secs(1);

/// What waits longer than this is parked.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// What waits in memory, at most, when it flows.
const MAX_QUEUED: usize = 16_384;

/// A lane flows when what waits will be through within so many sweeps: then
/// nothing is parked, which would only be more work.
const FLOWING_SWEEPS: usize = 16;

/// Test events that wait, at most; more are treated like others.
const MAX_TESTS: usize = 32;

/// PARKED is read on when less than this waits in memory.
const REFILL_BELOW: usize = 16;

/// Messages of PARKED that are read together, of up to 128 deliveries each,
/// where deliveries flow.
const READ_AHEAD: usize = 16;

/// At a rate limit, one of them for so many a second.
const PACE_OF_A_READ: u32 = 64;

/// An idle lane of an endpoint that has failed is kept for so long, with its
/// breaker.
const BREAKER_MEMORY: Duration = Duration::from_secs(3_600);

/// Whether the next one may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Not before this.
    Until(Instant),
    /// When one of those in flight has ended.
    Full,
}

#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) account: AccountId,
    pub(crate) partition: Partition,
    /// As the directory has it; `None` if it has none.
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    /// Waits here, in order.
    queue: VecDeque<Item>,
    /// Test events, which go before the others and past the breaker.
    tests: VecDeque<Item>,
    pub(crate) backlog: Backlog,
    pacer: Option<Pacer>,
    pub(crate) breaker: Breaker,
    pub(crate) in_flight: u32,
    /// When those in flight began, as if they ended in that order.
    begun: VecDeque<Instant>,
    /// How long the last POST took.
    pub(crate) took: Duration,
    /// Since when it stands in line for its account's share.
    pub(crate) in_line: Option<Instant>,
    /// Nothing is sent before this: it cannot be signed, or the endpoint said
    /// that it is gone.
    pub(crate) held_until: Option<Instant>,
    /// When it is looked at again, if that has been arranged.
    pub(crate) wake_at: Option<Instant>,
    /// In which part of the lanes it is looked after.
    pub(crate) part: usize,
    last_used: Instant,
    /// POSTs that ended since the last sweep.
    ended: usize,
}

impl Lane {
    /// `owned_since` is when the partition came to this process: until then,
    /// somebody else may have sent.
    pub(crate) fn new(
        account: AccountId,
        partition: Partition,
        endpoint: Option<Arc<Endpoint>>,
        breaker: Breaker,
        owned_since: Instant,
        now: Instant,
    ) -> Self {
        let limit = endpoint.as_ref().and_then(|endpoint| endpoint.rate_limit);
        Self {
            account,
            partition,
            pacer: limit.map(|limit| Pacer::after(limit, owned_since)),
            endpoint,
            queue: VecDeque::new(),
            tests: VecDeque::new(),
            backlog: Backlog::default(),
            breaker,
            in_flight: 0,
            begun: VecDeque::new(),
            took: Duration::ZERO,
            in_line: None,
            held_until: None,
            wake_at: None,
            part: 0,
            last_used: now,
            ended: 0,
        }
    }

    /// The endpoint has changed, or is gone.
    pub(crate) fn change(&mut self, endpoint: Option<Arc<Endpoint>>, now: Instant) {
        let limit = endpoint.as_ref().and_then(|endpoint| endpoint.rate_limit);
        match (&mut self.pacer, limit) {
            (Some(pacer), Some(limit)) => pacer.change(limit, now),
            (pacer, limit) => *pacer = limit.map(Pacer::per_second),
        }
        // Whatever held it back, its owner may have mended.
        self.held_until = None;
        self.endpoint = endpoint;
    }

    /// Whether its deliveries end without a POST.
    pub(crate) fn is_closed(&self) -> bool {
        self.endpoint
            .as_ref()
            .is_none_or(|endpoint| endpoint.disabled || endpoint.awaits_verification())
    }

    /// Takes an attempt: into memory, or behind what is parked.
    pub(crate) fn push(&mut self, item: Item, now: Instant) {
        self.last_used = now;
        if item.is_test() && self.tests.len() < MAX_TESTS {
            self.tests.push_back(item);
        } else if !item.is_parked() && !self.is_closed() && self.must_park(now) {
            self.backlog.push(item);
        } else {
            self.queue.push_back(item);
        }
    }

    /// Whether what comes would wait for longer than a moment.
    fn must_park(&self, now: Instant) -> bool {
        if !self.backlog.is_empty() || self.queue.len() >= MAX_QUEUED {
            return true;
        }
        if self.breaker.probe_at().is_some() {
            // The next probe is all that can be sent.
            return self.breaker.at_once(now) == 0 || !self.queue.is_empty();
        }
        let ahead = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        self.pacer.as_ref().is_some_and(|pacer| {
            let wait = pacer.ready_at(now).saturating_duration_since(now);
            wait + pacer.interval().saturating_mul(ahead) > PATIENCE
        })
    }

    /// The next one, if there is any.
    pub(crate) fn front(&self) -> Option<&Item> {
        self.tests.front().or_else(|| self.queue.front())
    }

    pub(crate) fn pop(&mut self) -> Option<Item> {
        self.tests.pop_front().or_else(|| self.queue.pop_front())
    }

    /// It was not sent after all: it stays the next one.
    pub(crate) fn put_back(&mut self, item: Item) {
        if item.is_test() {
            self.tests.push_front(item);
        } else {
            self.queue.push_front(item);
        }
    }

    /// Whether the next one may be sent now.
    pub(crate) fn gate(&self, now: Instant) -> Gate {
        let is_test = !self.tests.is_empty();
        let mut at_once = self.max_concurrency();
        if !is_test {
            at_once = at_once.min(self.breaker.at_once(now));
        }
        if self.in_flight >= at_once {
            return match self.breaker.probe_at() {
                Some(at) if at > now && !is_test => Gate::Until(at),
                _ => Gate::Full,
            };
        }
        let paced = self.pacer.as_ref().map(|pacer| pacer.ready_at(now));
        match paced.max(self.held_until) {
            Some(at) if at > now => Gate::Until(at),
            _ => Gate::Open,
        }
    }

    fn max_concurrency(&self) -> u32 {
        let endpoint = self.endpoint.as_ref();
        let own = endpoint.and_then(|endpoint| endpoint.policy.max_concurrency);
        own.unwrap_or(DEFAULT_CONCURRENCY)
    }

    /// The next one is sent now.
    pub(crate) fn sent(&mut self, is_test: bool, now: Instant) {
        self.last_used = now;
        self.in_flight += 1;
        self.begun.push_back(now);
        if let Some(pacer) = &mut self.pacer {
            pacer.sent(now);
        }
        if !is_test {
            self.breaker.sent(now);
        }
    }

    /// A POST has ended; a test's says nothing about the endpoint.
    pub(crate) fn ended(&mut self, result: Option<bool>, now: Instant) -> breaker::Change {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.ended += 1;
        let begun = self.begun.pop_front();
        self.took = begun.map_or(Duration::ZERO, |begun| now.saturating_duration_since(begun));
        match result {
            Some(true) => self.breaker.succeeded(now),
            Some(false) => self.breaker.failed(now),
            None => breaker::Change::None,
        }
    }

    /// Looks after what waits in memory.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let ended = std::mem::take(&mut self.ended);
        if ended * FLOWING_SWEEPS < self.queue.len() {
            self.park_the_patient(now);
        }
    }

    /// Moves what has waited in memory for too long behind what is parked; all
    /// of it if the endpoint is paused.
    pub(crate) fn park_the_patient(&mut self, now: Instant) {
        let paused = self.breaker.probe_at().is_some();
        let is_late = |item: &Item| now.saturating_duration_since(item.arrived_at) > PATIENCE;
        let from = |item: &Item| !item.is_parked() && (paused || is_late(item));
        if self.is_closed() || !self.queue.iter().any(from) {
            return;
        }
        // What came later goes with it, in order.
        let (stay, go) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(Item::is_parked);
        self.queue = stay;
        let go: VecDeque<Item> = go;
        for item in go {
            self.backlog.push(item);
        }
    }

    /// Why what is parked now waits, and until when, about.
    pub(crate) fn deferral(&self, now: Instant) -> (DeferralReason, Option<Instant>) {
        if let Some(probe_at) = self.breaker.probe_at() {
            return (DeferralReason::Paused, Some(probe_at));
        }
        let until = self.pacer.as_ref().map(|pacer| {
            let ahead = self.backlog.waiting() + self.queue.len() as u64;
            let wait = pacer
                .interval()
                .saturating_mul(u32::try_from(ahead).unwrap_or(u32::MAX));
            pacer.ready_at(now).max(now) + wait
        });
        (DeferralReason::Throttled, until)
    }

    /// Whether its POSTs take so long that a change of owner should not have to
    /// wait for another one.
    pub(crate) fn is_slow(&self, now: Instant) -> bool {
        let oldest = self.begun.front();
        self.took > BRISK || oldest.is_some_and(|at| now.saturating_duration_since(*at) > BRISK)
    }

    /// Whether it will soon be out of work, but for what is being parked.
    pub(crate) fn is_hungry(&self) -> bool {
        if self.breaker.probe_at().is_some() {
            return false;
        }
        let queued = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        match &self.pacer {
            Some(pacer) => pacer.interval().saturating_mul(queued) < SOON,
            None => queued <= self.in_flight,
        }
    }

    /// Whether more should be read from PARKED.
    pub(crate) fn wants_more(&self) -> bool {
        self.queue.len() < REFILL_BELOW
    }

    /// How many messages of PARKED to read now. Where little flows it is one:
    /// endpoints that are paused or slowly paced must not fill the memory,
    /// however many they are.
    pub(crate) fn read_ahead(&self) -> usize {
        if !self.breaker.is_pristine() {
            return 1;
        }
        let limit = self.endpoint.as_ref().and_then(|one| one.rate_limit);
        limit.map_or(READ_AHEAD, |limit| {
            usize::try_from(limit / PACE_OF_A_READ)
                .unwrap_or(READ_AHEAD)
                .clamp(1, READ_AHEAD)
        })
    }

    /// How many wait in memory.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len() + self.tests.len()
    }

    /// How many of them wait for nothing but a place among the POSTs of all: neither its
    /// own limits nor its failures hold them back.
    pub(crate) fn ready(&self, now: Instant) -> usize {
        if self.in_line.is_some() && self.gate(now) == Gate::Open {
            self.queued()
        } else {
            0
        }
    }

    /// Since when the oldest in memory waits for a place. What was put back in front is
    /// no younger than what stands behind it.
    pub(crate) fn ready_since(&self) -> Option<Instant> {
        let first = |queue: &VecDeque<Item>| queue.front().map(|item| item.arrived_at);
        let came = [first(&self.queue), first(&self.tests)];
        self.in_line.max(came.into_iter().flatten().min())
    }

    /// Whether it only gets probes.
    pub(crate) fn is_paused(&self) -> bool {
        self.breaker.probe_at().is_some() && !self.is_closed()
    }

    /// Whether nothing would be lost with it.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        let unused = now.saturating_duration_since(self.last_used);
        self.queued() == 0
            && self.in_flight == 0
            && self.in_line.is_none()
            && self.backlog.is_done()
            && self.held_until.is_none_or(|until| until <= now)
            && self.pacer.as_ref().is_none_or(|pacer| pacer.is_idle(now))
            && (self.breaker.is_pristine() || unused > BREAKER_MEMORY)
    }

    /// Everything in memory, to be given back: this process lets go.
    pub(crate) fn give_back(&mut self) -> Vec<Item> {
        let queued = self.tests.drain(..).chain(self.queue.drain(..));
        queued.chain(self.backlog.give_back()).collect()
    }
}

/// An instant of this process's clock as a time of day.
pub(crate) fn time_of(instant: Instant, now: Instant, now_is: Timestamp) -> Timestamp {
    now_is.plus(instant.saturating_duration_since(now))
}

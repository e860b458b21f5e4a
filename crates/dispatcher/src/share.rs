//! What is in flight, and whose turn it is when not everybody may send.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use domain::{AccountId, EndpointId, share};

/// Turns may come so close to each other, as long as the mean distance is kept:
/// timers are not exact.
const BUNCH: Duration = Duration::from_millis(10);

/// POSTs over which an account's mean goes, about.
const MEMORY: u32 = 8;

/// POSTs in flight, by account, and the endpoints that wait for their account's
/// turn.
#[derive(Debug)]
pub(crate) struct Share {
    capacity: usize,
    in_flight: usize,
    accounts: HashMap<AccountId, Account>,
    /// Accounts that have waiting endpoints, in turn.
    waiting: VecDeque<AccountId>,
}

#[derive(Debug, Default)]
struct Account {
    in_flight: usize,
    /// In turn, each once.
    waiting: VecDeque<EndpointId>,
    /// How long its POSTs took lately; zero at first.
    mean: Duration,
    /// None of those who wait has its turn before.
    turn_at: Option<Instant>,
}

impl Account {
    /// Whether one of those who wait may start now.
    fn has_turn(&self, now: Instant) -> bool {
        self.turn_at.is_none_or(|at| at <= now)
    }

    fn takes_turn(&mut self, places: usize, now: Instant) {
        let from = self.turn_at.max(now.checked_sub(BUNCH)).unwrap_or(now);
        self.turn_at = Some(from + share::turn_interval(self.mean, places));
    }
}

impl Share {
    /// `capacity` POSTs at once, at least one.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            in_flight: 0,
            accounts: HashMap::new(),
            waiting: VecDeque::new(),
        }
    }

    /// POSTs in flight.
    pub(crate) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Takes a place for a POST, if the account may have one more. Who does not
    /// have its turn stands behind those who wait.
    pub(crate) fn start(&mut self, account: &AccountId, in_turn: bool, now: Instant) -> bool {
        let own = self.accounts.get(account);
        let of_account = own.map_or(0, |own| own.in_flight);
        let others_wait = !in_turn && own.is_some_and(|own| !own.waiting.is_empty());
        if others_wait || !share::may_start(of_account, self.in_flight, self.capacity) {
            return false;
        }
        let places = share::places(self.in_flight - of_account, self.capacity);
        self.in_flight += 1;
        let own = match self.accounts.get_mut(account) {
            Some(own) => own,
            None => self.accounts.entry(account.clone()).or_default(),
        };
        if in_turn {
            own.takes_turn(places, now);
        }
        own.in_flight += 1;
        true
    }

    /// A POST has ended, after `took`.
    pub(crate) fn end(&mut self, account: &AccountId, took: Duration) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(own) = self.accounts.get_mut(account) {
            own.in_flight = own.in_flight.saturating_sub(1);
            own.mean = own.mean - own.mean / MEMORY + took / MEMORY;
            if own.in_flight == 0 && own.waiting.is_empty() {
                self.accounts.remove(account);
            }
        }
    }

    /// The endpoint wants to send and its account may not. Call it once until
    /// the endpoint is [`Share::next`].
    pub(crate) fn wait(&mut self, account: &AccountId, endpoint: EndpointId) {
        let own = self.accounts.entry(account.clone()).or_default();
        if own.waiting.is_empty() {
            self.waiting.push_back(account.clone());
        }
        own.waiting.push_back(endpoint);
    }

    /// The endpoint whose turn it is: accounts take turns, and within an
    /// account its endpoints. `None` if nobody who waits may start now.
    pub(crate) fn next(&mut self, now: Instant) -> Option<EndpointId> {
        for _ in 0..self.waiting.len() {
            let account = self.waiting.pop_front()?;
            let Some(own) = self.accounts.get_mut(&account) else {
                continue;
            };
            let has_room = share::may_start(own.in_flight, self.in_flight, self.capacity);
            if !has_room || !own.has_turn(now) {
                self.waiting.push_back(account);
                continue;
            }
            let endpoint = own.waiting.pop_front();
            if !own.waiting.is_empty() {
                self.waiting.push_back(account);
            } else if own.in_flight == 0 {
                self.accounts.remove(&account);
            }
            if endpoint.is_some() {
                return endpoint;
            }
        }
        None
    }

    /// When to ask again, if no POST ends before.
    pub(crate) fn next_turn_at(&self) -> Option<Instant> {
        let waiting = self.waiting.iter();
        waiting
            .filter_map(|account| self.accounts.get(account))
            .filter(|own| share::may_start(own.in_flight, self.in_flight, self.capacity))
            .filter_map(|own| own.turn_at)
            .min()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    fn account(name: &str) -> AccountId {
        AccountId::parse(name).unwrap()
    }

    #[test]
    fn an_account_that_hangs_leaves_room_for_another() {
        let (greedy, modest) = (account("greedy"), account("modest"));
        let mut share = Share::new(100);
        let mut started = 0;
        let now = Instant::now();
        while share.start(&greedy, false, now) {
            started += 1;
        }
        assert_eq!(started, 80);
        assert!(share.start(&modest, false, now));
    }

    #[test]
    fn what_timed_out_together_does_not_begin_together() {
        const TIMEOUT: Duration = Duration::from_secs(10);
        let (crowd, mut now) = (account("crowd"), Instant::now());
        let mut share = Share::new(100);
        while share.start(&crowd, false, now) {}
        (0..200).for_each(|_| share.wait(&crowd, EndpointId::new()));
        now += TIMEOUT;
        (0..80).for_each(|_| share.end(&crowd, TIMEOUT));
        let mut starts = Vec::new();
        while starts.len() < 80 {
            while share.next(now).is_some() {
                assert!(share.start(&crowd, true, now));
                starts.push(now);
            }
            now = share.next_turn_at().unwrap_or(now).max(now + TICK);
        }
        let second = Duration::from_secs(1);
        for (number, at) in starts.iter().enumerate() {
            let within = starts[number..]
                .iter()
                .take_while(|other| **other < *at + second);
            assert!(within.count() <= 16, "{number}");
        }
        assert!(*starts.last().unwrap() - starts[0] < TIMEOUT);
    }

    #[test]
    fn turns_are_quick_again_when_posts_are() {
        let (crowd, mut now) = (account("crowd"), Instant::now());
        let mut share = Share::new(100);
        while share.start(&crowd, false, now) {}
        (0..80).for_each(|_| share.end(&crowd, Duration::from_secs(10)));
        (0..2_000).for_each(|_| share.wait(&crowd, EndpointId::new()));
        let began = now;
        let mut ended = 0;
        while ended < 2_000 {
            while share.next(now).is_some() {
                assert!(share.start(&crowd, true, now));
                share.end(&crowd, TICK);
                ended += 1;
            }
            now += TICK;
        }
        assert!(now - began < Duration::from_secs(10), "{:?}", now - began);
    }

    #[test]
    fn accounts_take_turns_and_so_do_their_endpoints() {
        let (first, second) = (account("first"), account("second"));
        let mut share = Share::new(1);
        let now = Instant::now();
        assert!(share.start(&first, false, now));
        let ids: Vec<EndpointId> = (0..3).map(|_| EndpointId::new()).collect();
        share.wait(&first, ids[0]);
        share.wait(&first, ids[1]);
        share.wait(&second, ids[2]);
        assert_eq!(share.next(now), None);
        let mut order = Vec::new();
        share.end(&first, Duration::ZERO);
        while let Some(next) = share.next(now) {
            let whose = if next == ids[2] { &second } else { &first };
            assert!(share.start(whose, true, now));
            share.end(whose, Duration::ZERO);
            order.push(next);
        }
        assert_eq!(order, [ids[0], ids[2], ids[1]]);
        assert!(share.accounts.is_empty() && share.waiting.is_empty());
    }
}

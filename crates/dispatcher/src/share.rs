//! What is in flight, and whose turn it is when not everybody may send.

use std::collections::{HashMap, VecDeque};

use domain::{AccountId, EndpointId, share};

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

    /// Takes a place for a POST, if the account may have one more.
    pub(crate) fn start(&mut self, account: &AccountId) -> bool {
        let of_account = self.accounts.get(account).map_or(0, |own| own.in_flight);
        if !share::may_start(of_account, self.in_flight, self.capacity) {
            return false;
        }
        self.in_flight += 1;
        match self.accounts.get_mut(account) {
            Some(own) => own.in_flight += 1,
            None => {
                let own = Account {
                    in_flight: 1,
                    waiting: VecDeque::new(),
                };
                self.accounts.insert(account.clone(), own);
            }
        }
        true
    }

    /// A POST has ended.
    pub(crate) fn end(&mut self, account: &AccountId) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(own) = self.accounts.get_mut(account) {
            own.in_flight = own.in_flight.saturating_sub(1);
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
    /// account its endpoints. `None` if nobody who waits may start.
    pub(crate) fn next(&mut self) -> Option<EndpointId> {
        for _ in 0..self.waiting.len() {
            let account = self.waiting.pop_front()?;
            let Some(own) = self.accounts.get_mut(&account) else {
                continue;
            };
            if !share::may_start(own.in_flight, self.in_flight, self.capacity) {
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
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn account(name: &str) -> AccountId {
        AccountId::parse(name).unwrap()
    }

    #[test]
    fn an_account_that_hangs_leaves_room_for_another() {
        let (greedy, modest) = (account("greedy"), account("modest"));
        let mut share = Share::new(100);
        let mut started = 0;
        while share.start(&greedy) {
            started += 1;
        }
        assert_eq!(started, 80);
        assert!(share.start(&modest));
    }

    #[test]
    fn accounts_take_turns_and_so_do_their_endpoints() {
        let (first, second) = (account("first"), account("second"));
        let mut share = Share::new(1);
        assert!(share.start(&first));
        let ids: Vec<EndpointId> = (0..3).map(|_| EndpointId::new()).collect();
        share.wait(&first, ids[0]);
        share.wait(&first, ids[1]);
        share.wait(&second, ids[2]);
        assert_eq!(share.next(), None);
        let mut order = Vec::new();
        share.end(&first);
        while let Some(next) = share.next() {
            let whose = if next == ids[2] { &second } else { &first };
            assert!(share.start(whose));
            share.end(whose);
            order.push(next);
        }
        assert_eq!(order, [ids[0], ids[2], ids[1]]);
        assert!(share.accounts.is_empty() && share.waiting.is_empty());
    }
}

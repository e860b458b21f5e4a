//! What has been settled in the last minutes: a delivery that comes again, by a
//! redelivery, a schedule that fired twice, or a plan made twice, is found here
//! and not posted again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use domain::{DeliveryId, Timestamp};
use tokio::sync::watch;

/// Outcomes are kept for this long.
pub(crate) const MEMORY: Duration = Duration::from_secs(600);

/// One attempt to be made: the delivery and the attempt's number.
pub(crate) type Key = (DeliveryId, u32);

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settlement {
    /// When the next attempt is due; `None` if the delivery has ended.
    pub(crate) next_attempt_at: Option<Timestamp>,
}

/// What the set says to somebody who wants to make an attempt.
#[derive(Debug)]
pub(crate) enum Claim {
    /// Go on; nobody else does while the ticket is held.
    New(Ticket),
    /// Somebody else is at it. Changes, or closes, when they are through: then
    /// claim again.
    InProgress(watch::Receiver<()>),
    /// It has been done.
    Done(Settlement),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct SettledSet(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Key, Entry>,
    /// What is done, by the time it was noted.
    by_age: VecDeque<(Timestamp, Key)>,
}

#[derive(Debug)]
enum Entry {
    InProgress(watch::Receiver<()>),
    Done(Settlement),
}

impl SettledSet {
    /// Takes an attempt, unless it is taken or done.
    pub(crate) fn claim(&self, key: Key) -> Claim {
        let mut inner = self.lock();
        match inner.entries.get(&key) {
            Some(Entry::Done(settlement)) => Claim::Done(*settlement),
            Some(Entry::InProgress(end)) => Claim::InProgress(end.clone()),
            None => {
                let (sender, end) = watch::channel(());
                inner.entries.insert(key, Entry::InProgress(end));
                Claim::New(Ticket {
                    set: self.clone(),
                    key,
                    _end: sender,
                })
            }
        }
    }

    /// Notes what was recorded, here or elsewhere. What is in progress here
    /// stays so: its holder settles it.
    pub(crate) fn note(&self, key: Key, settlement: Settlement, now: Timestamp) {
        let mut inner = self.lock();
        inner.forget_older_than(now.minus(MEMORY));
        if !inner.entries.contains_key(&key) {
            inner.done(key, settlement, now);
        }
    }

    /// Whether the attempt is in progress here, or done.
    pub(crate) fn knows(&self, key: Key) -> bool {
        self.lock().entries.contains_key(&key)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no panic holds it")
    }
}

impl Inner {
    fn done(&mut self, key: Key, settlement: Settlement, now: Timestamp) {
        self.entries.insert(key, Entry::Done(settlement));
        self.by_age.push_back((now, key));
    }

    fn forget_older_than(&mut self, limit: Timestamp) {
        while let Some((at, key)) = self.by_age.front()
            && *at < limit
        {
            self.entries.remove(key);
            self.by_age.pop_front();
        }
    }
}

/// The right to make an attempt. Dropped without being settled, the attempt is
/// free again.
#[derive(Debug)]
pub(crate) struct Ticket {
    set: SettledSet,
    key: Key,
    /// Closes the channel that others wait on.
    _end: watch::Sender<()>,
}

impl Ticket {
    /// Notes the outcome, which must have been recorded.
    pub(crate) fn settle(self, settlement: Settlement, now: Timestamp) {
        let mut inner = self.set.lock();
        inner.forget_older_than(now.minus(MEMORY));
        inner.done(self.key, settlement, now);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut inner = self.set.lock();
        if let Some(Entry::InProgress(_)) = inner.entries.get(&self.key) {
            inner.entries.remove(&self.key);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ENDED: Settlement = Settlement {
        next_attempt_at: None,
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1_000)
    }

    #[test]
    fn a_settled_attempt_is_done_and_the_next_one_is_new() {
        let set = SettledSet::default();
        let id = DeliveryId::new();
        let retry = Settlement {
            next_attempt_at: Some(at(5)),
        };
        let Claim::New(ticket) = set.claim((id, 1)) else {
            panic!("it is new")
        };
        ticket.settle(retry, at(0));
        assert!(matches!(set.claim((id, 1)), Claim::Done(found) if found == retry));
        assert!(set.knows((id, 1)) && !set.knows((id, 2)));
        assert!(matches!(set.claim((id, 2)), Claim::New(_)));
    }

    #[tokio::test]
    async fn a_second_claim_waits_for_the_first() {
        let set = SettledSet::default();
        let key = (DeliveryId::new(), 1);
        let Claim::New(ticket) = set.claim(key) else {
            panic!("it is new")
        };
        let Claim::InProgress(mut end) = set.claim(key) else {
            panic!("it is taken")
        };
        set.note(key, ENDED, at(0));
        assert!(matches!(set.claim(key), Claim::InProgress(_)));
        ticket.settle(ENDED, at(0));
        let _ = end.changed().await;
        assert!(matches!(set.claim(key), Claim::Done(_)));
    }

    #[test]
    fn an_abandoned_attempt_is_free_again() {
        let set = SettledSet::default();
        let key = (DeliveryId::new(), 1);
        let Claim::New(ticket) = set.claim(key) else {
            panic!("it is new")
        };
        drop(ticket);
        assert!(matches!(set.claim(key), Claim::New(_)));
    }

    #[test]
    fn outcomes_are_forgotten_after_ten_minutes() {
        let set = SettledSet::default();
        let (old, new) = ((DeliveryId::new(), 1), (DeliveryId::new(), 1));
        set.note(old, ENDED, at(0));
        set.note(new, ENDED, at(600));
        assert!(set.knows(old));
        set.note((DeliveryId::new(), 1), ENDED, at(601));
        assert!(!set.knows(old) && set.knows(new));
    }
}

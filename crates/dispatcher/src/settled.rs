//! What has been settled lately in one partition: a delivery that comes again,
//! by a redelivery, a schedule that fired twice, or a plan made twice, is found
//! here and not posted again.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use domain::{DeliveryId, Outcome, Partitions, Record, Timestamp};

use crate::item::Item;

/// Outcomes are kept for this long.
pub(crate) const MEMORY: Duration = Duration::from_secs(600);

/// And at most so many of them in all partitions, some 100 bytes each.
const CAPACITY: usize = 2_097_152;

/// One attempt to be made: the delivery and the attempt's number.
pub(crate) type Key = (DeliveryId, u32);

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settlement {
    /// When the next attempt is due; `None` if the delivery has ended.
    pub(crate) next_attempt_at: Option<Timestamp>,
}

impl Settlement {
    /// What a record says about its attempt; `None` if that is still to be made.
    pub(crate) fn of(record: &Record) -> Option<Self> {
        let next_attempt_at = match &record.outcome {
            Outcome::Attempt(attempt) => attempt.next_attempt_at,
            Outcome::Ended { .. } => None,
            Outcome::Deferred { .. } => return None,
        };
        Some(Self { next_attempt_at })
    }
}

/// What the set says of an attempt that is to be made.
#[derive(Debug)]
pub(crate) enum Claim {
    /// Go on: it is taken by this call.
    New(Item),
    /// The same is in work already, and this one now waits for its end.
    Follows,
    /// It has been done.
    Done(Item, Settlement),
}

#[derive(Debug)]
pub(crate) struct SettledSet {
    capacity: usize,
    entries: HashMap<Key, Entry>,
    /// What is done, by the time it was noted.
    by_age: VecDeque<(Timestamp, Key)>,
}

#[derive(Debug)]
enum Entry {
    /// With copies that came meanwhile, nearly always none.
    InWork(Vec<Item>),
    Done(Settlement),
}

impl SettledSet {
    /// Of one of these partitions.
    pub(crate) fn of_one(partitions: Partitions) -> Self {
        Self {
            capacity: CAPACITY / usize::from(partitions.count().get()),
            entries: HashMap::new(),
            by_age: VecDeque::new(),
        }
    }

    /// Takes an attempt, unless it is taken or done.
    pub(crate) fn claim(&mut self, item: Item) -> Claim {
        match self.entries.get_mut(&item.key()) {
            Some(Entry::Done(settlement)) => Claim::Done(item, *settlement),
            Some(Entry::InWork(followers)) => {
                followers.push(item);
                Claim::Follows
            }
            None => {
                self.entries.insert(item.key(), Entry::InWork(Vec::new()));
                Claim::New(item)
            }
        }
    }

    /// Notes what was recorded, here or by an earlier owner. Gives the copies
    /// that waited for it: they are settled too.
    pub(crate) fn settle(&mut self, key: Key, settlement: Settlement, now: Timestamp) -> Vec<Item> {
        self.forget(now.minus(MEMORY));
        let before = self.entries.insert(key, Entry::Done(settlement));
        if !matches!(before, Some(Entry::Done(_))) {
            self.by_age.push_back((now, key));
        }
        match before {
            Some(Entry::InWork(followers)) => followers,
            Some(Entry::Done(_)) | None => Vec::new(),
        }
    }

    /// Nothing was made of it: the attempt is free again. Gives the copies that
    /// waited for it.
    pub(crate) fn free(&mut self, key: Key) -> Vec<Item> {
        match self.entries.get(&key) {
            Some(Entry::InWork(_)) => {}
            Some(Entry::Done(_)) | None => return Vec::new(),
        }
        match self.entries.remove(&key) {
            Some(Entry::InWork(followers)) => followers,
            Some(Entry::Done(_)) | None => Vec::new(),
        }
    }

    /// What is in work; its copies come again.
    pub(crate) fn in_work(&self) -> impl Iterator<Item = Key> {
        let in_work = |entry: &Entry| matches!(entry, Entry::InWork(_));
        let entries = self.entries.iter();
        entries.filter_map(move |(key, entry)| in_work(entry).then_some(*key))
    }

    /// It has been in work here since before this set was made. Gives whether it still
    /// is: its record may be known already.
    pub(crate) fn resume(&mut self, key: Key) -> bool {
        let entry = self.entries.entry(key);
        matches!(
            entry.or_insert_with(|| Entry::InWork(Vec::new())),
            Entry::InWork(_)
        )
    }

    /// Whether the attempt is in work here, or done.
    pub(crate) fn knows(&self, key: Key) -> bool {
        self.entries.contains_key(&key)
    }

    fn forget(&mut self, limit: Timestamp) {
        while let Some((at, key)) = self.by_age.front()
            && (*at < limit || self.by_age.len() >= self.capacity)
        {
            self.entries.remove(key);
            self.by_age.pop_front();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::num::NonZeroU16;

    use domain::EndpointId;

    use super::*;
    use crate::samples;

    const ENDED: Settlement = Settlement {
        next_attempt_at: None,
    };

    fn set() -> SettledSet {
        SettledSet::of_one(Partitions::new(NonZeroU16::new(64).unwrap()))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1_000)
    }

    fn copies() -> [Item; 3] {
        let item = samples::item(EndpointId::new());
        let copy = || Item {
            delivery: item.delivery.clone(),
            source: item.source.clone(),
            epoch: item.epoch,
            arrived_at: item.arrived_at,
        };
        let (second, third) = (copy(), copy());
        [item, second, third]
    }

    #[test]
    fn a_settled_attempt_is_done_and_the_next_one_is_new() {
        let mut set = set();
        let [first, again, mut next] = copies();
        let key = first.key();
        let retry = Settlement {
            next_attempt_at: Some(at(5)),
        };
        assert!(matches!(set.claim(first), Claim::New(_)));
        set.settle(key, retry, at(0));
        assert!(matches!(set.claim(again), Claim::Done(_, found) if found == retry));
        next.delivery.attempt_number += 1;
        assert!(!set.knows(next.key()));
        assert!(matches!(set.claim(next), Claim::New(_)));
    }

    #[test]
    fn copies_wait_for_the_first_and_share_its_end() {
        let mut set = set();
        let [first, second, third] = copies();
        let key = first.key();
        assert!(matches!(set.claim(first), Claim::New(_)));
        assert!(matches!(set.claim(second), Claim::Follows));
        assert_eq!(set.settle(key, ENDED, at(0)).len(), 1);
        assert!(matches!(set.claim(third), Claim::Done(..)));
    }

    #[test]
    fn an_abandoned_attempt_is_free_again() {
        let mut set = set();
        let [first, second, third] = copies();
        let key = first.key();
        assert!(matches!(set.claim(first), Claim::New(_)));
        assert!(matches!(set.claim(second), Claim::Follows));
        assert_eq!(set.free(key).len(), 1);
        assert!(matches!(set.claim(third), Claim::New(_)));
    }

    #[test]
    fn outcomes_are_forgotten_after_ten_minutes() {
        let mut set = set();
        let (old, new) = ((DeliveryId::new(), 1), (DeliveryId::new(), 1));
        set.settle(old, ENDED, at(0));
        set.settle(new, ENDED, at(600));
        assert!(set.knows(old));
        set.settle((DeliveryId::new(), 1), ENDED, at(601));
        assert!(!set.knows(old) && set.knows(new));
    }

    #[test]
    fn the_oldest_make_room() {
        let mut set = set();
        let first = (DeliveryId::new(), 1);
        set.settle(first, ENDED, at(0));
        for _ in 1..set.capacity {
            set.settle((DeliveryId::new(), 1), ENDED, at(0));
        }
        assert!(set.knows(first));
        set.settle((DeliveryId::new(), 1), ENDED, at(0));
        assert!(!set.knows(first));
        assert_eq!(set.entries.len(), set.capacity);
    }
}

//! What of an endpoint's deliveries stands in PARKED, and how far it is dealt
//! with. Order is kept: while anything is parked, what comes is parked behind
//! it.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::item::Item;

/// Deliveries of one message of PARKED at most.
const MAX_LIST: usize = 128;
/// Bytes of bodies in one, unless a single one has more.
const MAX_LIST_BYTES: usize = 192 * 1_024;
/// What stands beside the body.
const ITEM_BYTES: usize = 256;
/// Between a list and the next short one, while the lane has enough to do: drawn
/// anew each time, so that many lanes do not store theirs together.
const GATHER: Range<Duration> = Duration::from_secs(2)..Duration::from_secs(4);
/// The same for a lane that is about to run out of work, and for lists that are
/// no longer short: they take memory.
const GATHER_BRIEFLY: Duration = Duration::from_millis(250);
/// Deliveries of a short list, at most.
const SHORT: usize = 16;
/// Reads that found nothing where something should be: then it is gone.
const MAX_EMPTY_READS: u32 = 20;

#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// What is to be parked next.
    incoming: VecDeque<Item>,
    /// A list is being stored.
    parking: bool,
    /// When the last list was begun, and how long to gather for the next.
    listed: Option<(Instant, Duration)>,
    /// The last message that was read.
    read: u64,
    /// The last one that is known to be stored; `u64::MAX` if that is unknown.
    stored: u64,
    reading: bool,
    empty_reads: u32,
    /// Messages that were read, in order, with how many of their deliveries are
    /// not settled yet. The first one has some.
    open: VecDeque<(u64, usize)>,
    /// All up to this one are settled.
    settled: u64,
    /// And all up to this one are removed.
    discarded: u64,
    discarding: bool,
    /// About how many deliveries are parked and not read.
    waiting: u64,
}

impl Backlog {
    /// Something is parked that this process has not seen.
    pub(crate) fn found(&mut self, messages: u64) {
        if self.stored <= self.read {
            self.stored = u64::MAX;
            self.waiting = self.waiting.max(messages);
        }
    }

    /// Whether nothing is parked that was not read. Otherwise what comes must be
    /// parked too, to keep its place.
    pub(crate) fn is_empty(&self) -> bool {
        self.incoming.is_empty() && !self.parking && self.stored <= self.read
    }

    /// Whether there is nothing left to see to.
    pub(crate) fn is_done(&self) -> bool {
        self.is_empty()
            && self.open.is_empty()
            && !self.discarding
            && self.discarded == self.settled
    }

    /// Deliveries that wait behind those in memory, about.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting + self.incoming.len() as u64
    }

    pub(crate) fn push(&mut self, item: Item) {
        self.incoming.push_back(item);
    }

    /// When there will be a list to store, if something waits for that.
    pub(crate) fn next_list_at(&self, hungry: bool) -> Option<Instant> {
        if self.parking || self.incoming.is_empty() {
            return None;
        }
        self.listed.map(|(at, gather)| {
            at + if hungry || self.incoming.len() > SHORT {
                GATHER_BRIEFLY
            } else {
                gather
            }
        })
    }

    /// The next list to store, one at a time. What is parked is in no hurry, so
    /// it is gathered: each list costs the broker a write to disk. Only a lane
    /// that is `hungry` will soon want to read it.
    pub(crate) fn next_list(&mut self, now: Instant, hungry: bool) -> Option<Vec<Item>> {
        let gathers = self.next_list_at(hungry).is_some_and(|at| at > now);
        if self.parking || self.incoming.is_empty() || (gathers && self.incoming.len() < MAX_LIST) {
            return None;
        }
        self.listed = Some((now, rand::random_range(GATHER)));
        let mut bytes = 0;
        let mut list = Vec::new();
        while list.len() < MAX_LIST
            && let Some(item) = self.incoming.front()
        {
            bytes += ITEM_BYTES + item.delivery.event.content.inline_bytes();
            if bytes > MAX_LIST_BYTES && !list.is_empty() {
                break;
            }
            list.extend(self.incoming.pop_front());
        }
        self.parking = true;
        Some(list)
    }

    /// A list of `count` deliveries is stored, or was refused (`None`).
    pub(crate) fn stored(&mut self, sequence: Option<u64>, count: u64) {
        self.parking = false;
        if let Some(sequence) = sequence {
            // It may have been read before this was heard.
            if sequence > self.read {
                self.waiting += count;
            }
            // Unknown stays unknown: there may be more before this one.
            self.stored = self.stored.max(sequence);
        }
    }

    /// Where to read on, if there is something to read and nobody reads.
    pub(crate) fn next_read(&mut self) -> Option<u64> {
        if self.reading || self.stored <= self.read {
            return None;
        }
        self.reading = true;
        Some(self.read)
    }

    /// A message was read, with so many deliveries.
    pub(crate) fn took(&mut self, sequence: u64, count: usize) {
        self.read = self.read.max(sequence);
        self.waiting = self.waiting.saturating_sub(count as u64);
        self.open.push_back((sequence, count));
        self.empty_reads = 0;
        self.pass_settled();
    }

    /// A read has ended; `found` says whether there was anything. Gives whether
    /// to try again a little later: what was stored is not to be seen yet.
    pub(crate) fn read_ended(&mut self, found: bool) -> bool {
        self.reading = false;
        if found || self.stored <= self.read {
            return false;
        }
        self.empty_reads += 1;
        if self.stored == u64::MAX || self.empty_reads >= MAX_EMPTY_READS {
            self.stored = self.read;
            self.waiting = 0;
            self.empty_reads = 0;
            return false;
        }
        true
    }

    /// The read failed; what is there is read later.
    pub(crate) fn read_failed(&mut self) {
        self.reading = false;
    }

    /// One delivery of a message that was read is settled.
    pub(crate) fn settled(&mut self, sequence: u64) {
        if let Ok(place) = self.open.binary_search_by_key(&sequence, |(open, _)| *open) {
            self.open[place].1 = self.open[place].1.saturating_sub(1);
        }
        self.pass_settled();
    }

    fn pass_settled(&mut self) {
        while let Some((sequence, 0)) = self.open.front() {
            self.settled = *sequence;
            self.open.pop_front();
        }
    }

    /// Up to where messages may be removed, one removal at a time.
    pub(crate) fn next_discard(&mut self) -> Option<u64> {
        if self.discarding || self.settled <= self.discarded {
            return None;
        }
        self.discarding = true;
        self.discarded = self.settled;
        Some(self.settled)
    }

    pub(crate) fn discard_ended(&mut self) {
        self.discarding = false;
    }

    /// Everything in memory that is to come again: this process lets go.
    pub(crate) fn give_back(&mut self) -> impl Iterator<Item = Item> {
        self.incoming.drain(..)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use domain::EndpointId;

    use super::*;
    use crate::samples;

    fn push(backlog: &mut Backlog, count: usize) {
        for _ in 0..count {
            backlog.push(samples::item(EndpointId::new()));
        }
    }

    #[test]
    fn a_list_is_what_gathered_since_the_last_one() {
        let mut backlog = Backlog::default();
        let now = Instant::now();
        assert!(backlog.is_empty() && backlog.is_done());
        push(&mut backlog, 1);
        assert_eq!(backlog.next_list(now, false).unwrap().len(), 1);
        push(&mut backlog, 200);
        assert!(backlog.next_list(now, false).is_none());
        backlog.stored(Some(7), 1);
        assert_eq!(backlog.next_list(now, false).unwrap().len(), 128);
        backlog.stored(Some(9), 128);
        assert!(backlog.next_list(now, false).is_none());
        let soon = now + GATHER_BRIEFLY;
        assert_eq!(backlog.next_list(soon, false).unwrap().len(), 72);
        assert_eq!(backlog.waiting(), 129);
    }

    #[test]
    fn a_short_list_is_gathered_for_longer_while_the_lane_has_work() {
        let mut backlog = Backlog::default();
        let now = Instant::now();
        push(&mut backlog, 1);
        backlog.next_list(now, false).unwrap();
        backlog.stored(Some(7), 1);
        push(&mut backlog, SHORT);
        let soon = now + GATHER_BRIEFLY;
        let later = backlog.next_list_at(false).unwrap();
        assert!(GATHER.contains(&(later - now)));
        assert!(backlog.next_list(soon, false).is_none());
        assert_eq!(backlog.next_list_at(true), Some(soon));
        assert_eq!(backlog.next_list(soon, true).unwrap().len(), SHORT);
    }

    #[test]
    fn what_is_settled_in_order_is_removed() {
        let mut backlog = Backlog::default();
        let mut now = Instant::now();
        for sequence in [5, 8] {
            push(&mut backlog, 2);
            now += GATHER.end;
            let count = backlog.next_list(now, false).unwrap().len() as u64;
            backlog.stored(Some(sequence), count);
        }
        assert_eq!(backlog.next_read(), Some(0));
        assert_eq!(backlog.next_read(), None);
        backlog.took(5, 2);
        backlog.took(8, 2);
        assert!(!backlog.read_ended(true));
        assert!(backlog.is_empty() && !backlog.is_done());
        for _ in 0..2 {
            backlog.settled(8);
        }
        assert_eq!(backlog.next_discard(), None);
        for _ in 0..2 {
            backlog.settled(5);
        }
        assert_eq!(backlog.next_discard(), Some(8));
        assert!(!backlog.is_done());
        backlog.discard_ended();
        assert!(backlog.is_done());
    }

    #[test]
    fn what_an_earlier_owner_parked_is_read_to_its_end() {
        let mut backlog = Backlog::default();
        backlog.found(3);
        assert!(!backlog.is_empty());
        assert_eq!(backlog.next_read(), Some(0));
        backlog.took(4, 1);
        backlog.read_ended(true);
        assert_eq!(backlog.next_read(), Some(4));
        assert!(!backlog.read_ended(false));
        assert!(backlog.is_empty());
    }

    #[test]
    fn a_replica_that_lags_is_asked_again() {
        let mut backlog = Backlog::default();
        push(&mut backlog, 1);
        backlog.next_list(Instant::now(), false).unwrap();
        backlog.stored(Some(3), 1);
        for _ in 1..MAX_EMPTY_READS {
            backlog.next_read().unwrap();
            assert!(backlog.read_ended(false));
        }
        backlog.next_read().unwrap();
        assert!(!backlog.read_ended(false));
        assert!(backlog.is_empty());
    }
}

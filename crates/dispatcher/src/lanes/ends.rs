//! What became of what was begun.

use std::time::{Duration, Instant};

use domain::{AccountId, EndpointId, Partition, Timestamp, breaker};

use super::{Lanes, READ_AGAIN, REST};
use crate::item::{Item, Source};
use crate::settled::{Key, Settlement};

impl Lanes {
    /// A POST has ended: `result` is whether it succeeded, `None` if none was
    /// made or it was a test.
    pub(crate) fn posted(
        &mut self,
        endpoint: EndpointId,
        account: &AccountId,
        result: Option<bool>,
        now: Instant,
    ) -> breaker::Change {
        let (mut change, mut took) = (breaker::Change::None, Duration::ZERO);
        if let Some(lane) = self.lanes.get_mut(&endpoint) {
            change = lane.ended(result, now);
            took = lane.took;
            if change == breaker::Change::Opened {
                lane.park_the_patient(now);
            }
            self.touched.insert(endpoint);
        }
        self.share.end(account, took);
        change
    }

    /// The endpoint answered that it is gone: it gets nothing more until the
    /// directory has a newer version of it, which is to say that it is disabled.
    pub(crate) fn gone(&mut self, endpoint: EndpointId, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(&endpoint) {
            lane.held_until = Some(now + REST);
        }
    }

    /// What became of an attempt is recorded, and its next one scheduled.
    pub(crate) fn settled(&mut self, item: Item, settlement: Settlement, now_is: Timestamp) {
        self.unrecorded = self.unrecorded.saturating_sub(1);
        let partition = self.hash.of(item.delivery.endpoint_id);
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.is_through(&item);
            let copies = owned.settled.settle(item.key(), settlement, now_is);
            for copy in copies {
                self.release(copy);
            }
        } else {
            self.no_longer_left_behind(partition, item.key());
        }
        self.release(item);
    }

    /// It could not be settled here, now. `rests` says that its endpoint cannot
    /// be sent to for a while.
    pub(crate) fn unsettled(&mut self, item: Item, rests: bool, now: Instant) {
        self.unrecorded = self.unrecorded.saturating_sub(1);
        let endpoint = item.delivery.endpoint_id;
        let partition = self.hash.of(endpoint);
        let Some(owned) = self.partitions.get_mut(&partition) else {
            self.no_longer_left_behind(partition, item.key());
            return item.give_back();
        };
        owned.is_through(&item);
        // What is parked was read, and is not read again by this process.
        let stays = (rests || item.is_parked()) && !owned.draining && owned.epoch == item.epoch;
        match self.lanes.get_mut(&endpoint) {
            Some(lane) if stays => {
                lane.held_until = Some(now + REST);
                lane.put_back(item);
                self.touched.insert(endpoint);
            }
            _ => {
                self.free(item.key(), partition, now);
                item.give_back();
            }
        }
    }

    /// A list is in PARKED, or was refused (`None`).
    pub(crate) fn stored(
        &mut self,
        endpoint: EndpointId,
        items: Vec<Item>,
        sequence: Option<u64>,
        now: Instant,
    ) {
        if let Some(lane) = self.lanes.get_mut(&endpoint) {
            lane.backlog.stored(sequence, items.len() as u64);
            self.touched.insert(endpoint);
        }
        let partition = self.hash.of(endpoint);
        if let (Some(owned), Some(first)) = (self.partitions.get_mut(&partition), items.first()) {
            owned.is_through(first);
        }
        for item in items {
            if sequence.is_none() {
                self.free(item.key(), partition, now);
                item.give_back();
                continue;
            }
            let copies = match self.partitions.get_mut(&partition) {
                Some(owned) => owned.settled.free(item.key()),
                None => {
                    self.no_longer_left_behind(partition, item.key());
                    Vec::new()
                }
            };
            item.parked();
            for copy in copies {
                // It may have been read before this was heard: then it is the
                // one to send.
                if copy.is_parked() {
                    self.arrive(partition, copy, now);
                } else {
                    copy.done();
                }
            }
        }
    }

    /// Frees an attempt. A copy that waited for it takes its place: where it is the
    /// same message, given again, its ack would take away what is given back.
    pub(super) fn free(&mut self, key: Key, partition: Partition, now: Instant) {
        let Some(owned) = self.partitions.get_mut(&partition) else {
            return self.no_longer_left_behind(partition, key);
        };
        for copy in owned.settled.free(key) {
            self.arrive(partition, copy, now);
        }
    }

    /// An attempt is done with. A message is acked when all of it is dropped;
    /// what stands in PARKED is counted, by whoever has read it in this tenure.
    pub(super) fn release(&mut self, item: Item) {
        let partition = self.hash.of(item.delivery.endpoint_id);
        let owned = self.partitions.get(&partition);
        if let Source::Parked(sequence) = item.source
            && owned.is_some_and(|owned| owned.epoch == item.epoch)
            && let Some(lane) = self.lanes.get_mut(&item.delivery.endpoint_id)
        {
            lane.backlog.settled(sequence);
            self.touched.insert(item.delivery.endpoint_id);
        }
        item.done();
    }

    /// What PARKED held; `None` if it could not be asked.
    pub(crate) fn read(
        &mut self,
        endpoint: EndpointId,
        lists: Option<Vec<(u64, Vec<Item>)>>,
        now: Instant,
    ) {
        let Some(lane) = self.lanes.get_mut(&endpoint) else {
            return;
        };
        let partition = lane.partition;
        let epoch = self.partitions.get(&partition).map(|owned| owned.epoch);
        let mut items = lists.iter().flatten().flat_map(|(_, items)| items);
        if items.any(|item| Some(item.epoch) != epoch) {
            // Read for an earlier tenure.
            return;
        }
        self.touched.insert(endpoint);
        let Some(lists) = lists else {
            lane.backlog.read_failed();
            self.wake_at(endpoint, now + READ_AGAIN);
            return;
        };
        for (sequence, items) in &lists {
            lane.backlog.took(*sequence, items.len());
        }
        if lane.backlog.read_ended(!lists.is_empty()) {
            self.wake_at(endpoint, now + READ_AGAIN);
        }
        for (_, items) in lists {
            self.arrived(partition, items, now);
        }
    }

    pub(crate) fn discarded(&mut self, endpoint: EndpointId) {
        if let Some(lane) = self.lanes.get_mut(&endpoint) {
            lane.backlog.discard_ended();
            self.touched.insert(endpoint);
        }
    }
}

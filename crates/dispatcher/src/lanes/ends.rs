//! What became of what was begun.

use std::time::{Duration, Instant};

use domain::{AccountId, EndpointId, Partition, Timestamp, breaker};

use super::{Lanes, READ_AGAIN, REST};
use crate::item::{Item, Source};
use crate::lane::Lane;
use crate::settled::{Key, Settlement};

impl Lanes {
    /// A POST has ended: `result` is whether it succeeded, `None` if none was
    /// made or it was a test.
    pub(crate) fn posted(
        &mut self,
        endpoint: EndpointId,
        epoch: u64,
        account: &AccountId,
        result: Option<bool>,
        now: Instant,
    ) -> breaker::Change {
        let (mut change, mut took) = (breaker::Change::None, Duration::ZERO);
        if let Some(lane) = self.lane_of(endpoint, epoch) {
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
            owned.is_through(std::slice::from_ref(&item));
            let copies = owned.settled.settle(item.key(), settlement, now_is);
            for copy in copies {
                self.release(copy);
            }
        } else {
            self.end_left_behind(partition, item.key(), Some(settlement));
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
            self.end_left_behind(partition, item.key(), None);
            return item.give_back();
        };
        owned.is_through(std::slice::from_ref(&item));
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
        let partition = self.hash.of(endpoint);
        let epoch = items.first().map(|item| item.epoch);
        if let Some(lane) = epoch.and_then(|epoch| self.lane_of(endpoint, epoch)) {
            lane.backlog.stored(sequence, items.len() as u64);
            self.touched.insert(endpoint);
        } else if sequence.is_some() {
            // Whoever looked for what is parked may have come too early.
            self.found(partition, vec![(endpoint, 1)], now);
        }
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.is_through(&items);
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
                    self.end_left_behind(partition, item.key(), None);
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
            return self.end_left_behind(partition, key, None);
        };
        for copy in owned.settled.free(key) {
            self.arrive(partition, copy, now);
        }
    }

    /// An attempt is done with. A message is acked when all of it is dropped;
    /// what stands in PARKED is counted, by whoever has read it in this tenure.
    pub(super) fn release(&mut self, item: Item) {
        if let Source::Parked(sequence) = item.source
            && let Some(lane) = self.lane_of(item.delivery.endpoint_id, item.epoch)
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
        epoch: u64,
        lists: Option<Vec<(u64, Vec<Item>)>>,
        now: Instant,
    ) {
        let Some(lane) = self.lane_of(endpoint, epoch) else {
            return;
        };
        let partition = lane.partition;
        let Some(lists) = lists else {
            lane.backlog.read_failed();
            self.touched.insert(endpoint);
            self.wake_at(endpoint, now + READ_AGAIN);
            return;
        };
        for (sequence, items) in &lists {
            lane.backlog.took(*sequence, items.len());
        }
        let comes_later = lane.backlog.read_ended(!lists.is_empty());
        self.touched.insert(endpoint);
        if comes_later {
            self.wake_at(endpoint, now + READ_AGAIN);
        }
        for (_, items) in lists {
            self.arrived(partition, items, now);
        }
    }

    pub(crate) fn discarded(&mut self, endpoint: EndpointId, epoch: u64) {
        if let Some(lane) = self.lane_of(endpoint, epoch) {
            lane.backlog.discard_ended();
            self.touched.insert(endpoint);
        }
    }

    /// The endpoint's lane, for what was begun in this tenure of its partition.
    fn lane_of(&mut self, endpoint: EndpointId, epoch: u64) -> Option<&mut Lane> {
        let owned = self.partitions.get(&self.hash.of(endpoint))?;
        if owned.epoch == epoch {
            self.lanes.get_mut(&endpoint)
        } else {
            None
        }
    }
}

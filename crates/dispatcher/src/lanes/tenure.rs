//! Partitions come to this process and go.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use domain::breaker::Breaker;
use domain::{EndpointId, Partition, Timestamp};

use super::{Lanes, Owned};
use crate::item::Item;
use crate::lane::Lane;
use crate::settled::{Key, SettledSet, Settlement};

impl Lanes {
    /// The partition is this process's from now on.
    pub(crate) fn gained(
        &mut self,
        partition: Partition,
        epoch: u64,
        mut settled: SettledSet,
        now: Instant,
        now_is: Timestamp,
    ) {
        let mut resumed = HashSet::new();
        for (key, end) in self.left_behind.remove(&partition).unwrap_or_default() {
            if let Some(settlement) = end {
                settled.settle(key, settlement, now_is);
            } else if settled.resume(key) {
                resumed.insert(key);
            }
        }
        let owned = Owned {
            epoch,
            since: now,
            settled,
            under_way: resumed.len(),
            resumed,
            calming: false,
            draining: false,
        };
        self.partitions.insert(partition, owned);
    }

    /// How often in a row endpoints of the partition have failed with its earlier owner:
    /// those that it had paused are approached slowly.
    pub(crate) fn failing(
        &mut self,
        partition: Partition,
        failing: HashMap<EndpointId, u32>,
        now: Instant,
    ) {
        for (endpoint, failures) in failing {
            if !self.lanes.contains_key(&endpoint) {
                let breaker = Breaker::inherited(self.settings.breaker, failures, now);
                self.make_lane(partition, endpoint, None, breaker, now);
            }
        }
    }

    /// Endpoints of the partition have something in PARKED, whether known or
    /// not.
    pub(crate) fn found(
        &mut self,
        partition: Partition,
        parked: Vec<(EndpointId, u64)>,
        now: Instant,
    ) {
        let owned = self.partitions.get(&partition);
        if owned.is_none_or(|owned| owned.draining) {
            return;
        }
        for (endpoint, messages) in parked {
            if !self.lanes.contains_key(&endpoint) {
                // How it is, the earlier owner knew: it is approached slowly.
                let breaker = Breaker::cautious(self.settings.breaker, now);
                self.make_lane(partition, endpoint, None, breaker, now);
            }
            if let Some(lane) = self.lanes.get_mut(&endpoint) {
                lane.backlog.found(messages);
                self.touched.insert(endpoint);
            }
        }
    }

    /// Begins nothing more where POSTs take long, so that letting go of the
    /// partition will take a moment only.
    pub(crate) fn calm(&mut self, partition: Partition) {
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.calming = true;
        }
    }

    /// Whether nothing of the partition is in flight that takes long, or may.
    pub(crate) fn is_calm(&self, partition: Partition, now: Instant) -> bool {
        let of_partition = |lane: &&Lane| lane.partition == partition && lane.in_flight > 0;
        let owned = self.partitions.get(&partition);
        let none_resumed = owned.is_none_or(|owned| owned.resumed.is_empty());
        none_resumed
            && !self
                .lanes
                .values()
                .filter(of_partition)
                .any(|lane| lane.is_slow(now))
    }

    /// Takes nothing new from the partition and gives back what only waits.
    pub(crate) fn drain(&mut self, partition: Partition) {
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.draining = true;
        }
        let of_partition = |lane: &&mut Lane| lane.partition == partition;
        let waiting: Vec<Item> = self
            .lanes
            .values_mut()
            .filter(of_partition)
            .flat_map(Lane::give_back)
            .collect();
        for item in waiting {
            if let Some(owned) = self.partitions.get_mut(&partition) {
                let copies = owned.settled.free(item.key());
                copies.into_iter().for_each(Item::give_back);
            }
            item.give_back();
        }
    }

    /// Whether nothing of the partition is under way any more.
    pub(crate) fn is_drained(&self, partition: Partition) -> bool {
        let left_behind = self.left_behind.get(&partition);
        match self.partitions.get(&partition) {
            Some(owned) => owned.draining && owned.under_way == 0,
            None => left_behind.is_none_or(|left| left.values().all(Option::is_some)),
        }
    }

    /// An attempt has come to its end after its partition was lost; without a
    /// settlement it is free again.
    pub(super) fn end_left_behind(
        &mut self,
        partition: Partition,
        key: Key,
        end: Option<Settlement>,
    ) {
        let Some(left) = self.left_behind.get_mut(&partition) else {
            return;
        };
        match (left.get_mut(&key), end) {
            // Its record may come too late for whoever is reading them now.
            (Some(place), Some(_)) => *place = end,
            _ => {
                left.remove(&key);
            }
        }
    }

    /// The partition is no longer this process's.
    pub(crate) fn lost(&mut self, partition: Partition) {
        self.drain(partition);
        if let Some(owned) = self.partitions.remove(&partition) {
            let left: HashMap<_, _> = owned.settled.in_work().map(|key| (key, None)).collect();
            if !left.is_empty() {
                self.left_behind.insert(partition, left);
            }
        }
        self.lanes.retain(|_, lane| lane.partition != partition);
    }
}

//! Partitions come to this process and go.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::Instant;

use domain::breaker::Breaker;
use domain::{EndpointId, Partition};

use super::{Lanes, Owned};
use crate::item::Item;
use crate::lane::Lane;
use crate::settled::{Key, SettledSet};

impl Lanes {
    /// The partition is this process's from now on.
    pub(crate) fn gained(
        &mut self,
        partition: Partition,
        epoch: u64,
        mut settled: SettledSet,
        now: Instant,
    ) {
        for key in self.left_behind.remove(&partition).unwrap_or_default() {
            settled.resume(key);
        }
        let owned = Owned {
            epoch,
            since: now,
            settled,
            under_way: 0,
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

    /// Whether nothing of the partition is in flight that takes long.
    pub(crate) fn is_calm(&self, partition: Partition, now: Instant) -> bool {
        let of_partition = |lane: &&Lane| lane.partition == partition && lane.in_flight > 0;
        !self
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
        self.partitions
            .get(&partition)
            .is_none_or(|owned| owned.draining && owned.under_way == 0)
    }

    /// An attempt has come to its end after its partition was lost.
    pub(super) fn no_longer_left_behind(&mut self, partition: Partition, key: Key) {
        if let Entry::Occupied(mut left) = self.left_behind.entry(partition) {
            left.get_mut().remove(&key);
            if left.get().is_empty() {
                left.remove();
            }
        }
    }

    /// The partition is no longer this process's.
    pub(crate) fn lost(&mut self, partition: Partition) {
        self.drain(partition);
        if let Some(owned) = self.partitions.remove(&partition) {
            let unsettled: HashSet<Key> = owned.settled.into_unsettled().collect();
            if !unsettled.is_empty() {
                self.left_behind.insert(partition, unsettled);
            }
        }
        self.lanes.retain(|_, lane| lane.partition != partition);
    }
}

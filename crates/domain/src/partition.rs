//! How endpoints are spread over partitions.

use std::fmt;
use std::num::NonZeroU16;

use uuid::Uuid;

use crate::{EndpointId, EventId};

/// One of the deployment's partitions, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(u16);

impl Partition {
    /// Its number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many partitions there are. Fixed at the first start of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitions(NonZeroU16);

impl Partitions {
    /// `count` partitions.
    #[must_use]
    pub const fn new(count: NonZeroU16) -> Self {
        Self(count)
    }

    /// How many there are.
    #[must_use]
    pub const fn count(self) -> NonZeroU16 {
        self.0
    }

    /// The partition of an endpoint. The hash is splitmix64 of the UUID's two
    /// halves, stable for ever: streams and leases hang on it.
    #[must_use]
    pub fn of(self, endpoint: EndpointId) -> Partition {
        self.of_uuid(endpoint.uuid())
    }

    /// The partition of an event, for messages that belong to no endpoint.
    #[must_use]
    pub fn of_event(self, event: EventId) -> Partition {
        self.of_uuid(event.uuid())
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = Partition> {
        (0..self.0.get()).map(Partition)
    }

    fn of_uuid(self, uuid: Uuid) -> Partition {
        let (high, low) = uuid.as_u64_pair();
        let hash = splitmix64(high ^ splitmix64(low));
        let number = hash % u64::from(self.0.get());
        Partition(u16::try_from(number).expect("a remainder is below its divisor"))
    }
}

/// Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014.
pub(crate) fn splitmix64(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_spread_evenly() {
        let partitions = Partitions::new(NonZeroU16::new(16).unwrap());
        let mut counts = [0_u32; 16];
        for _ in 0..16_000 {
            counts[usize::from(partitions.of(EndpointId::new()).number())] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1_200).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn the_hash_never_changes() {
        // The first output of the published generator for seed 0.
        assert_eq!(splitmix64(0), 0xe220_a839_7b1d_cdaf);
        let partitions = Partitions::new(NonZeroU16::new(16).unwrap());
        let numbers: Vec<u16> = (1..=8)
            .map(|n| {
                partitions
                    .of(EndpointId::from_uuid(Uuid::from_u128(n)))
                    .number()
            })
            .collect();
        assert_eq!(numbers, [14, 4, 7, 11, 5, 1, 5, 6]);
    }
}

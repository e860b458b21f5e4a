//! How accounts share what a dispatcher can have in flight.
//!
//! An account may use up to [`GREED`] times what is left free, like a queue in
//! a shared buffer with a dynamic threshold (Choudhury and Hahne, 1998). One
//! alone so gets four fifths; whoever comes next finds room at once, however
//! long the first one's requests hang. With `n` greedy accounts each has
//! `GREED / (1 + n × GREED)` of all, and `1 / (1 + n × GREED)` stays free.

use std::time::Duration;

/// What an account may use, as a multiple of what is free.
pub const GREED: usize = 4;

/// How much faster than they come free on average an account's places are given
/// to those of it that wait.
pub const HASTE: f64 = 1.25;

/// Whether an account that has `of_account` in flight may have one more, when
/// `in_flight` of `capacity` are in use in all.
#[must_use]
pub const fn may_start(of_account: usize, in_flight: usize, capacity: usize) -> bool {
    let free = capacity.saturating_sub(in_flight);
    of_account < free.saturating_mul(GREED)
}

/// How many an account may have in flight when others have `of_others` of
/// `capacity`.
#[must_use]
pub const fn places(of_others: usize, capacity: usize) -> usize {
    (capacity.saturating_sub(of_others) * GREED).div_ceil(GREED + 1)
}

/// How far apart an account's waiting requests take their turns, when it may have
/// `places` in flight and its requests take `mean`.
///
/// A place comes free each `mean / places` on average (Little, 1961). Requests that
/// began together time out together, and others would begin together in their
/// places, for ever; so turns keep nearly that distance.
#[must_use]
pub fn turn_interval(mean: Duration, places: usize) -> Duration {
    let places = u32::try_from(places).unwrap_or(u32::MAX).max(1);
    mean.div_f64(HASTE * f64::from(places))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_alone_gets_four_fifths() {
        let mut used = 0;
        while may_start(used, used, 1_000) {
            used += 1;
        }
        assert_eq!(used, 800);
        assert_eq!(places(0, 1_000), 800);
    }

    #[test]
    fn one_slot_serves() {
        assert!(may_start(0, 0, 1));
        assert!(!may_start(0, 1, 1));
    }

    proptest! {
        #[test]
        fn an_account_may_fill_its_places(capacity in 1_usize..2_000, others in 0_usize..2_000) {
            let mut used = 0;
            while may_start(used, others + used, capacity) {
                used += 1;
            }
            prop_assert_eq!(used, places(others, capacity));
        }

        #[test]
        fn a_newcomer_finds_room(
            capacity in 64_usize..2_000,
            wishes in prop::collection::vec(0_usize..4, 1..10_000),
        ) {
            let mut used = [0_usize; 4];
            for account in wishes {
                let total: usize = used.iter().sum();
                if may_start(used[account], total, capacity) {
                    used[account] += 1;
                }
            }
            let total: usize = used.iter().sum();
            prop_assert!(total < capacity);
            prop_assert!(may_start(0, total, capacity));
        }
    }
}

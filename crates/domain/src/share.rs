//! How accounts share what a dispatcher can have in flight.
//!
//! An account may use up to [`GREED`] times what is left free, like a queue in
//! a shared buffer with a dynamic threshold (Choudhury and Hahne, 1998). One
//! alone so gets four fifths; whoever comes next finds room at once, however
//! long the first one's requests hang. With `n` greedy accounts each has
//! `GREED / (1 + n × GREED)` of all, and `1 / (1 + n × GREED)` stays free.

/// What an account may use, as a multiple of what is free.
pub const GREED: usize = 4;

/// Whether an account that has `of_account` in flight may have one more, when
/// `in_flight` of `capacity` are in use in all.
#[must_use]
pub const fn may_start(of_account: usize, in_flight: usize, capacity: usize) -> bool {
    let free = capacity.saturating_sub(in_flight);
    of_account < free.saturating_mul(GREED)
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
    }

    #[test]
    fn one_slot_serves() {
        assert!(may_start(0, 0, 1));
        assert!(!may_start(0, 1, 1));
    }

    proptest! {
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

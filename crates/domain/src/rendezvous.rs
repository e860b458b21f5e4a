//! Who works on a partition: rendezvous hashing (Thaler and Ravishankar, 1998).
//! Everybody who knows the same members comes to the same answer, and a member
//! that joins or leaves moves only its own partitions.

use crate::Partition;
use crate::partition::splitmix64;

/// The member that the partition falls to; `None` if there are no members.
#[must_use]
pub fn owner(members: &[String], partition: Partition) -> Option<&str> {
    members
        .iter()
        .map(String::as_str)
        // The name breaks a tie, so that the order of members says nothing.
        .max_by_key(|member| (weight(member, partition), *member))
}

/// FNV-1a of the name, mixed with the partition.
fn weight(member: &str, partition: Partition) -> u64 {
    let name = member
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    splitmix64(name ^ splitmix64(u64::from(partition.number())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::num::NonZeroU16;

    use proptest::prelude::*;

    use super::*;
    use crate::Partitions;

    fn partitions() -> impl Iterator<Item = Partition> {
        Partitions::new(NonZeroU16::new(64).unwrap()).iter()
    }

    #[test]
    fn nobody_owns_where_nobody_is() {
        assert_eq!(owner(&[], partitions().next().unwrap()), None);
    }

    #[test]
    fn members_get_about_the_same() {
        let members: Vec<String> = (0..4).map(|n| format!("member-{n}")).collect();
        let of = |member: &String| {
            partitions()
                .filter(|partition| owner(&members, *partition) == Some(member))
                .count()
        };
        let counts: Vec<usize> = members.iter().map(of).collect();
        assert!(
            counts.iter().all(|count| (6..=26).contains(count)),
            "{counts:?}"
        );
    }

    proptest! {
        #[test]
        fn a_join_or_leave_moves_only_what_it_must(
            names in prop::collection::hash_set("[a-z0-9]{4,12}", 2..12),
            rotation in 0_usize..12,
        ) {
            let all: Vec<String> = names.into_iter().collect();
            let (leaver, rest) = all.split_first().unwrap();
            let mut rest = rest.to_vec();
            let length = rest.len();
            rest.rotate_left(rotation % length);
            for partition in partitions() {
                let with = owner(&all, partition).unwrap();
                if with != leaver {
                    prop_assert_eq!(owner(&rest, partition), Some(with));
                }
            }
        }
    }
}

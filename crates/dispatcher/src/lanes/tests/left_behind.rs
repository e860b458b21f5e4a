//! What is under way when a partition is lost, as in an outage of the broker that is
//! longer than a lease, and comes back.

use super::*;

/// The partition comes to this process again, which has read what was recorded, and
/// everything comes again.
fn regain(world: &mut World, deliveries: &[Delivery]) {
    world.epoch += 1;
    let partition = world.partition();
    let mut settled = SettledSet::of_one(world.lanes.hash);
    for key in &world.settled {
        settled.settle(*key, ENDED, NOW_IS);
    }
    let (epoch, now) = (world.epoch, world.now);
    world.lanes.gained(partition, epoch, settled, now, NOW_IS);
    let parked = world.parked.values().map(|(of, _)| (*of, 1)).collect();
    world.lanes.found(partition, parked, now);
    let items = deliveries.iter().map(|delivery| Item {
        delivery: delivery.clone(),
        source: Source::nowhere(),
        epoch,
        arrived_at: now,
    });
    let items = items.collect();
    world.lanes.arrived(partition, items, now);
    world.settle();
}

fn one_in_flight(takes_seconds: u32) -> (World, Delivery) {
    let mut world = World::new(1_000, takes(SECOND * takes_seconds));
    let endpoint = world.endpoint("acme", None);
    let item = world.item(endpoint);
    let delivery = item.delivery.clone();
    let partition = world.partition();
    world.lanes.arrived(partition, vec![item], world.now);
    world.settle();
    assert_eq!(world.posts.len(), 1);
    (world, delivery)
}

#[test]
fn what_is_in_flight_when_its_partition_is_lost_is_not_sent_again() {
    let (mut world, delivery) = one_in_flight(10);
    let partition = world.partition();
    for _ in 0..2 {
        // A lost one is let go of, too.
        world.lanes.lost(partition);
        world.lanes.lost(partition);
        world.pass(SECOND);
        regain(&mut world, std::slice::from_ref(&delivery));
    }
    world.lanes.calm(partition);
    assert!(!world.lanes.is_calm(partition, world.now));
    world.lanes.drain(partition);
    world.pass(5 * SECOND);
    assert!(!world.lanes.is_drained(partition), "it is in flight");
    world.pass(5 * SECOND);
    assert!(world.lanes.is_drained(partition) && world.lanes.is_calm(partition, world.now));
    assert_eq!(world.posts.len(), 1);
}

/// Its record may be stored behind those that the next tenure has just read.
#[test]
fn what_ends_between_two_tenures_is_not_sent_again() {
    let (mut world, delivery) = one_in_flight(1);
    let partition = world.partition();
    world.lanes.lost(partition);
    assert!(!world.lanes.is_drained(partition), "it is in flight");
    world.pass(2 * SECOND);
    assert!(world.lanes.is_drained(partition));
    world.settled.clear();
    regain(&mut world, &[delivery]);
    world.pass(2 * SECOND);
    assert_eq!(world.posts.len(), 1);
    assert!(world.lanes.left_behind.is_empty());
}

#[test]
fn what_was_left_behind_and_not_sent_is_sent_by_the_next_tenure() {
    let (mut world, delivery) = one_in_flight(1);
    let partition = world.partition();
    // It was not, after all.
    world.posts.clear();
    let (_, item, _) = world.in_flight.pop().unwrap();
    world.lanes.lost(partition);
    regain(&mut world, &[delivery]);
    assert!(world.posts.is_empty());
    world.lanes.unsettled(item, false, world.now);
    world.pass(SECOND);
    assert_eq!(world.posts.len(), 1);
}

#[test]
fn what_an_earlier_tenure_read_from_parked_counts_once() {
    let mut world = World::new(1_000, takes(4 * SECOND));
    let endpoint = world.endpoint("acme", Some(1));
    let deliveries: Vec<_> = (0..2).map(|_| world.item(endpoint).delivery).collect();
    world.parked.insert(3, (endpoint, deliveries));
    let partition = world.partition();
    world.lanes.found(partition, vec![(endpoint, 1)], world.now);
    world.pass(SECOND / 2);
    assert_eq!(world.posts.len(), 1, "the second is paced");
    world.lanes.lost(partition);
    regain(&mut world, &[]);
    // The first has ended, the second has not.
    world.pass(4 * SECOND);
    assert_eq!(world.posts.len(), 2);
    assert!(!world.parked.is_empty(), "it is still needed");
    world.pass(4 * SECOND);
    assert_eq!(world.posts.len(), 2);
    assert!(world.parked.is_empty());
}

mod random {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// However often the partition is lost, and for how long: each delivery is
        /// sent exactly once, and nothing stays behind.
        #[test]
        fn everything_is_sent_once_over_all_tenures(
            limits in prop::collection::vec(prop::option::of(20_u32..200), 1..4),
            rounds in prop::collection::vec(
                (0_usize..4, 1_usize..150, 0_u64..600, 0_u64..3_000), 1..8,
            ),
            slow in 1_u64..5_000,
        ) {
            let millis = |count: u64| MILLI * u32::try_from(count).unwrap();
            let behave = move |delivery: &Delivery, _: Duration| {
                let slowly = delivery.id.as_bytes()[15].is_multiple_of(4);
                (if slowly { millis(slow) } else { MILLI }, true)
            };
            let mut world = World::new(100, Box::new(behave));
            let partition = world.partition();
            let endpoints: Vec<_> = limits.iter().map(|limit| world.endpoint("a", *limit)).collect();
            let mut deliveries = Vec::new();
            for (which, count, held, away) in rounds {
                let endpoint = endpoints[which % endpoints.len()];
                let items: Vec<_> = (0..count).map(|_| world.item(endpoint)).collect();
                deliveries.extend(items.iter().map(|item| item.delivery.clone()));
                world.lanes.arrived(partition, items, world.now);
                world.settle();
                world.pass(millis(held));
                world.lanes.lost(partition);
                world.pass(millis(away));
                regain(&mut world, &deliveries);
            }
            // PARKED is looked at again now and then, for what came late.
            for _ in 0..60 {
                world.pass(SECOND);
                let parked = world.parked.values().map(|(of, _)| (*of, 1)).collect();
                world.lanes.found(partition, parked, world.now);
            }
            let mut sent: Vec<_> = world.posts.iter().map(|(_, _, id)| *id).collect();
            sent.sort_unstable();
            let mut expected: Vec<_> = deliveries.iter().map(|delivery| delivery.id).collect();
            expected.sort_unstable();
            prop_assert_eq!(sent, expected);
            prop_assert!(world.parked.is_empty());
            prop_assert!(world.lanes.left_behind.is_empty());
            world.lanes.drain(partition);
            prop_assert!(world.lanes.is_drained(partition));
        }
    }
}

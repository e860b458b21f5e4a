//! What lanes promise, in a world of their own.

#![allow(clippy::unwrap_used)]

mod left_behind;
mod world;

use std::num::NonZeroU16;
use std::sync::Mutex;

use domain::Delivery;

use super::*;
use crate::item::Source;
use world::*;

#[test]
fn what_can_be_sent_is_sent_at_once() {
    let mut world = World::new(1_000, takes(MILLI));
    let endpoint = world.endpoint("acme", None);
    let ids = world.arrive(endpoint, 20);
    assert_eq!(world.sent_in_order(endpoint), ids);
    world.pass(SECOND);
    assert_eq!(world.most_parked, 0);
    assert_eq!(world.lanes.census(world.now), Census::default());
}

#[test]
fn an_endpoint_that_hangs_parks_what_it_cannot_take() {
    let mut world = World::new(1_000, takes(15 * SECOND));
    let hanging = world.endpoint("acme", None);
    for _ in 0..10 {
        world.arrive(hanging, 20);
        world.pass(SECOND);
    }
    assert_eq!(world.posts.len(), 64);
    let census = world.lanes.census(world.now);
    assert!(
        census.queued <= 200 - 64 && census.in_flight == 64,
        "{census:?}"
    );
    assert!(world.most_parked > 0);
    world.pass(60 * SECOND);
    assert_eq!(world.posts.len(), 200);
    assert!(world.parked.is_empty());
}

#[test]
fn a_paced_endpoint_gets_its_rate_in_order_and_a_change_holds_at_once() {
    let mut world = World::new(1_000, takes(5 * MILLI));
    let paced = world.endpoint("acme", Some(10));
    let ids = world.arrive(paced, 300);
    world.pass(10 * SECOND);
    let before = world.posts.len();
    assert!((100..=102).contains(&before), "{before}");
    assert!(most_in_a_second(&world.posts_to(paced)) <= 11);
    world.change(paced, |endpoint| endpoint.rate_limit = Some(100));
    world.pass(SECOND);
    let after = world.posts.len() - before;
    assert!((95..=101).contains(&after), "{after}");
    world.pass(2 * SECOND);
    assert_eq!(world.sent_in_order(paced), ids);
    assert!(world.parked.is_empty());
}

#[test]
fn a_new_owner_keeps_the_pace() {
    let mut world = World::new(1_000, takes(MILLI));
    let paced = world.endpoint("acme", Some(1));
    // Just taken over.
    world.now = world.start;
    world.arrive(paced, 1);
    assert!(world.posts.is_empty());
    world.pass(SECOND + 110 * MILLI);
    assert_eq!(world.posts.len(), 1);
}

#[test]
fn an_endpoint_that_fails_gets_probes_and_recovers_slowly() {
    let outage = 3_600 * SECOND;
    let fails = move |_: &Delivery, at: Duration| (100 * MILLI, at > outage);
    let mut world = World::new(1_000, Box::new(fails));
    let endpoint = world.endpoint("acme", None);
    world.arrive(endpoint, 10);
    world.pass(SECOND);
    assert_eq!(world.lanes.census(world.now).paused, 1);
    world.arrive(endpoint, 2_000);
    world.pass(SECOND);
    let start = world.posts.len();
    assert_eq!(start, 10);
    // An hour in steps, since nothing happens in between.
    while world.now - world.start + 31 * SECOND < outage {
        world.now += 29 * SECOND;
        world.pass(2 * SECOND);
    }
    let probes = world.posts.len() - start;
    assert!((100..=121).contains(&probes), "{probes}");
    world.pass(70 * SECOND);
    let mut recovered = world.posts_to(endpoint);
    recovered.retain(|at| *at > outage);
    let in_second = |n: u32| {
        let from = recovered[0] + SECOND * n;
        let within = |at: &&Duration| **at >= from && **at < from + SECOND;
        recovered.iter().filter(within).count()
    };
    let ramp: Vec<usize> = (0..4).map(in_second).collect();
    assert!(ramp[0] <= 12 && ramp[1] <= 24 && ramp[2] <= 48, "{ramp:?}");
    world.pass(60 * SECOND);
    assert_eq!(world.posts.len(), 2_010);
    assert!(world.parked.is_empty());
}

#[test]
fn what_cannot_flow_stays_in_parked() {
    let mut world = World::new(1_000, Box::new(|_, _| (MILLI, false)));
    let down = world.endpoint("acme", None);
    let paced = world.endpoint("acme", Some(10));
    for _ in 0..20 {
        world.arrive(down, 128);
        world.pass(50 * MILLI);
    }
    world.pass(5 * SECOND);
    world.arrive(paced, 2_000);
    world.pass(5 * SECOND);
    for endpoint in [down, paced] {
        let queued = world.lanes.lanes[&endpoint].queued();
        assert!(queued <= 128 + 16, "{queued} wait in memory");
    }
}

#[test]
fn a_disabled_endpoints_deliveries_end() {
    let mut world = World::new(1_000, takes(MILLI));
    let endpoint = world.endpoint("acme", Some(1));
    world.arrive(endpoint, 500);
    world.pass(SECOND);
    let sent = world.posts.len();
    world.change(endpoint, |endpoint| {
        endpoint.disabled = true;
        endpoint.generation += 1;
    });
    world.pass(SECOND);
    assert_eq!(world.posts.len(), sent);
    assert_eq!(world.ended.len(), 500 - sent);
    assert!(world.parked.is_empty());
    world.endpoints.lock().unwrap().remove(&endpoint);
    world.lanes.changed(endpoint, world.now);
    world.pass(SECOND);
}

#[test]
fn an_endpoint_that_is_gone_gets_nothing_until_it_has_changed() {
    let mut world = World::new(1_000, takes(10 * MILLI));
    let gone = world.endpoint("acme", None);
    world.arrive(gone, 1);
    world.lanes.gone(gone, world.now);
    world.arrive(gone, 50);
    world.pass(5 * SECOND);
    assert_eq!(world.posts_to(gone).len(), 1);
    world.change(gone, |_| {});
    world.pass(SECOND);
    assert_eq!(world.posts_to(gone).len(), 51);
}

#[test]
fn five_hundred_hanging_endpoints_leave_room_for_another_account() {
    let slow = |delivery: &Delivery, _: Duration| {
        let hangs = delivery.event.account.as_str() == "hangs";
        (if hangs { 10 * SECOND } else { MILLI }, true)
    };
    let mut world = World::new(200, Box::new(slow));
    let hanging: Vec<EndpointId> = (0..500).map(|_| world.endpoint("hangs", None)).collect();
    let healthy = world.endpoint("healthy", None);
    for round in 0..100 {
        for endpoint in hanging.iter().skip(round % 100 * 5).take(5) {
            world.arrive(*endpoint, 1);
        }
        let before = world.posts_to(healthy).len();
        world.arrive(healthy, 1);
        assert_eq!(world.posts_to(healthy).len(), before + 1, "round {round}");
        world.pass(10 * MILLI);
    }
    assert!(world.lanes.census(world.now).in_flight <= 200);
}

#[test]
fn lanes_that_have_waited_together_do_not_park_together() {
    let mut world = World::new(10, takes(60 * SECOND));
    for _ in 0..100 {
        let endpoint = world.endpoint("hangs", None);
        world.arrive(endpoint, 1);
    }
    let in_flight = world.posts.len();
    let (mut parked, mut most) = (0, 0);
    for _ in 0..60 {
        world.pass(50 * MILLI);
        most = most.max(world.sequence - parked);
        parked = world.sequence;
    }
    assert_eq!(usize::try_from(parked), Ok(100 - in_flight));
    assert!(most <= 10, "{most} at once");
}

#[test]
fn ready_is_what_only_waits_for_a_place() {
    let mut world = World::new(10, takes(SECOND));
    let paced = world.endpoint("acme", Some(1));
    world.arrive(paced, 5);
    world.pass(3 * SECOND / 2);
    let census = world.lanes.census(world.now);
    assert!(census.queued > 0 && census.ready == 0, "{census:?}");
    assert_eq!(census.ready_since, None);
    let busy = world.endpoint("acme", None);
    let came = world.now;
    world.arrive(busy, 100);
    world.pass(SECOND / 2);
    let census = world.lanes.census(world.now);
    assert!(census.ready > 50, "{census:?}");
    assert_eq!(census.ready_since, Some(came));
    world.pass(60 * SECOND);
    let census = world.lanes.census(world.now);
    assert_eq!((census.ready, census.ready_since), (0, None));
}

#[test]
fn test_events_pass_a_paused_endpoint_and_tell_nothing() {
    let mut world = World::new(1_000, Box::new(|_, _| (MILLI, false)));
    let endpoint = world.endpoint("acme", None);
    world.arrive(endpoint, 10);
    world.pass(SECOND);
    assert_eq!(world.lanes.census(world.now).paused, 1);
    let mut test = world.item(endpoint);
    test.delivery.cause = domain::Cause::Test;
    let partition = world.partition();
    world.lanes.arrived(partition, vec![test], world.now);
    world.settle();
    assert_eq!(world.posts.len(), 11);
}

#[test]
fn a_partition_is_let_go_of_when_nothing_is_under_way() {
    let mut world = World::new(1_000, takes(SECOND));
    let paced = world.endpoint("acme", Some(1));
    let free = world.endpoint("acme", None);
    world.arrive(paced, 100);
    world.arrive(free, 3);
    let partition = world.partition();
    world.lanes.drain(partition);
    world.settle();
    assert!(!world.lanes.is_drained(partition));
    let sent = world.posts.len();
    world.pass(2 * SECOND);
    assert!(world.lanes.is_drained(partition));
    assert_eq!(world.posts.len(), sent);
    world.lanes.lost(partition);
    assert_eq!(world.lanes.census(world.now), Census::default());
    assert!(!world.parked.is_empty());

    // Whoever is next finds what is parked.
    let parked = world.parked.values().map(|(of, _)| (*of, 1)).collect();
    world.lanes.gained(
        partition,
        EPOCH,
        SettledSet::of_one(Partitions::new(NonZeroU16::MIN)),
        world.now,
        NOW_IS,
    );
    world.lanes.found(partition, parked, world.now);
    let waiting: usize = world.parked.values().map(|(_, list)| list.len()).sum();
    world.pass(SECOND * (u32::try_from(waiting).unwrap() + 2));
    assert!(world.parked.is_empty());
    assert_eq!(world.posts.len(), sent + waiting);
}

#[test]
fn who_is_next_approaches_slowly_what_has_failed() {
    let mut world = World::new(1_000, Box::new(|_, _| (MILLI, false)));
    let (paused, seldom) = (world.endpoint("acme", None), world.endpoint("acme", None));
    let partition = world.partition();
    let failing = [(paused, 10), (seldom, 9)].into();
    world.lanes.failing(partition, failing, world.now);
    world.arrive(paused, 40);
    world.settle();
    assert_eq!(world.posts.len(), 1);
    world.arrive(seldom, 5);
    world.settle();
    assert_eq!(world.posts.len(), 6);
    // Its tenth failure in a row is the first one here.
    world.pass(SECOND);
    assert_eq!(world.lanes.census(world.now).paused, 2);
}

#[test]
fn before_a_partition_is_let_go_of_others_do_not_wait_for_what_hangs() {
    let hanging = Arc::new(Mutex::new(None));
    let which = Arc::clone(&hanging);
    let behaviour = move |delivery: &Delivery, _| {
        let hangs = *which.lock().unwrap() == Some(delivery.endpoint_id);
        (if hangs { 10 * SECOND } else { 10 * MILLI }, true)
    };
    let mut world = World::new(1_000, Box::new(behaviour));
    let (hangs, healthy) = (world.endpoint("acme", None), world.endpoint("acme", None));
    *hanging.lock().unwrap() = Some(hangs);
    let partition = world.partition();
    world.arrive(hangs, 1);
    world.pass(2 * SECOND);
    world.lanes.calm(partition);
    assert!(!world.lanes.is_calm(partition, world.now));
    world.arrive(hangs, 1);
    world.arrive(healthy, 20);
    world.pass(SECOND);
    assert_eq!(world.posts_to(hangs).len(), 1);
    assert_eq!(world.posts_to(healthy).len(), 20);
    world.pass(8 * SECOND);
    assert!(world.lanes.is_calm(partition, world.now));
    assert_eq!(world.posts_to(hangs).len(), 1);
}

/// The same, in a message of its own.
fn copy_of(item: &Item) -> Item {
    Item {
        delivery: item.delivery.clone(),
        source: Source::nowhere(),
        epoch: EPOCH,
        arrived_at: item.arrived_at,
    }
}

fn given_twice() -> (World, Item, Item) {
    let mut world = World::new(1_000, takes(SECOND));
    let endpoint = world.endpoint("acme", None);
    let item = world.item(endpoint);
    let copy = copy_of(&item);
    (world, item, copy)
}

#[test]
fn what_comes_twice_is_sent_once() {
    let mut world = World::new(1_000, takes(SECOND));
    let endpoint = world.endpoint("acme", None);
    let item = world.item(endpoint);
    let partition = world.partition();
    for _ in 0..3 {
        let copy = copy_of(&item);
        world.lanes.arrived(partition, vec![copy], world.now);
        world.settle();
        world.pass(SECOND * 2 / 3);
    }
    assert_eq!(world.posts.len(), 1);
}

/// What comes again may be the same message: its ack would take away what is given
/// back.
#[test]
fn a_copy_takes_the_place_of_what_is_given_back() {
    let (mut world, item, copy) = given_twice();
    let held = copy.source.clone();
    let (now, now_is) = (world.now, Timestamp::from_unix_millis(0));
    let partition = world.partition();
    let posted = |lanes: &mut Lanes| {
        let actions = lanes.advance(now, now_is).into_iter();
        let mut posts = actions.filter_map(|action| match action {
            Action::Post(item, _) => Some(item),
            _ => None,
        });
        posts.next()
    };
    let lanes = &mut world.lanes;
    lanes.arrived(partition, vec![item], now);
    let first = posted(lanes).unwrap();
    lanes.arrived(partition, vec![copy], now);
    assert!(posted(lanes).is_none(), "it follows");

    lanes.unsettled(first, false, now);
    assert_eq!(held.undone(), usize::MAX, "it is not done");
    assert!(posted(lanes).is_some(), "it is sent in its place");
}

#[test]
fn copies_are_given_back_with_what_waits() {
    let (mut world, item, copy) = given_twice();
    let held = copy.source.clone();
    let partition = world.partition();
    world.lanes.arrived(partition, vec![item, copy], world.now);
    world.lanes.drain(partition);
    assert_eq!(held.undone(), usize::MAX, "it is not done");
}

mod random {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Whatever arrives when, and however endpoints behave: each delivery
        /// is sent exactly once, nothing stays parked, and no limit is broken.
        #[test]
        fn everything_is_sent_once(
            capacity in 4_usize..100,
            limits in prop::collection::vec(prop::option::of(5_u32..200), 1..5),
            arrivals in prop::collection::vec((0_usize..5, 1_usize..60, 0_u64..300), 1..30),
            slow in 1_u64..2_000,
        ) {
            let behave = move |delivery: &Delivery, _: Duration| {
                let slowly = delivery.id.as_bytes()[15].is_multiple_of(4);
                (if slowly { MILLI * u32::try_from(slow).unwrap() } else { MILLI }, true)
            };
            let mut world = World::new(capacity, Box::new(behave));
            let endpoints: Vec<_> = limits
                .iter()
                .enumerate()
                .map(|(n, limit)| (world.endpoint(["a", "b"][n % 2], *limit), *limit))
                .collect();
            let mut expected = Vec::new();
            for (which, count, wait) in arrivals {
                let (endpoint, _) = endpoints[which % endpoints.len()];
                expected.extend(world.arrive(endpoint, count));
                prop_assert!(world.lanes.census(world.now).in_flight <= capacity);
                world.pass(MILLI * u32::try_from(wait).unwrap());
            }
            let mut patience = 3_000;
            while world.posts.len() < expected.len() && patience > 0 {
                world.pass(SECOND);
                patience -= 1;
            }
            world.pass(10 * SECOND);
            let mut sent: Vec<_> = world.posts.iter().map(|(_, _, id)| *id).collect();
            sent.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(sent, expected);
            prop_assert!(world.parked.is_empty());
            prop_assert_eq!(world.lanes.census(world.now), Census::default());
            for (endpoint, limit) in endpoints {
                if let Some(limit) = limit {
                    let most = most_in_a_second(&world.posts_to(endpoint));
                    let bound = usize::try_from(limit + limit / 100 + 2).unwrap();
                    prop_assert!(most <= bound, "{most} of {limit}");
                }
            }
        }
    }
}

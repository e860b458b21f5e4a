//! What is under way when a partition is lost.

use super::*;

/// The broker was away for longer than a lease: what was sent before waits to be
/// recorded, and comes again.
#[test]
fn what_a_lost_partition_left_behind_is_not_sent_again_when_it_comes_back() {
    let mut world = World::new(1_000, takes(10 * SECOND));
    let endpoint = world.endpoint("acme", None);
    let (mut item, mut copy) = (world.item(endpoint), world.item(endpoint));
    copy.delivery = item.delivery.clone();
    copy.epoch = EPOCH + 1;
    let held = copy.source.clone();
    item.source = Source::Parked(3);
    let partition = world.lanes.hash.iter().next().unwrap();
    let hash = world.lanes.hash;
    let settled = || SettledSet::of_one(hash);
    world.lanes.arrived(partition, vec![item], world.now);
    world.pass(SECOND);
    world.lanes.lost(partition);
    world.lanes.lost(partition);
    world
        .lanes
        .gained(partition, EPOCH + 1, settled(), world.now);
    world.lanes.arrived(partition, vec![copy], world.now);
    world.pass(5 * SECOND);
    assert_eq!(world.posts.len(), 1);
    assert_eq!(held.undone(), usize::MAX, "not done before it is recorded");
    world.pass(5 * SECOND);
    assert_eq!(world.posts.len(), 1);
    assert_eq!(held.undone(), usize::MAX - 1, "done with the first");

    // And what has come to its end while the partition was another's is forgotten.
    world.arrive_in(EPOCH + 1, endpoint, 5);
    world.lanes.lost(partition);
    assert_eq!(world.lanes.left_behind[&partition].len(), 5);
    world.pass(11 * SECOND);
    assert!(world.lanes.left_behind.is_empty());
}

/// What was not sent is free for the next tenure: nothing waits for it for ever.
#[test]
fn what_was_left_behind_and_not_sent_is_sent_by_the_next_tenure() {
    let (mut world, item, mut copy) = given_twice();
    copy.epoch = EPOCH + 1;
    let partition = world.lanes.hash.iter().next().unwrap();
    let settled = SettledSet::of_one(world.lanes.hash);
    world.lanes.arrived(partition, vec![item], world.now);
    let mut actions = world.lanes.advance(world.now, NOW_IS);
    let Some(Action::Post(item, _)) = actions.pop() else {
        panic!("it is to be sent");
    };
    world.lanes.lost(partition);
    world.lanes.gained(partition, EPOCH + 1, settled, world.now);
    world.lanes.arrived(partition, vec![copy], world.now);
    world.pass(SECOND);
    assert!(world.posts.is_empty());
    world.lanes.unsettled(item, false, world.now);
    world.pass(SECOND);
    assert_eq!(world.posts.len(), 1);
}

//! Parking: each endpoint's own order, however much stands beside it.

use std::time::Duration;

use anyhow::{Result, ensure};
use broker::{Broker, Parked};
use domain::{DeliveryId, EndpointId};
use futures::stream::{StreamExt as _, TryStreamExt as _, iter};
use harness::suite::Scenario;
use harness::wait::eventually;
use tokio::time::Instant;

use crate::world::{PATIENCE, World, delivery, figure, per_second};

pub(crate) fn scenarios() -> Vec<Scenario<World>> {
    harness::scenarios![
        endpoints_keep_their_order_among_others,
        reads_are_bounded_by_count_and_bytes,
        what_is_discarded_is_gone_and_nothing_else,
        what_cannot_be_read_does_not_block_the_endpoint,
        survives_a_kill_of_the_server,
        parking_waits_out_an_outage,
        ten_thousand_endpoints_are_counted,
        one_endpoint_is_drained_out_of_many,
    ]
}

async fn endpoints_keep_their_order_among_others(world: World) -> Result<()> {
    let endpoints = [world.endpoint(), world.endpoint(), EndpointId::new()];
    let parked = park_rounds(&world.broker, &endpoints, 50).await?;
    for (place, endpoint) in endpoints.iter().enumerate() {
        let read = read_all(&world.broker, *endpoint, 7).await?;
        let expected: Vec<DeliveryId> = parked.iter().map(|round| round[place]).collect();
        ensure!(ids(&read) == expected);
        ensure!(read.is_sorted_by_key(|parked| parked.sequence));
        // Whoever reads anew, from the start or from the middle, reads the same.
        let other = world.connect().await?;
        ensure!(read_all(&other, *endpoint, 100).await? == read);
        let middle = read[24].sequence;
        ensure!(other.parked(*endpoint, middle, 1).await? == read[25..26]);
    }
    let nothing = world.broker.parked(world.endpoint(), 0, 10).await?;
    ensure!(nothing.is_empty());
    let last = read_all(&world.broker, endpoints[0], 50).await?[49].sequence;
    ensure!(
        world
            .broker
            .parked(endpoints[0], last, 10)
            .await?
            .is_empty()
    );
    Ok(())
}

async fn reads_are_bounded_by_count_and_bytes(world: World) -> Result<()> {
    let endpoint = world.endpoint();
    for _ in 0..20 {
        world
            .broker
            .park(endpoint, &[delivery(endpoint, 250 * 1_024)])
            .await?;
    }
    let by_bytes = world.broker.parked(endpoint, 0, 100).await?;
    ensure!(
        (4..=6).contains(&by_bytes.len()),
        "{} were read",
        by_bytes.len()
    );
    ensure!(world.broker.parked(endpoint, 0, 3).await?.len() == 3);
    ensure!(world.broker.parked(endpoint, 0, 0).await?.is_empty());
    ensure!(read_all(&world.broker, endpoint, 100).await?.len() == 20);
    // Larger than a read alone: it comes all the same.
    let small = world.endpoint();
    world
        .broker
        .park(small, &[delivery(small, 900 * 1_024)])
        .await?;
    let list: Vec<_> = (0..128).map(|_| delivery(small, 1_024)).collect();
    world.broker.park(small, &list).await?;
    let read = world.broker.parked(small, 0, 10).await?;
    ensure!(read.len() == 2 && read[1].deliveries == list);
    Ok(())
}

async fn what_is_discarded_is_gone_and_nothing_else(world: World) -> Result<()> {
    let [first, second] = [world.endpoint(), world.endpoint()];
    let parked = park_rounds(&world.broker, &[first, second], 30).await?;
    let read = world.broker.parked(first, 0, 12).await?;
    world.broker.discard_parked(first, 0).await?;
    ensure!(world.broker.parked(first, 0, 12).await? == read);
    world
        .broker
        .discard_parked(first, read[11].sequence)
        .await?;
    let rest = read_all(&world.connect().await?, first, 10).await?;
    ensure!(
        ids(&rest)
            == parked[12..]
                .iter()
                .map(|round| round[0])
                .collect::<Vec<_>>()
    );
    ensure!(read_all(&world.broker, second, 10).await?.len() == 30);
    let mut counts = world.broker.parked_endpoints(world.partition()).await?;
    counts.sort_by_key(|(_, count)| *count);
    ensure!(counts == [(first, 18), (second, 30)]);
    ensure!(world.broker.parked_messages([world.partition()]).await? == 48);
    world.broker.withdraw_parked(second).await?;
    ensure!(world.broker.parked(second, 0, 10).await?.is_empty());
    ensure!(world.broker.parked_endpoints(world.partition()).await? == [(first, 18)]);
    // What was parked once may be parked again.
    let again = world.broker.park(second, &[delivery(second, 10)]).await?;
    ensure!(world.broker.parked(second, 0, 10).await?[0].sequence == again);
    Ok(())
}

async fn what_cannot_be_read_does_not_block_the_endpoint(world: World) -> Result<()> {
    let endpoint = world.endpoint();
    let subject = format!("park.{}.{endpoint}", world.partition());
    world.publish_raw(&subject, "no list").await?;
    let behind = delivery(endpoint, 10);
    world
        .broker
        .park(endpoint, std::slice::from_ref(&behind))
        .await?;
    let read = world.broker.parked(endpoint, 0, 10).await?;
    ensure!(read.len() == 2 && read[0].deliveries.is_empty());
    ensure!(read[1].deliveries == [behind]);
    world
        .broker
        .discard_parked(endpoint, read[0].sequence)
        .await?;
    ensure!(world.broker.parked(endpoint, 0, 10).await? == read[1..]);
    Ok(())
}

async fn survives_a_kill_of_the_server(mut world: World) -> Result<()> {
    let [first, second] = [world.endpoint(), world.endpoint()];
    park_rounds(&world.broker, &[first, second], 40).await?;
    let all = read_all(&world.broker, first, 20).await?;
    world.broker.discard_parked(first, all[9].sequence).await?;
    world.kill_and_restart().await?;
    let read = || async { read_all(&world.broker, first, 20).await };
    ensure!(eventually("it is read", PATIENCE, read).await? == all[10..]);
    ensure!(read_all(&world.broker, second, 20).await?.len() == 40);
    Ok(())
}

async fn parking_waits_out_an_outage(mut world: World) -> Result<()> {
    let endpoint = world.endpoint();
    world.nats.kill()?;
    let error = world.broker.parked(endpoint, 0, 10).await.err();
    ensure!(error.is_some_and(|error| error.is_outage()));
    let sent = delivery(endpoint, 10);
    let broker = world.broker.clone();
    let deliveries = [sent.clone()];
    let parking = tokio::spawn(async move { broker.park(endpoint, &deliveries).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.nats.start().await?;
    let sequence = parking.await??;
    let expected = Parked {
        sequence,
        deliveries: vec![sent],
    };
    let read = || async { Ok(world.broker.parked(endpoint, 0, 10).await?) };
    ensure!(eventually("it is read", PATIENCE, read).await? == [expected]);
    Ok(())
}

async fn ten_thousand_endpoints_are_counted(world: World) -> Result<()> {
    let endpoints: Vec<EndpointId> = (0..10_000).map(|_| world.endpoint()).collect();
    let began = Instant::now();
    park_each(&world.broker, endpoints).await?;
    figure("parked, 256 at once", per_second(10_000, began));
    let began = Instant::now();
    let counts = world.broker.parked_endpoints(world.partition()).await?;
    figure(
        "10,000 endpoints counted in",
        format!("{:.3?}", began.elapsed()),
    );
    ensure!(counts.len() == 10_000 && counts.iter().all(|(_, count)| *count == 1));
    Ok(())
}

async fn one_endpoint_is_drained_out_of_many(world: World) -> Result<()> {
    let endpoints: Vec<EndpointId> = (0..100).map(|_| world.endpoint()).collect();
    let one = endpoints[0];
    // A tenth of it for the one.
    let endpoints = (0..5_000).map(|place| match place % 10 {
        0 => one,
        _ => endpoints[1 + place % 99],
    });
    let began = Instant::now();
    park_each(&world.broker, endpoints.collect()).await?;
    figure("parked, 256 at once", per_second(5_000, began));
    let began = Instant::now();
    ensure!(read_all(&world.broker, one, 20).await?.len() == 500);
    figure("messages read, 20 at a time", per_second(500, began));
    let (mut reading, mut discarding, mut drained) = (Duration::ZERO, Duration::ZERO, 0);
    let mut discards = 0_u32;
    loop {
        let began = Instant::now();
        let read = world.broker.parked(one, 0, 20).await?;
        reading += began.elapsed();
        let Some(last) = read.last() else { break };
        drained += read.len();
        let began = Instant::now();
        world.broker.discard_parked(one, last.sequence).await?;
        discarding += began.elapsed();
        discards += 1;
    }
    ensure!(drained == 500);
    let each = |total: Duration| format!("{:.3?} each", total / discards);
    figure("20 read from the head", each(reading));
    figure("20 discarded", each(discarding));
    Ok(())
}

/// Parks one delivery for each, many at once.
async fn park_each(broker: &Broker, endpoints: Vec<EndpointId>) -> Result<()> {
    let parking = endpoints.into_iter().map(|endpoint| {
        let broker = broker.clone();
        async move { broker.park(endpoint, &[delivery(endpoint, 300)]).await }
    });
    let sequences = iter(parking).buffer_unordered(256);
    sequences.try_collect::<Vec<u64>>().await?;
    Ok(())
}

/// Parks one delivery for each endpoint in turn, `rounds` times.
async fn park_rounds(
    broker: &Broker,
    endpoints: &[EndpointId],
    rounds: usize,
) -> Result<Vec<Vec<DeliveryId>>> {
    let mut parked = Vec::new();
    for _ in 0..rounds {
        let mut round = Vec::new();
        for endpoint in endpoints {
            let delivery = delivery(*endpoint, 100);
            round.push(delivery.id);
            broker.park(*endpoint, &[delivery]).await?;
        }
        parked.push(round);
    }
    Ok(parked)
}

async fn read_all(broker: &Broker, endpoint: EndpointId, max: usize) -> Result<Vec<Parked>> {
    let mut all: Vec<Parked> = Vec::new();
    loop {
        let after = all.last().map_or(0, |parked| parked.sequence);
        let read = broker.parked(endpoint, after, max).await?;
        ensure!(read.len() <= max, "more than was asked for");
        if read.is_empty() {
            return Ok(all);
        }
        all.extend(read);
    }
}

fn ids(parked: &[Parked]) -> Vec<DeliveryId> {
    let deliveries = parked.iter().flat_map(|parked| &parked.deliveries);
    deliveries.map(|delivery| delivery.id).collect()
}

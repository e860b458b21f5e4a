//! Records read back by who takes a partition over.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use broker::{Broker, RecordPublisher};
use domain::{
    AccountId, Cause, DeliveryId, DeliveryState, EndedReason, EndpointId, EventId, EventType,
    Outcome, Record, Timestamp,
};
use harness::suite::Scenario;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::world::{PATIENCE, World, figure, now, per_second};

pub(crate) fn scenarios() -> Vec<Scenario<World>> {
    harness::scenarios![
        the_records_of_a_partition_end_at_the_present_end,
        only_what_is_recent_is_read,
        an_empty_partition_ends_at_once,
        reading_goes_on_after_a_kill_of_the_server,
    ]
}

async fn the_records_of_a_partition_end_at_the_present_end(world: World) -> Result<()> {
    let (mine, other) = (world.endpoint(), other_endpoint(&world));
    let sent = publish(&world.broker, &[mine, other], 5_000).await?;
    let began = Instant::now();
    let mut recent = world
        .broker
        .recent_records(world.partition(), long_ago())
        .await;
    // Too late to be part of it.
    publish(&world.broker, &[mine], 10).await?;
    let mut read = Vec::new();
    while let Some(records) = next(&mut recent).await? {
        read.extend(records.into_iter().map(|record| record.delivery_id));
    }
    figure("records read back", per_second(read.len(), began));
    // They were published at once, so in any order.
    let [mut read, mut expected] = [read, sent[0].clone()];
    read.sort();
    expected.sort();
    ensure!(read == expected, "{} were read", read.len());
    ensure!(next(&mut recent).await?.is_none(), "it stays at the end");
    Ok(())
}

async fn only_what_is_recent_is_read(world: World) -> Result<()> {
    publish(&world.broker, &[world.endpoint()], 100).await?;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let since = now();
    let mut nothing = world.broker.recent_records(world.partition(), since).await;
    ensure!(next(&mut nothing).await?.is_none());
    let sent = publish(&world.broker, &[world.endpoint()], 1).await?;
    let mut recent = world.broker.recent_records(world.partition(), since).await;
    let read = next(&mut recent).await?.context("one is there")?;
    ensure!(read.len() == 1 && read[0].delivery_id == sent[0][0]);
    ensure!(next(&mut recent).await?.is_none());
    Ok(())
}

async fn an_empty_partition_ends_at_once(world: World) -> Result<()> {
    publish(&world.broker, &[other_endpoint(&world)], 10).await?;
    let mut recent = world
        .broker
        .recent_records(world.partition(), long_ago())
        .await;
    ensure!(next(&mut recent).await?.is_none());
    Ok(())
}

async fn reading_goes_on_after_a_kill_of_the_server(mut world: World) -> Result<()> {
    // One at a time, so that they are many messages.
    let mut sent = Vec::new();
    for _ in 0..1_500 {
        sent.extend(
            publish(&world.broker, &[world.endpoint()], 1)
                .await?
                .concat(),
        );
    }
    let mut recent = world
        .broker
        .recent_records(world.partition(), long_ago())
        .await;
    let mut read = Vec::new();
    while let Some(records) = next(&mut recent).await? {
        read.extend(records.into_iter().map(|record| record.delivery_id));
        if read.len() == 700 {
            world.kill_and_restart().await?;
        }
    }
    ensure!(read == sent, "{} of {} were read", read.len(), sent.len());
    // And one that is asked for while the server is away.
    world.nats.kill()?;
    let (broker, partition) = (world.broker.clone(), world.partition());
    let asked = tokio::spawn(async move { broker.recent_records(partition, long_ago()).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.nats.start().await?;
    let mut recent = timeout(PATIENCE, asked).await??;
    ensure!(next(&mut recent).await?.is_some());
    Ok(())
}

/// Publishes `count` records for each endpoint; returns their deliveries.
async fn publish(
    broker: &Broker,
    endpoints: &[EndpointId],
    count: usize,
) -> Result<Vec<Vec<DeliveryId>>> {
    let publisher = RecordPublisher::start(broker, &TaskTracker::new());
    let mut sent = Vec::new();
    for endpoint in endpoints {
        let records: Vec<Record> = (0..count).map(|_| record(*endpoint)).collect();
        sent.push(records.iter().map(|record| record.delivery_id).collect());
        let published = records
            .into_iter()
            .map(|record| publisher.publish(Arc::new(record)));
        futures::future::try_join_all(published).await?;
    }
    Ok(sent)
}

fn record(endpoint: EndpointId) -> Record {
    Record {
        delivery_id: DeliveryId::new(),
        event_id: EventId::new(),
        endpoint_id: endpoint,
        account: AccountId::parse("acme").expect("it is one"),
        event_type: EventType::parse("message.report").expect("it is one"),
        cause: Cause::Event,
        accepted_at: now(),
        endpoint_generation: 0,
        attempt_number: 1,
        outcome: Outcome::Ended {
            state: DeliveryState::Cancelled,
            reason: EndedReason::EndpointDeleted,
            at: now(),
        },
    }
}

fn other_endpoint(world: &World) -> EndpointId {
    let mut ids = std::iter::repeat_with(EndpointId::new);
    ids.find(|id| world.broker.partitions().of(*id) != world.partition())
        .expect("ids never end")
}

fn long_ago() -> Timestamp {
    now().minus(Duration::from_secs(600))
}

async fn next(recent: &mut broker::RecentRecords) -> Result<Option<Vec<Record>>> {
    Ok(timeout(PATIENCE, recent.next()).await?)
}

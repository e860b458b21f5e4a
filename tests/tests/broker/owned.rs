//! Consumers that belong to a partition's owner.

use std::time::Duration;

use anyhow::{Result, ensure};
use broker::{Broker, Consumer, DeliveryPublisher, Message};
use domain::{Delivery, DeliveryId};
use harness::suite::Scenario;
use harness::wait::throughout;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::world::{World, delivery, figure, ids, now, take};

/// Long enough for what must not come.
const QUIET: Duration = Duration::from_secs(2);

pub(crate) fn scenarios() -> Vec<Scenario<World>> {
    harness::scenarios![
        gives_deliveries_and_due_retries,
        a_new_epoch_gets_at_once_what_the_old_one_held,
        an_old_epoch_gets_nothing_more,
        acks_of_an_old_epoch_do_nothing,
        a_lower_epoch_that_comes_late_idles,
        what_is_handed_back_comes_again_at_once,
        consumers_from_before_there_were_epochs_go,
        goes_on_after_a_kill_of_the_server,
        large_lists_are_taken_within_bounds,
    ]
}

async fn gives_deliveries_and_due_retries(world: World) -> Result<()> {
    let mut consumer = world.broker.consume_owned(world.partition(), 1);
    let first = publish(&world, 3).await?;
    let retry = delivery(world.endpoint(), 10);
    world.broker.schedule_retry(&retry, now()).await?;
    let messages = take(&mut consumer, 4).await?;
    let mut expected: Vec<DeliveryId> = first.into_iter().chain([retry.id]).collect();
    expected.sort();
    ensure!(ids(&messages)? == expected);
    ensure!(world.broker.ready([world.partition()]).await? == 4);
    ensure!(
        world
            .broker
            .ready(world.broker.partitions().iter().skip(1))
            .await?
            == 0
    );
    ack(&world.broker, messages).await;
    let none_left = async {
        while world.broker.ready([world.partition()]).await? > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok::<(), anyhow::Error>(())
    };
    timeout(QUIET, none_left).await??;
    Ok(())
}

async fn a_new_epoch_gets_at_once_what_the_old_one_held(world: World) -> Result<()> {
    let sent = publish(&world, 300).await?;
    let mut old = world.broker.consume_owned(world.partition(), 5);
    // Held in work, in the queue, in the client's buffer.
    let held = take(&mut old, 100).await?;
    let began = Instant::now();
    let mut new = world.connect().await?.consume_owned(world.partition(), 9);
    let messages = take(&mut new, 300).await?;
    let took = began.elapsed();
    ensure!(ids(&messages)? == sent);
    ensure!(took < Duration::from_secs(2), "it took {took:?}");
    figure(
        "300 held messages with the next owner after",
        format!("{took:.3?}"),
    );
    drop(held);
    Ok(())
}

async fn an_old_epoch_gets_nothing_more(world: World) -> Result<()> {
    let mut old = world.broker.consume_owned(world.partition(), 1);
    publish(&world, 1).await?;
    let held = take(&mut old, 1).await?;
    // Again and again, so that the old one's attempts to come back are met.
    for epoch in 2..5 {
        let other = world.connect().await?;
        let mut new = other.consume_owned(world.partition(), epoch);
        ack(&other, take(&mut new, 1).await?).await;
        let sent = publish(&world, 50).await?;
        let messages = take(&mut new, 50).await?;
        ensure!(ids(&messages)? == sent);
        ack(&other, messages).await;
        ensure!(is_quiet(&mut old).await, "the old owner got something");
        // For the next one.
        publish(&world, 1).await?;
        take(&mut new, 1).await?;
    }
    drop(held);
    Ok(())
}

async fn acks_of_an_old_epoch_do_nothing(world: World) -> Result<()> {
    let sent = publish(&world, 10).await?;
    let mut old = world.broker.consume_owned(world.partition(), 1);
    let held = take(&mut old, 10).await?;
    let other = world.connect().await?;
    let mut new = other.consume_owned(world.partition(), 2);
    let messages = take(&mut new, 10).await?;
    ensure!(
        messages.iter().all(|message| message.delivered() == 1),
        "counted anew"
    );
    ack(&world.broker, held).await;
    throughout("nothing is removed", QUIET, || async {
        ensure!(world.broker.ready([world.partition()]).await? == 10);
        Ok(())
    })
    .await?;
    let mut newest = world.connect().await?.consume_owned(world.partition(), 3);
    ensure!(ids(&take(&mut newest, 10).await?)? == sent);
    Ok(())
}

async fn a_lower_epoch_that_comes_late_idles(world: World) -> Result<()> {
    let mut new = world.broker.consume_owned(world.partition(), 7);
    publish(&world, 1).await?;
    let held = take(&mut new, 1).await?;
    let mut late = world.connect().await?.consume_owned(world.partition(), 6);
    let sent = publish(&world, 20).await?;
    ensure!(is_quiet(&mut late).await);
    ensure!(ids(&take(&mut new, 20).await?)? == sent);
    drop(held);
    Ok(())
}

async fn what_is_handed_back_comes_again_at_once(world: World) -> Result<()> {
    publish(&world, 5).await?;
    let mut consumer = world.broker.consume_owned(world.partition(), 1);
    let began = Instant::now();
    for message in take(&mut consumer, 5).await? {
        message.hand_back().await;
    }
    let again = take(&mut consumer, 5).await?;
    ensure!(again.iter().all(|message| message.delivered() == 2));
    ensure!(began.elapsed() < QUIET);
    ack(&world.broker, again).await;
    ensure!(is_quiet(&mut consumer).await);
    Ok(())
}

async fn consumers_from_before_there_were_epochs_go(world: World) -> Result<()> {
    let partition = world.partition();
    let old = format!("dispatcher-{partition}");
    let create = format!("$JS.API.CONSUMER.DURABLE.CREATE.DELIVERIES.{old}");
    let config = format!(
        r#"{{"stream_name":"DELIVERIES","config":{{"durable_name":"{old}","ack_policy":"explicit","filter_subject":"deliver.{partition}"}}}}"#
    );
    world.publish_raw(&create, &config).await?;
    let sent = publish(&world, 5).await?;
    let mut consumer = world.broker.consume_owned(partition, 1);
    ensure!(ids(&take(&mut consumer, 5).await?)? == sent);
    Ok(())
}

async fn goes_on_after_a_kill_of_the_server(mut world: World) -> Result<()> {
    let mut consumer = world.broker.consume_owned(world.partition(), 1);
    let sent = publish(&world, 10).await?;
    let held = take(&mut consumer, 10).await?;
    world.kill_and_restart().await?;
    let more = publish(&world, 10).await?;
    // A server that was killed may not know all that it had delivered.
    let mut missing = more.clone();
    while !missing.is_empty() {
        let came = ids(&take(&mut consumer, 1).await?)?;
        ensure!(came.iter().all(|id| sent.contains(id) || more.contains(id)));
        missing.retain(|id| !came.contains(id));
    }
    // A new owner gets the lot, as without the kill.
    let mut new = world.connect().await?.consume_owned(world.partition(), 2);
    let mut all = [sent, more].concat();
    all.sort();
    ensure!(ids(&take(&mut new, 20).await?)? == all);
    drop(held);
    Ok(())
}

async fn large_lists_are_taken_within_bounds(world: World) -> Result<()> {
    let (small, lists) = (400, 120);
    // A prefetch counts messages and bytes; here one and then the other ends it.
    publish(&world, small).await?;
    let publisher = DeliveryPublisher::start(&world.broker, &TaskTracker::new());
    for _ in 0..lists {
        let large = delivery(world.endpoint(), 250 * 1_024);
        publisher.publish(world.partition(), vec![large]).await?;
    }
    let mut consumer = world.broker.consume_owned(world.partition(), 1);
    let messages = take(&mut consumer, small).await?;
    ack(&world.broker, messages).await;
    let began = Instant::now();
    for _ in 0..lists / 4 {
        let messages = take(&mut consumer, 4).await?;
        ack(&world.broker, messages).await;
    }
    ensure!(is_quiet(&mut consumer).await, "something came twice");
    figure(
        "120 lists of 250 KiB taken and acked in",
        format!("{:.3?}", began.elapsed() - QUIET),
    );
    Ok(())
}

/// Publishes `count` lists of one delivery each; returns the ids, sorted.
async fn publish(world: &World, count: usize) -> Result<Vec<DeliveryId>> {
    let publisher = DeliveryPublisher::start(&world.broker, &TaskTracker::new());
    let mut sent = Vec::new();
    for _ in 0..count {
        let delivery: Delivery = delivery(world.endpoint(), 100);
        sent.push(delivery.id);
        publisher.publish(world.partition(), vec![delivery]).await?;
    }
    sent.sort();
    Ok(sent)
}

async fn ack(broker: &Broker, messages: Vec<Message>) {
    for message in messages {
        message.ack().await;
    }
    broker.flush().await;
}

async fn is_quiet(consumer: &mut Consumer) -> bool {
    timeout(QUIET, consumer.next(1)).await.is_err()
}

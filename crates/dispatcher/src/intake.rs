//! One partition: takes messages while there is room, works on each, and acks it
//! when all that it holds is settled.

use std::sync::Arc;

use broker::Message;
use domain::{Delivery, Partition};
use futures::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tracing::{debug, error};

use crate::deliver::{Dispatch, Unsettled};
use crate::follow::Following;

/// Deliveries that a partition holds at once, waiting or in flight. When it is
/// full, messages stay where they are.
const MAX_HELD: u32 = 1_024;

/// Messages taken at a time.
const BATCH: usize = 32;

/// Works until the dispatcher shuts down, then finishes what is in flight.
pub(crate) async fn run(dispatch: Arc<Dispatch>, following: Arc<Following>, partition: Partition) {
    // Every dispatcher shares the same epoch until leases give each its own.
    let mut consumer = dispatch.broker.consume_owned(partition, 1);
    let room = Arc::new(Semaphore::new(MAX_HELD as usize));
    let mut lists = JoinSet::new();
    let take = async {
        loop {
            for message in consumer.next(BATCH).await {
                let deliveries = match message.deliveries() {
                    Ok(deliveries) => deliveries,
                    Err(error) => {
                        dispatch.metrics.undecodable();
                        message.terminate(&error).await;
                        continue;
                    }
                };
                let count = u32::try_from(deliveries.len())
                    .unwrap_or(MAX_HELD)
                    .min(MAX_HELD);
                let held = Arc::clone(&room).acquire_many_owned(count).await;
                let held = held.expect("never closed");
                let (dispatch, following) = (Arc::clone(&dispatch), Arc::clone(&following));
                lists.spawn(work(dispatch, following, message, deliveries, held));
                while let Some(ended) = lists.try_join_next() {
                    check(ended);
                }
            }
        }
    };
    tokio::select! {
        () = dispatch.shutdown.cancelled() => {}
        () = take => {}
    }
    while let Some(ended) = lists.join_next().await {
        check(ended);
    }
    // Only here: it renews the messages that are in work.
    drop(consumer);
}

/// A list whose task failed is not acked, so it comes again.
fn check(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        error!(%error, "the work on a list of deliveries failed");
    }
}

/// Settles every delivery of a message, then acks it.
async fn work(
    dispatch: Arc<Dispatch>,
    following: Arc<Following>,
    message: Message,
    deliveries: Vec<Delivery>,
    _held: OwnedSemaphorePermit,
) {
    if message.delivered() > 1 {
        // Somebody had it before, and may have settled some of it.
        tokio::select! {
            () = dispatch.shutdown.cancelled() => return,
            () = following.catch_up() => {}
        }
    }
    let settled = join_all(deliveries.iter().map(|delivery| dispatch.settle(delivery))).await;
    let unsettled = settled.into_iter().filter_map(Result::err).next();
    match unsettled {
        None => message.ack().await,
        // Dropped without an ack, it comes again.
        Some(reason @ (Unsettled::ShuttingDown | Unsettled::Secret(_))) => {
            debug!(%reason, sequence = message.sequence(), "a list of deliveries stays");
        }
        Some(Unsettled::Publish(error)) => {
            error!(%error, sequence = message.sequence(), "an outcome was refused; its list stays");
        }
    }
}

//! The publisher, over gRPC as a platform's service does it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::api;
use proto::v1::ingest_service_client::IngestServiceClient;
use proto::v1::{PublishEventRequest, PublishEventsRequest};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::arrivals::Latencies;
use crate::clock::{Ticks, now_ns};
use crate::payload;

/// Events in a call when it goes as fast as it can.
const BATCH: u32 = 100;

/// Calls under way when it goes as fast as it can.
const CALLS: usize = 8;

/// Calls under way at a fixed rate; past it the schedule waits, which counts
/// as latency.
const MAX_IN_FLIGHT: usize = 4_096;

/// A failed call is repeated so often.
const REPEATS: u32 = 100;

/// Publishes for one account. Clones share a connection and the numbers. An
/// event's id is made of its type and number, so there is one publisher for a
/// type of an account.
#[derive(Debug, Clone)]
pub(crate) struct Publisher {
    client: IngestServiceClient<api::Authorised>,
    account: String,
    /// Events are of each in turn.
    event_types: Arc<[String]>,
    next: Arc<AtomicU32>,
}

/// How publishing went.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// From when each was to be sent until it was accepted.
    pub(crate) accepted: Latencies,
    /// Calls that failed and were repeated or, at a fixed rate, given up.
    pub(crate) failed_calls: u32,
}

impl Publisher {
    /// Connects when it is used.
    ///
    /// # Errors
    ///
    /// When address or key are not valid.
    pub(crate) async fn new(
        url: &str,
        key: &str,
        account: &str,
        event_types: &[String],
    ) -> Result<Self> {
        Ok(Self {
            client: api::ingest(url, key).await?,
            account: account.to_owned(),
            event_types: event_types.into(),
            next: Arc::default(),
        })
    }

    fn event(&self, number: u32, sent_ns: u64) -> PublishEventRequest {
        let event_type = &self.event_types[number as usize % self.event_types.len()];
        PublishEventRequest {
            account: self.account.clone(),
            r#type: event_type.clone(),
            object: payload::object(number, sent_ns).into_bytes().into(),
            id: format!("{event_type}-{number}"),
            ..PublishEventRequest::default()
        }
    }

    /// `count` events as fast as it can, in batches.
    ///
    /// # Errors
    ///
    /// When an event is refused, or a call fails, again and again.
    pub(crate) async fn burst(&self, count: u32) -> Result<Published> {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let end = first + count;
        let next = Arc::new(AtomicU32::new(first));
        let mut calls = JoinSet::new();
        for _ in 0..CALLS {
            let (publisher, next) = (self.clone(), Arc::clone(&next));
            calls.spawn(async move { publisher.batches(&next, end).await });
        }
        let mut published = Published::default();
        while let Some(ended) = calls.join_next().await {
            published.failed_calls += ended??;
        }
        Ok(published)
    }

    /// Takes batches until `end`; how many calls failed.
    async fn batches(mut self, next: &AtomicU32, end: u32) -> Result<u32> {
        let mut failed = 0;
        loop {
            let from = next.fetch_add(BATCH, Ordering::Relaxed);
            if from >= end {
                return Ok(failed);
            }
            let sent_ns = now_ns();
            let numbers = from..end.min(from + BATCH);
            let events = numbers.map(|number| self.event(number, sent_ns)).collect();
            failed += self.batch(PublishEventsRequest { events }).await?;
        }
    }

    async fn batch(&mut self, request: PublishEventsRequest) -> Result<u32> {
        let mut failed = 0;
        loop {
            match self.client.publish_events(request.clone()).await {
                Ok(answer) => {
                    let results = answer.into_inner().results;
                    let refused = results.into_iter().find_map(|result| result.error);
                    match refused {
                        None => return Ok(failed),
                        // The ids make a repeat of the accepted ones safe.
                        Some(error) if failed >= REPEATS => {
                            ensure!(false, "an event was refused: {error:?}");
                        }
                        Some(_) => {}
                    }
                }
                Err(status) if failed >= REPEATS => {
                    return Err(status).context("publish a batch");
                }
                Err(_) => {}
            }
            failed += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// `count` events at a fixed rate, a call for each.
    ///
    /// # Errors
    ///
    /// When a task panics.
    pub(crate) async fn paced(&self, per_second: u32, count: u32) -> Result<Published> {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let mut ticks = Ticks::start(first, per_second, count);
        let room = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
        let mut calls = JoinSet::new();
        let mut accepted = Vec::new();
        let mut failed_calls = 0;
        let mut note = |result: Option<u64>| match result {
            Some(latency) => accepted.push(latency),
            None => failed_calls += 1,
        };
        while let Some(tick) = ticks.next().await {
            let permit = Arc::clone(&room).acquire_owned().await?;
            let mut publisher = self.clone();
            calls.spawn(async move {
                let event = publisher.event(tick.number, tick.due_ns);
                let answer = publisher.client.publish_event(event).await;
                drop(permit);
                answer.ok().map(|_| now_ns() - tick.due_ns)
            });
            while let Some(ended) = calls.try_join_next() {
                note(ended?);
            }
        }
        while let Some(ended) = calls.join_next().await {
            note(ended?);
        }
        Ok(Published {
            accepted: Latencies::new(accepted),
            failed_calls,
        })
    }
}

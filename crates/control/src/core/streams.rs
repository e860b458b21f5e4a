//! Looks at the streams for the metrics. Control does it because it runs also
//! where nothing is consumed; replicas of it tell the same.

use std::time::Duration;

use broker::{Broker, Census};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Gauge;
use telemetry::metric;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

const INTERVAL: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(4);

/// Looks again and again until `shutdown` is cancelled. What cannot be asked
/// keeps its last value: that there is no connection is a metric of its own.
pub(super) async fn watch(broker: &Broker, shutdown: &CancellationToken) {
    let gauges = Gauges::new();
    let mut look = interval(INTERVAL);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = look.tick() => {}
            () = shutdown.cancelled() => return,
        }
        match timeout(LIMIT, broker.census()).await {
            Ok(Ok(census)) => gauges.set(&census),
            Ok(Err(error)) => debug!(%error, "the streams cannot be looked at"),
            Err(_) => debug!("looking at the streams took too long"),
        }
    }
}

#[derive(Debug)]
struct Gauges {
    messages: Gauge<u64>,
    size: Gauge<u64>,
    oldest_age: Gauge<f64>,
    pending: Gauge<u64>,
    unacked: Gauge<u64>,
    storage_used: Gauge<u64>,
    storage_limit: Gauge<u64>,
}

impl Gauges {
    fn new() -> Self {
        Self {
            messages: metric::STREAM_MESSAGES.gauge(),
            size: metric::STREAM_SIZE.gauge(),
            oldest_age: metric::STREAM_OLDEST_AGE.seconds(),
            pending: metric::CONSUMER_PENDING.gauge(),
            unacked: metric::CONSUMER_UNACKED.gauge(),
            storage_used: metric::STORAGE_USED.gauge(),
            storage_limit: metric::STORAGE_LIMIT.gauge(),
        }
    }

    fn set(&self, census: &Census) {
        for stream in &census.streams {
            let label = [KeyValue::new("stream", stream.name)];
            self.messages.record(stream.messages, &label);
            self.size.record(stream.bytes, &label);
            self.oldest_age
                .record(stream.oldest_age.as_secs_f64(), &label);
        }
        for consumer in &census.consumers {
            let label = [KeyValue::new("consumer", consumer.name)];
            self.pending.record(consumer.pending, &label);
            self.unacked.record(consumer.unacked, &label);
        }
        self.storage_used.record(census.storage_used, &[]);
        if let Some(limit) = census.storage_limit {
            self.storage_limit.record(limit, &[]);
        }
    }
}

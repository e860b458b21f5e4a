//! What the dispatcher counts and measures.

use std::time::Duration;

use domain::{DeliveryState, Outcome, Record, Timestamp};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};

/// Seconds an exchange may take.
const EXCHANGE_BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Seconds from acceptance to success: the last attempts come days later.
const LATENCY_BUCKETS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0, 21_600.0, 86_400.0,
];

#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    attempts: Counter<u64>,
    exchange: Histogram<f64>,
    latency: Histogram<f64>,
    ended: Counter<u64>,
    repeats: Counter<u64>,
    undecodable: Counter<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = opentelemetry::global::meter("postrider");
        Self {
            attempts: meter
                .u64_counter("postrider_attempts")
                .with_description("HTTP POSTs, by outcome: succeeded or the class of failure")
                .build(),
            exchange: meter
                .f64_histogram("postrider_attempt_duration")
                .with_unit("s")
                .with_description("how long HTTP exchanges took")
                .with_boundaries(EXCHANGE_BUCKETS.to_vec())
                .build(),
            latency: meter
                .f64_histogram("postrider_delivery_latency")
                .with_unit("s")
                .with_description("from an event's acceptance to an endpoint's 2xx")
                .with_boundaries(LATENCY_BUCKETS.to_vec())
                .build(),
            ended: meter
                .u64_counter("postrider_deliveries_ended")
                .with_description("deliveries that came to their end, by state")
                .build(),
            repeats: meter
                .u64_counter("postrider_settled_repeats")
                .with_description("attempts that came again and were already settled")
                .build(),
            undecodable: meter
                .u64_counter("postrider_undecodable_messages")
                .with_description("messages that are not what they must be, and were dropped")
                .build(),
        }
    }

    /// A delivery moved.
    pub(crate) fn record(&self, record: &Record, now: Timestamp) {
        if let Outcome::Attempt(attempt) = &record.outcome {
            let outcome = attempt
                .failure
                .as_ref()
                .map_or("succeeded", |f| f.class.as_str());
            self.attempts.add(1, &[KeyValue::new("outcome", outcome)]);
            self.exchange(attempt.duration);
        }
        let state = record.outcome.delivery_state();
        if state != DeliveryState::Pending {
            self.ended.add(1, &[KeyValue::new("state", state.as_str())]);
        }
        if state == DeliveryState::Succeeded {
            self.latency
                .record(now.since(record.accepted_at).as_secs_f64(), &[]);
        }
    }

    fn exchange(&self, duration: Duration) {
        self.exchange.record(duration.as_secs_f64(), &[]);
    }

    /// An attempt was found in the settled set.
    pub(crate) fn repeat(&self) {
        self.repeats.add(1, &[]);
    }

    /// A message could not be decoded.
    pub(crate) fn undecodable(&self) {
        self.undecodable.add(1, &[]);
    }
}

//! What the dispatcher counts and measures.

use std::time::Duration;

use domain::{DeferralReason, DeliveryState, Outcome, Record, Timestamp};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram};

use crate::lanes::Census;

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
    parked: Counter<u64>,
    leases: Counter<u64>,
}

/// What stands still now, for whoever asks.
#[derive(Debug, Clone)]
pub(crate) struct Gauges {
    in_flight: Gauge<u64>,
    queued: Gauge<u64>,
    parked: Gauge<u64>,
    paused: Gauge<u64>,
}

impl Gauges {
    pub(crate) fn new() -> Self {
        let meter = opentelemetry::global::meter("postrider");
        let gauge = |name: &'static str, about: &'static str| {
            meter.u64_gauge(name).with_description(about).build()
        };
        Self {
            in_flight: gauge("postrider_attempts_in_flight", "HTTP POSTs under way"),
            queued: gauge(
                "postrider_deliveries_queued",
                "deliveries that wait for their turn in memory",
            ),
            parked: gauge(
                "postrider_deliveries_parked",
                "deliveries that wait in PARKED, about",
            ),
            paused: gauge(
                "postrider_endpoints_paused",
                "endpoints that fail and only get probes",
            ),
        }
    }

    pub(crate) fn set(&self, census: Census) {
        self.in_flight.record(census.in_flight as u64, &[]);
        self.queued.record(census.queued as u64, &[]);
        self.parked.record(census.parked, &[]);
        self.paused.record(census.paused as u64, &[]);
    }
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
            parked: meter
                .u64_counter("postrider_parked")
                .with_description("deliveries that were parked, by reason")
                .build(),
            leases: meter
                .u64_counter("postrider_lease_changes")
                .with_description("leases of partitions, by what became of them")
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

    /// Deliveries were parked.
    pub(crate) fn parked(&self, count: usize, reason: DeferralReason) {
        let reason = KeyValue::new("reason", reason.as_str());
        self.parked.add(count as u64, &[reason]);
    }

    /// A lease was acquired, released, lost, or has expired.
    pub(crate) fn lease(&self, change: &'static str) {
        self.leases.add(1, &[KeyValue::new("change", change)]);
    }

    /// A message could not be decoded.
    pub(crate) fn undecodable(&self) {
        self.undecodable.add(1, &[]);
    }
}

//! What the dispatcher counts and measures.

use std::time::{Duration, Instant};

use domain::{DeferralReason, DeliveryState, Outcome, Partitions, Record, Timestamp, breaker};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram};
use telemetry::metric;

use crate::lanes::Census;

#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    attempts: Counter<u64>,
    exchange: Histogram<f64>,
    latency: Histogram<f64>,
    start_delay: Histogram<f64>,
    ended: Counter<u64>,
    repeated: Counter<u64>,
    deferred: Counter<u64>,
    leases: Counter<u64>,
    owned: Gauge<u64>,
    partitions: Gauge<u64>,
}

/// What stands still now, for whoever asks.
#[derive(Debug, Clone)]
pub(crate) struct Gauges {
    in_flight: Gauge<u64>,
    queued: Gauge<u64>,
    ready: Gauge<u64>,
    oldest: Gauge<f64>,
    parked: Gauge<u64>,
    paused: Gauge<u64>,
    breakers: Counter<u64>,
}

impl Gauges {
    pub(crate) fn new() -> Self {
        Self {
            in_flight: metric::ATTEMPTS_IN_FLIGHT.gauge(),
            queued: metric::DELIVERIES_QUEUED.gauge(),
            ready: metric::DELIVERIES_READY.gauge(),
            oldest: metric::OLDEST_READY_AGE.seconds(),
            parked: metric::DELIVERIES_PARKED.gauge(),
            paused: metric::ENDPOINTS_PAUSED.gauge(),
            breakers: metric::BREAKER_CHANGES.counter(),
        }
    }

    pub(crate) fn set(&self, census: Census, now: Instant) {
        self.in_flight.record(census.in_flight as u64, &[]);
        self.queued.record(census.queued as u64, &[]);
        self.ready.record(census.ready as u64, &[]);
        let age = census
            .ready_since
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.oldest.record(age.as_secs_f64(), &[]);
        self.parked.record(census.parked, &[]);
        self.paused.record(census.paused as u64, &[]);
    }

    /// An endpoint's breaker did something.
    pub(crate) fn breaker(&self, change: breaker::Change) {
        let change = match change {
            breaker::Change::Opened => "opened",
            breaker::Change::Recovering => "recovering",
            breaker::Change::None => return,
        };
        self.breakers.add(1, &[KeyValue::new("change", change)]);
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            attempts: metric::ATTEMPTS.counter(),
            exchange: metric::ATTEMPT_DURATION.histogram(),
            latency: metric::DELIVERY_LATENCY.histogram(),
            start_delay: metric::DELIVERY_START_DELAY.histogram(),
            ended: metric::DELIVERIES_ENDED.counter(),
            repeated: metric::DELIVERIES_REPEATED.counter_from_zero(),
            deferred: metric::DELIVERIES_DEFERRED.counter(),
            leases: metric::LEASE_CHANGES.counter(),
            owned: metric::PARTITIONS_OWNED.gauge(),
            partitions: metric::PARTITIONS.gauge(),
        }
    }

    /// A POST is about to be made; `was_parked` if its delivery waited in
    /// PARKED.
    pub(crate) fn begun(&self, accepted_at: Timestamp, was_parked: bool, now: Timestamp) {
        let parked = KeyValue::new("parked", was_parked);
        self.start_delay
            .record(now.since(accepted_at).as_secs_f64(), &[parked]);
    }

    /// A delivery moved.
    pub(crate) fn record(&self, record: &Record, now: Timestamp) {
        if let Outcome::Attempt(attempt) = &record.outcome {
            let failure = attempt.failure.as_ref().map(|failure| failure.class);
            let outcome = KeyValue::new(
                "outcome",
                match failure {
                    None => "succeeded",
                    Some(_) => "failed",
                },
            );
            let class = failure.map(|class| KeyValue::new("failure_class", class.as_str()));
            let status = attempt
                .response_status
                .map(|status| KeyValue::new("status_class", status_class(status)));
            let labels: Vec<_> = [Some(outcome.clone()), class, status]
                .into_iter()
                .flatten()
                .collect();
            self.attempts.add(1, &labels);
            self.exchange
                .record(attempt.duration.as_secs_f64(), &[outcome]);
        }
        let state = record.outcome.delivery_state();
        if state != DeliveryState::Pending {
            self.ended.add(1, &[KeyValue::new("state", state.as_str())]);
        }
        if state == DeliveryState::Succeeded {
            let attempt = if record.attempt_number == 1 {
                "first"
            } else {
                "later"
            };
            self.latency.record(
                now.since(record.accepted_at).as_secs_f64(),
                &[KeyValue::new("attempt", attempt)],
            );
        }
    }

    /// An attempt was found in the settled set.
    pub(crate) fn repeat(&self) {
        self.repeated.add(1, &[]);
    }

    /// Deliveries were parked.
    pub(crate) fn parked(&self, count: usize, reason: DeferralReason) {
        let reason = KeyValue::new("reason", reason.as_str());
        self.deferred.add(count as u64, &[reason]);
    }

    /// A lease was acquired, released, lost, or has expired.
    pub(crate) fn lease(&self, change: &'static str) {
        self.leases.add(1, &[KeyValue::new("change", change)]);
    }

    /// So many of the partitions are this process's.
    pub(crate) fn owned(&self, owned: usize, partitions: Partitions) {
        self.owned.record(owned as u64, &[]);
        self.partitions.record(partitions.count().get().into(), &[]);
    }
}

const fn status_class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

//! Every instrument: its name, its kind and what it tells, in one table.
//!
//! No label names an account, an endpoint or an event: each has a few values,
//! and none grows with the customers.

mod reference;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};

pub use reference::reference;

/// What an instrument does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// What is so now, of this process: sum it over processes.
    Gauge,
    /// What is so now, of something that several processes look at: take the
    /// largest.
    SharedGauge,
    /// How something is distributed.
    Histogram(&'static [f64]),
}

/// An instrument.
#[derive(Debug)]
pub struct Metric {
    /// OpenTelemetry's name for it.
    pub name: &'static str,
    pub kind: Kind,
    /// UCUM; what is counted stands in braces.
    pub unit: &'static str,
    /// Each label and its values.
    pub labels: &'static [(&'static str, &'static str)],
    pub about: &'static str,
    /// Who has it.
    pub by: &'static str,
}

/// Seconds of a call or an HTTP exchange.
const CALL: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Seconds from acceptance on: the last attempts come days later.
const LATENCY: &[f64] = &[
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0, 120.0, 600.0, 3_600.0, 21_600.0, 86_400.0,
];

const EVERY: &str = "every process";

macro_rules! metrics {
    ($($constant:ident $name:literal $kind:expr, $unit:literal, $by:expr,
       [$($label:literal: $values:literal),*], $about:literal;)+) => {
        $(#[doc = $about] pub const $constant: Metric = Metric {
            name: $name, kind: $kind, unit: $unit, labels: &[$(($label, $values)),*],
            about: $about, by: $by,
        };)+

        /// Every instrument, in the order in which they are listed.
        pub const ALL: &[Metric] = &[$($constant),+];
    };
}

metrics! {
    INGEST_EVENTS "postrider.ingest.events" Kind::Counter, "{event}", "ingest",
        ["result": "`accepted`, `duplicate`, `refused` (the caller's fault), `failed` (ours)", "reason": "the problem's code; only if refused or failed"],
        "Events that were published, by what became of them.";
    INGEST_DURATION "postrider.ingest.duration" Kind::Histogram(CALL), "s", "ingest",
        ["result": "as above"],
        "From the call to the answer, for each event.";
    FANOUT_ENDPOINTS "postrider.fanout.endpoints" Kind::Counter, "{endpoint}", "fanout",
        ["decision": "`delivery`, `not_subscribed`, `disabled`, `created_later`, `unverified`"],
        "Endpoints that were considered for events, by what was decided.";
    FANOUT_LAG "postrider.fanout.lag" Kind::Histogram(LATENCY), "s", "fanout", [],
        "From an event's acceptance until its deliveries are stored.";

    ATTEMPTS "postrider.attempts" Kind::Counter, "{attempt}", "dispatcher",
        ["outcome": "`succeeded`, `failed`", "failure_class": "`dns`, `connect`, `tls`, `timeout`, `egress_denied`, `http_status`, `response_invalid`; only if failed", "status_class": "`1xx` to `5xx`; only if there was an answer"],
        "HTTP POSTs to endpoints.";
    ATTEMPT_DURATION "postrider.attempt.duration" Kind::Histogram(CALL), "s", "dispatcher",
        ["outcome": "`succeeded`, `failed`"],
        "How long HTTP exchanges with endpoints took.";
    ATTEMPTS_IN_FLIGHT "postrider.attempts.in_flight" Kind::Gauge, "{attempt}", "dispatcher", [],
        "HTTP POSTs under way.";
    DELIVERY_LATENCY "postrider.delivery.latency" Kind::Histogram(LATENCY), "s", "dispatcher",
        ["attempt": "`first`, `later`: the one that succeeded"],
        "From an event's acceptance to an endpoint's 2xx.";
    DELIVERY_START_DELAY "postrider.delivery.start_delay" Kind::Histogram(LATENCY), "s", "dispatcher",
        ["parked": "`true` if it waited for what the endpoint allows, or for it to recover"],
        "From an event's acceptance to the begin of a first attempt: our own share of the latency.";
    DELIVERIES_ENDED "postrider.deliveries.ended" Kind::Counter, "{delivery}", "dispatcher",
        ["state": "`succeeded`, `failed`, `cancelled`"],
        "Deliveries that came to their end.";
    DELIVERIES_QUEUED "postrider.deliveries.queued" Kind::Gauge, "{delivery}", "dispatcher", [],
        "Deliveries in memory that have not been begun.";
    DELIVERIES_READY "postrider.deliveries.ready" Kind::Gauge, "{delivery}", "dispatcher", [],
        "Those of them that only wait for a place among all POSTs: their endpoints' own limits and failures do not hold them back.";
    OLDEST_READY_AGE "postrider.deliveries.oldest_ready_age" Kind::SharedGauge, "s", "dispatcher", [],
        "How long the oldest of the ready ones has waited for that; 0 if there is none.";
    DELIVERIES_PARKED "postrider.deliveries.parked" Kind::Gauge, "{delivery}", "dispatcher", [],
        "Deliveries in PARKED, about.";
    DELIVERIES_DEFERRED "postrider.deliveries.deferred" Kind::Counter, "{delivery}", "dispatcher",
        ["reason": "`throttled`, `paused`"],
        "Deliveries that were parked.";
    DELIVERIES_REPEATED "postrider.deliveries.repeated" Kind::Counter, "{attempt}", "dispatcher", [],
        "Attempts that came again and were settled already.";
    ENDPOINTS_PAUSED "postrider.endpoints.paused" Kind::Gauge, "{endpoint}", "dispatcher", [],
        "Endpoints that keep failing and only get probes.";
    BREAKER_CHANGES "postrider.breaker.changes" Kind::Counter, "{change}", "dispatcher",
        ["change": "`opened`, `recovering`"],
        "Endpoints that were paused, or answered again.";
    LEASE_CHANGES "postrider.lease.changes" Kind::Counter, "{change}", "dispatcher",
        ["change": "`acquired`, `released`, `lost`, `expired`"],
        "Leases of partitions.";
    PARTITIONS_OWNED "postrider.partitions.owned" Kind::Gauge, "{partition}", "dispatcher", [],
        "Partitions that the process owns; over all dispatchers, all of them.";
    PARTITIONS "postrider.partitions" Kind::Gauge, "{partition}", "dispatcher", [],
        "Partitions that there are.";

    HISTORY_RECORDED "postrider.history.recorded" Kind::Counter, "{item}", "history",
        ["kind": "`event`, `plan`, `record`"],
        "Items that were recorded.";
    HISTORY_QUARANTINED "postrider.history.quarantined" Kind::Counter, "{item}", "history",
        ["kind": "`event`, `plan`, `record`"],
        "Items that the database refused.";
    HISTORY_SWEPT "postrider.history.swept" Kind::Counter, "{attempt}", "history", [],
        "Overdue attempts of which no message was left, and that were sent for again; normally none.";
    RECORDING_LAG "postrider.history.recording_lag" Kind::SharedGauge, "s", "history", [],
        "The age of the oldest item that the process has and has not recorded yet; 0 if there is none.";
    HISTORY_BATCH_DURATION "postrider.history.batch.duration" Kind::Histogram(CALL), "s", "history", [],
        "How long it took to record what was there.";

    STREAM_MESSAGES "postrider.stream.messages" Kind::SharedGauge, "{message}", "control",
        ["stream": "`EVENTS`, `PLANS`, `DELIVERIES`, `RETRIES`, `PARKED`, `ATTEMPTS`, `COMMANDS`"],
        "Messages in a stream; lists count as one.";
    STREAM_SIZE "postrider.stream.size" Kind::SharedGauge, "By", "control",
        ["stream": "as above"],
        "What a stream takes on a disk; each replica takes as much.";
    STREAM_OLDEST_AGE "postrider.stream.oldest_age" Kind::SharedGauge, "s", "control",
        ["stream": "as above"],
        "The age of a stream's oldest message; in DELIVERIES, of what is ready and not settled, also while no dispatcher runs.";
    CONSUMER_PENDING "postrider.consumer.pending" Kind::SharedGauge, "{message}", "control",
        ["consumer": "`fanout`, `history_events`, `history_plans`, `history_records`, `control`, `dispatcher`"],
        "Messages that nobody has taken yet.";
    CONSUMER_UNACKED "postrider.consumer.unacked" Kind::SharedGauge, "{message}", "control",
        ["consumer": "as above"],
        "Messages that were taken and are not settled.";
    STORAGE_USED "postrider.jetstream.storage_used" Kind::SharedGauge, "By", "control", [],
        "File storage that the streams take, replicas included.";
    STORAGE_LIMIT "postrider.jetstream.storage_limit" Kind::SharedGauge, "By", "control", [],
        "What they may take; absent without a limit of the NATS account, then the volume's is what counts.";

    HTTP_SERVER "http.server.request.duration" Kind::Histogram(CALL), "s", "control",
        ["http.request.method": "a known method or `_OTHER`", "http.route": "the route's pattern; absent for what is no route", "http.response.status_code": "e.g. `202`"],
        "REST calls and pages of the dashboard, until the answer begins.";
    RPC_SERVER "rpc.server.call.duration" Kind::Histogram(CALL), "s", "ingest, history, control",
        ["rpc.method": "e.g. `postrider.v1.IngestService/PublishEvent`, or `_OTHER`", "rpc.response.status_code": "e.g. `OK`, `UNAVAILABLE`"],
        "gRPC calls; streams when they end.";

    READY "postrider.ready" Kind::Gauge, "", EVERY, [],
        "1 if the process is ready, else 0.";
    NATS_CONNECTED "postrider.nats.connected" Kind::Gauge, "", EVERY, [],
        "1 while there is a connection to nats-server, else 0.";
    NATS_CONNECTIONS "postrider.nats.connections" Kind::Counter, "{connection}", EVERY, [],
        "Connections that were made to nats-server; grows with each loss.";
    MESSAGES_DROPPED "postrider.messages.dropped" Kind::Counter, "{message}", EVERY, [],
        "Messages that are not what they must be, and were dropped for good.";
    DATABASE_CONNECTIONS "postrider.database.connections" Kind::Gauge, "{connection}", "history, control",
        ["pool": "`read` and `write` of SQLite, `all` of PostgreSQL", "state": "`idle`, `used`"],
        "Connections to the database.";
    DATABASE_CONNECTIONS_LIMIT "postrider.database.connections_limit" Kind::Gauge, "{connection}", "history, control",
        ["pool": "as above"],
        "How many there may be.";
    RUNTIME_WORKERS "postrider.runtime.workers" Kind::Gauge, "{thread}", EVERY, [],
        "Threads of the asynchronous runtime.";
    RUNTIME_TASKS "postrider.runtime.tasks" Kind::Gauge, "{task}", EVERY, [],
        "Tasks that are alive.";
    RUNTIME_QUEUE_DEPTH "postrider.runtime.queue_depth" Kind::Gauge, "{task}", EVERY, [],
        "Tasks that wait in the runtime's common queue.";
    RUNTIME_BUSY_TIME "postrider.runtime.busy_time" Kind::Counter, "s", EVERY, [],
        "How long the runtime's threads were busy, all together.";
    PROCESS_CPU_TIME "process.cpu.time" Kind::Counter, "s", EVERY, [],
        "CPU time of the process.";
    PROCESS_MEMORY "process.memory.usage" Kind::Gauge, "By", EVERY, [],
        "Resident memory of the process.";
}

impl Metric {
    fn meter(&self) -> Meter {
        opentelemetry::global::meter("postrider")
    }

    /// Counts.
    #[must_use]
    pub fn counter(&self) -> Counter<u64> {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        let meter = self.meter();
        let builder = meter.u64_counter(self.name);
        builder
            .with_unit(self.unit)
            .with_description(self.about)
            .build()
    }

    /// A counter that is there, as zero, before anything is counted: so that
    /// the first one is seen as an increase.
    #[must_use]
    pub fn counter_from_zero(&self) -> Counter<u64> {
        let counter = self.counter();
        counter.add(0, &[]);
        counter
    }

    /// Measures durations, in seconds.
    #[must_use]
    pub fn histogram(&self) -> Histogram<f64> {
        let Kind::Histogram(bounds) = self.kind else {
            unreachable!("{} is no histogram", self.name);
        };
        let meter = self.meter();
        let builder = meter.f64_histogram(self.name);
        builder
            .with_unit(self.unit)
            .with_description(self.about)
            .with_boundaries(bounds.to_vec())
            .build()
    }

    /// Says what is so now.
    #[must_use]
    pub fn gauge(&self) -> Gauge<u64> {
        let meter = self.meter();
        let builder = meter.u64_gauge(self.name);
        builder
            .with_unit(self.unit)
            .with_description(self.about)
            .build()
    }

    /// Says what is so now, in seconds.
    #[must_use]
    pub fn seconds(&self) -> Gauge<f64> {
        let meter = self.meter();
        let builder = meter.f64_gauge(self.name);
        builder
            .with_unit(self.unit)
            .with_description(self.about)
            .build()
    }

    /// Asks `look` at each collection. It must not wait.
    pub fn observe(&self, look: impl Fn(&mut dyn FnMut(u64, &[KeyValue])) + Send + Sync + 'static) {
        match self.kind {
            Kind::Counter => {
                let meter = self.meter();
                let builder = meter.u64_observable_counter(self.name);
                let builder = builder.with_unit(self.unit).with_description(self.about);
                builder
                    .with_callback(move |to| look(&mut |value, labels| to.observe(value, labels)))
                    .build();
            }
            _ => {
                let meter = self.meter();
                let builder = meter.u64_observable_gauge(self.name);
                let builder = builder.with_unit(self.unit).with_description(self.about);
                builder
                    .with_callback(move |to| look(&mut |value, labels| to.observe(value, labels)))
                    .build();
            }
        }
    }

    /// As [`Metric::observe`], for one number of seconds.
    pub fn observe_seconds(&self, look: impl Fn() -> f64 + Send + Sync + 'static) {
        match self.kind {
            Kind::Counter => {
                let meter = self.meter();
                let builder = meter.f64_observable_counter(self.name);
                let builder = builder.with_unit(self.unit).with_description(self.about);
                builder
                    .with_callback(move |to| to.observe(look(), &[]))
                    .build();
            }
            _ => {
                let meter = self.meter();
                let builder = meter.f64_observable_gauge(self.name);
                let builder = builder.with_unit(self.unit).with_description(self.about);
                builder
                    .with_callback(move |to| to.observe(look(), &[]))
                    .build();
            }
        }
    }
}

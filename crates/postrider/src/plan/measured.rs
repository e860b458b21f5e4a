//! What was measured on 2 cores (docs/performance.md says how). Repeat it on
//! your own machines with `make bench`; other processors differ by a factor.

/// What a part of the line spends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) name: &'static str,
    /// Processor time for each accepted event.
    pub(super) event_micros: f64,
    /// And for each attempt of a delivery.
    pub(super) delivery_micros: f64,
}

/// The sum is what `fan-out-10` was measured to take (0.096 s for 1,000
/// deliveries, all processes). How it divides among processes, and between
/// events and deliveries, is estimated: take the bench's own table when you
/// need it.
pub(super) const WORK: [Work; 7] = [
    Work {
        name: "ingest",
        event_micros: 40.0,
        delivery_micros: 0.0,
    },
    Work {
        name: "fanout",
        event_micros: 20.0,
        delivery_micros: 3.0,
    },
    Work {
        name: "dispatcher",
        event_micros: 0.0,
        delivery_micros: 45.0,
    },
    Work {
        name: "history",
        event_micros: 10.0,
        delivery_micros: 12.0,
    },
    Work {
        name: "control",
        event_micros: 0.1,
        delivery_micros: 0.0,
    },
    Work {
        name: "nats-server",
        event_micros: 40.0,
        delivery_micros: 6.0,
    },
    Work {
        name: "PostgreSQL",
        event_micros: 15.0,
        delivery_micros: 15.0,
    },
];

/// Seconds of processor time for 1,000 deliveries at fan-out 10, all parts.
#[cfg(test)]
pub(super) const TOTAL_AT_FAN_OUT_10: f64 = 0.096;

/// Writes that a disk acknowledged in a second with `sync_interval: always`.
pub(super) const SYNCED_WRITES_PER_SECOND: f64 = 2_000.0;

/// What 2,000 events with bodies of 1,010 bytes left in the streams' files: a
/// message of EVENTS beyond its body, a plan and each delivery in it, a record.
pub(super) const EVENT_OVERHEAD_BYTES: f64 = 425.0;
pub(super) const PLAN_BYTES: f64 = 90.0;
pub(super) const PLANNED_BYTES: f64 = 45.0;
pub(super) const RECORD_BYTES: f64 = 740.0;

/// And in PostgreSQL's tables and indexes, of ninety days with 10,000,000 attempts
/// (`history` of the bench): an event beyond its body, with a tag and its plan; a delivery
/// with its part of the counts; an attempt with what says on which days its trace and type are.
pub(super) const EVENT_ROW_BYTES: f64 = 950.0;
pub(super) const DELIVERY_ROW_BYTES: f64 = 400.0;
pub(super) const ATTEMPT_ROW_BYTES: f64 = 1_230.0;

/// A POST beyond its body: our headers, the answer's acknowledgement, TLS.
pub(super) const WIRE_OVERHEAD_BYTES: f64 = 900.0;

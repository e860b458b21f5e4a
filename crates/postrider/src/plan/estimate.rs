//! From a load to processors, disk, network and money.

use std::fmt;

use serde::Serialize;

use super::measured::{self, Work};

const DAY_SECONDS: f64 = 86_400.0;
const MONTH_SECONDS: f64 = 30.0 * DAY_SECONDS;
const GB: f64 = 1e9;
/// Copies of a stream, and of the database.
const COPIES: f64 = 3.0;
/// How busy a core may be at the peak.
const BUSY: f64 = 0.7;
/// POSTs that one dispatcher has under way at most, and how many of them are to
/// be used: the rest is for endpoints that begin to hang.
const CONCURRENCY: f64 = 1_024.0 / 2.0;
/// At least two of each, so that one can be lost or restarted.
const LEAST_REPLICAS: f64 = 2.0;
/// The most partitions there can be, and so dispatchers.
const MOST_PARTITIONS: u64 = 64;

/// What is to be carried, averages unless said otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) events_per_second: f64,
    pub(crate) fan_out: f64,
    pub(crate) body_bytes: f64,
    /// The busiest minute, as a multiple of the average.
    pub(crate) peak: f64,
    /// Per delivery.
    pub(crate) attempts: f64,
    pub(crate) answer_seconds: f64,
    pub(crate) event_days: f64,
    pub(crate) record_days: f64,
}

/// In any currency.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prices {
    pub(crate) core_hour: f64,
    pub(crate) disk_gb_month: f64,
    pub(crate) egress_gb: f64,
}

/// One part of the line: a role, the broker, the database.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// Cores' worth of work at the peak.
    pub(crate) cores: f64,
    /// Pods of a core each; servers of as many cores as needed for the others.
    pub(crate) replicas: u64,
}

/// What the load needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Estimate {
    pub(crate) deliveries_per_second: f64,
    pub(crate) in_flight_at_peak: f64,
    pub(crate) parts: Vec<Part>,
    pub(crate) partitions: u64,
    /// One copy.
    pub(crate) streams_gb: f64,
    /// One copy.
    pub(crate) database_gb: f64,
    pub(crate) egress_mbit_per_second_at_peak: f64,
    pub(crate) cost_per_million_deliveries: f64,
    pub(crate) notes: Vec<String>,
}

impl Estimate {
    /// Works it out.
    pub(crate) fn of(load: &Load, prices: &Prices) -> Self {
        let deliveries = load.events_per_second * load.fan_out;
        let attempts = deliveries * load.attempts;
        let in_flight = attempts * load.peak * load.answer_seconds;
        let parts: Vec<Part> = measured::WORK
            .iter()
            .map(|work| Part::of(work, load, in_flight))
            .collect();
        let dispatchers = replicas_of(&parts, "dispatcher");
        // Twice as many as dispatchers: they move in smaller pieces, and there
        // is room to grow, as their number is fixed at the first start.
        let wanted = (2 * dispatchers).next_power_of_two().max(16);
        let streams_gb = streams_bytes(load) / GB;
        let database_gb = database_bytes(load) / GB;
        let wire_bytes = load.body_bytes + measured::WIRE_OVERHEAD_BYTES;
        let mut notes = Vec::new();
        if dispatchers > MOST_PARTITIONS {
            notes.push(format!(
                "{dispatchers} dispatchers are more than the {MOST_PARTITIONS} partitions that \
                 there can be: divide the accounts among several clusters (docs/scale.md)"
            ));
        }
        if writes_per_second(load) > measured::SYNCED_WRITES_PER_SECOND {
            notes.push(format!(
                "the broker writes some {:.0} times a second at the peak, and {:.0} is what one \
                 disk did with sync_interval always: take faster disks, a sync interval, or \
                 several clusters",
                writes_per_second(load),
                measured::SYNCED_WRITES_PER_SECOND
            ));
        }
        Self {
            deliveries_per_second: deliveries,
            in_flight_at_peak: in_flight,
            partitions: wanted.min(MOST_PARTITIONS),
            streams_gb,
            database_gb,
            egress_mbit_per_second_at_peak: attempts * load.peak * wire_bytes * 8.0 / 1e6,
            cost_per_million_deliveries: cost(load, prices, &parts, streams_gb + database_gb),
            parts,
            notes,
        }
    }
}

impl Part {
    fn of(work: &Work, load: &Load, in_flight: f64) -> Self {
        let events = load.events_per_second * load.peak;
        let attempts = events * load.fan_out * load.attempts;
        let cores = (events * work.event_micros + attempts * work.delivery_micros) / 1e6;
        let replicas = match work.name {
            // Each follows all that is written; more servers only keep more copies.
            "nats-server" | "PostgreSQL" => COPIES,
            "dispatcher" => (cores / BUSY).max(in_flight / CONCURRENCY),
            _ => cores / BUSY,
        };
        Self {
            name: work.name,
            cores,
            replicas: replicas.max(LEAST_REPLICAS).ceil() as u64,
        }
    }

    /// Cores that are paid for.
    fn paid(&self) -> f64 {
        match self.name {
            // The leader's work, and the copies'.
            "nats-server" | "PostgreSQL" => COPIES * (self.cores / BUSY).max(1.0),
            _ => self.replicas as f64,
        }
    }
}

fn replicas_of(parts: &[Part], name: &str) -> u64 {
    let part = parts.iter().find(|part| part.name == name);
    part.map_or(0, |part| part.replicas)
}

/// What the streams hold after a week at the average, one copy.
fn streams_bytes(load: &Load) -> f64 {
    let events = load.events_per_second * DAY_SECONDS;
    let attempts = events * load.fan_out * load.attempts;
    let event = load.body_bytes + measured::EVENT_OVERHEAD_BYTES;
    let plan = measured::PLAN_BYTES + load.fan_out * measured::PLANNED_BYTES;
    7.0 * events * event + 3.0 * (events * plan + attempts * measured::RECORD_BYTES)
}

fn database_bytes(load: &Load) -> f64 {
    let events = load.events_per_second * DAY_SECONDS;
    let deliveries = events * load.fan_out;
    let kept_events = events * load.event_days;
    let kept_deliveries = deliveries * load.record_days;
    kept_events * (load.body_bytes + measured::EVENT_ROW_BYTES)
        + kept_deliveries
            * (measured::DELIVERY_ROW_BYTES + load.attempts * measured::ATTEMPT_ROW_BYTES)
}

/// Lists are what accumulated while the list before was written, so hops cost
/// less under load; an event is a write of its own.
fn writes_per_second(load: &Load) -> f64 {
    load.events_per_second * load.peak
}

fn cost(load: &Load, prices: &Prices, parts: &[Part], copy_gb: f64) -> f64 {
    let cores: f64 = parts.iter().map(Part::paid).sum();
    let per_month = cores * prices.core_hour * MONTH_SECONDS / 3_600.0
        + copy_gb * COPIES * prices.disk_gb_month;
    let deliveries = load.events_per_second * load.fan_out * MONTH_SECONDS;
    let wire_bytes = load.body_bytes + measured::WIRE_OVERHEAD_BYTES;
    let egress = load.attempts * wire_bytes / GB * prices.egress_gb;
    (per_month / deliveries + egress) * 1e6
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:.0} deliveries a second on average, {:.0} POSTs under way at the peak",
            self.deliveries_per_second, self.in_flight_at_peak
        )?;
        writeln!(f, "\n{:<12} {:>10} {:>10}", "", "cores", "replicas")?;
        for part in &self.parts {
            writeln!(
                f,
                "{:<12} {:>10.2} {:>10}",
                part.name, part.cores, part.replicas
            )?;
        }
        writeln!(f, "\nPOSTRIDER_PARTITIONS        {}", self.partitions)?;
        writeln!(f, "streams, one copy           {:.1} GB", self.streams_gb)?;
        writeln!(f, "database, one copy          {:.1} GB", self.database_gb)?;
        writeln!(
            f,
            "to the internet at the peak {:.1} Mbit/s",
            self.egress_mbit_per_second_at_peak
        )?;
        write!(
            f,
            "a million deliveries cost   {:.2}",
            self.cost_per_million_deliveries
        )?;
        for note in &self.notes {
            write!(f, "\n\nnote: {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn load(events_per_second: f64, fan_out: f64) -> Load {
        Load {
            events_per_second,
            fan_out,
            body_bytes: 1_000.0,
            peak: 3.0,
            attempts: 1.1,
            answer_seconds: 0.3,
            event_days: 30.0,
            record_days: 90.0,
        }
    }

    const PRICES: Prices = Prices {
        core_hour: 0.04,
        disk_gb_month: 0.1,
        egress_gb: 0.05,
    };

    fn estimate(events_per_second: f64, fan_out: f64) -> Estimate {
        Estimate::of(&load(events_per_second, fan_out), &PRICES)
    }

    #[test]
    fn the_measured_cost_comes_out_again() {
        // A core of all parts together, per 1,000 deliveries at fan-out 10.
        let steady = Load {
            peak: 1.0,
            attempts: 1.0,
            ..load(100.0, 10.0)
        };
        let parts = Estimate::of(&steady, &PRICES).parts;
        let cores: f64 = parts.iter().map(|part| part.cores).sum();
        let difference = (cores - measured::TOTAL_AT_FAN_OUT_10).abs();
        assert!(difference < 0.1 * measured::TOTAL_AT_FAN_OUT_10, "{cores}");
    }

    #[test]
    fn a_small_load_has_two_of_each_role_and_sixteen_partitions() {
        let small = estimate(1.0, 1.0);
        for part in &small.parts {
            let expected = match part.name {
                "nats-server" | "PostgreSQL" => 3,
                _ => 2,
            };
            assert_eq!(part.replicas, expected, "{}", part.name);
        }
        assert_eq!(small.partitions, 16);
        assert_eq!(small.notes, [""; 0]);
    }

    #[test]
    fn everything_grows_with_the_load_and_the_price_of_a_delivery_falls() {
        let (small, large) = (estimate(10.0, 5.0), estimate(1_000.0, 5.0));
        assert!(large.streams_gb > 99.0 * small.streams_gb);
        assert!(large.database_gb > 99.0 * small.database_gb);
        for (small, large) in small.parts.iter().zip(&large.parts) {
            assert!(large.cores > 99.0 * small.cores, "{}", small.name);
            assert!(large.replicas >= small.replicas, "{}", small.name);
        }
        assert!(large.cost_per_million_deliveries < small.cost_per_million_deliveries);
    }

    #[test]
    fn slow_endpoints_need_dispatchers_though_they_cost_no_processor() {
        let slow = Load {
            answer_seconds: 5.0,
            ..load(300.0, 2.0)
        };
        let slow = Estimate::of(&slow, &PRICES);
        let quick = estimate(300.0, 2.0);
        assert!((slow.in_flight_at_peak - 300.0 * 2.0 * 3.0 * 1.1 * 5.0).abs() < 1e-6);
        assert!(replicas_of(&slow.parts, "dispatcher") >= 20);
        assert!(replicas_of(&quick.parts, "dispatcher") < 20);
        assert!(slow.partitions >= 32);
    }

    #[test]
    fn the_table_of_scale_md_is_what_plan_says() {
        let page = include_str!("../../../../docs/scale.md");
        for (events, fan_out) in [(1.0, 2.0), (10.0, 3.0), (100.0, 5.0), (1_000.0, 10.0)] {
            let it = estimate(events, fan_out);
            let cores: f64 = it.parts.iter().map(|part| part.cores).sum();
            let row = format!(
                "| {events} | {fan_out} | {cores:.2} | {} | {:.1} | {:.1} | {:.1} | {:.2} |",
                replicas_of(&it.parts, "dispatcher"),
                it.streams_gb,
                it.database_gb,
                it.egress_mbit_per_second_at_peak,
                it.cost_per_million_deliveries,
            );
            assert!(page.contains(&row), "docs/scale.md lacks {row}");
        }
    }

    #[test]
    fn says_where_one_cluster_ends() {
        let notes = estimate(100_000.0, 10.0).notes;
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("several clusters"), "{}", notes[0]);
    }
}

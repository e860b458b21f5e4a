//! `postrider plan`: what a load needs, from what was measured.
//!
//! - [`measured`]: the constants, with where they come from
//! - [`estimate`]: the arithmetic, without I/O

mod estimate;
mod measured;

use std::io::Write as _;

use anyhow::Result;
use clap::Args;

use crate::client::Misuse;

pub(crate) use estimate::{Estimate, Load, Prices};

/// Beyond these it is a slip of the finger, or nothing that was measured.
mod bounds {
    use super::Bounds;

    /// One cluster ends far below.
    pub(super) const EVENTS_PER_SECOND: Bounds = Bounds::new(0.001, 1_000_000.0);
    pub(super) const FAN_OUT: Bounds = Bounds::new(0.001, 10_000.0);
    /// An object may have 256 KiB; there is a little around it.
    pub(super) const BODY_BYTES: Bounds = Bounds::new(1.0, 263_000.0);
    pub(super) const PEAK: Bounds = Bounds::new(1.0, 10_000.0);
    /// A schedule has at most 100 delays.
    pub(super) const ATTEMPTS: Bounds = Bounds::new(1.0, 101.0);
    /// No attempt may take longer.
    pub(super) const ANSWER_SECONDS: Bounds = Bounds::new(0.001, 30.0);
    /// As the roles take them.
    pub(super) const DAYS: Bounds = Bounds::new(9.0, 3_650.0);
    pub(super) const PRICE: Bounds = Bounds::new(0.0, 1_000_000.0);
}

/// What `plan` takes.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Accepted events a second, averaged over a day; 0.001 to 1000000
    #[arg(long, value_name = "NUMBER", value_parser = within(bounds::EVENTS_PER_SECOND))]
    events_per_second: f64,
    /// Endpoints that an event goes to, on average; 0.001 to 10000
    #[arg(long, value_name = "NUMBER", value_parser = within(bounds::FAN_OUT))]
    fan_out: f64,
    /// Bytes of an event's body, 1 to 263000
    #[arg(long, value_name = "BYTES", default_value = "1000", value_parser = within(bounds::BODY_BYTES))]
    body_bytes: f64,
    /// How many times the average the busiest minute is, 1 to 10000
    #[arg(long, value_name = "FACTOR", default_value = "3", value_parser = within(bounds::PEAK))]
    peak: f64,
    /// Attempts per delivery, retries included; 1 to 101
    #[arg(long, value_name = "NUMBER", default_value = "1.1", value_parser = within(bounds::ATTEMPTS))]
    attempts: f64,
    /// How long an endpoint takes to answer, on average; 0.001 to 30
    #[arg(long, value_name = "SECONDS", default_value = "0.3",
        value_parser = within(bounds::ANSWER_SECONDS))]
    answer_seconds: f64,
    /// Days for which history keeps events with their bodies, 9 to 3650
    #[arg(long, value_name = "DAYS", default_value = "30", value_parser = within(bounds::DAYS))]
    event_days: f64,
    /// Days for which history keeps deliveries and attempts, 9 to 3650 and not
    /// less than --event-days
    #[arg(long, value_name = "DAYS", default_value = "90", value_parser = within(bounds::DAYS))]
    record_days: f64,
    /// Price of a core for an hour, 0 to 1000000
    #[arg(long, value_name = "PRICE", default_value = "0.04", value_parser = within(bounds::PRICE))]
    core_hour: f64,
    /// Price of a GB of disk for a month, 0 to 1000000
    #[arg(long, value_name = "PRICE", default_value = "0.1", value_parser = within(bounds::PRICE))]
    disk_gb_month: f64,
    /// Price of a GB sent to the internet, 0 to 1000000
    #[arg(long, value_name = "PRICE", default_value = "0.05", value_parser = within(bounds::PRICE))]
    egress_gb: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the estimate.
///
/// # Errors
///
/// When the retentions contradict each other, or stdout cannot be written.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    plan.check()?;
    let estimate = Estimate::of(&plan.load(), &plan.prices());
    let text = if plan.json {
        serde_json::to_string_pretty(&estimate)?
    } else {
        estimate.to_string()
    };
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

impl Plan {
    /// An event is shown with what became of it.
    fn check(&self) -> Result<(), Misuse> {
        if self.record_days >= self.event_days {
            return Ok(());
        }
        Err(Misuse::new(format!(
            "--record-days {} is shorter than --event-days {}: records are kept for at least as \
             long as events",
            self.record_days, self.event_days
        )))
    }

    fn load(&self) -> Load {
        Load {
            events_per_second: self.events_per_second,
            fan_out: self.fan_out,
            body_bytes: self.body_bytes,
            peak: self.peak,
            attempts: self.attempts,
            answer_seconds: self.answer_seconds,
            event_days: self.event_days,
            record_days: self.record_days,
        }
    }

    fn prices(&self) -> Prices {
        Prices {
            core_hour: self.core_hour,
            disk_gb_month: self.disk_gb_month,
            egress_gb: self.egress_gb,
        }
    }
}

fn within(bounds: Bounds) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
    move |text| bounds.parse(text)
}

/// Numbers from one to another, both included.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    least: f64,
    most: f64,
}

impl Bounds {
    const fn new(least: f64, most: f64) -> Self {
        Self { least, most }
    }

    fn parse(self, text: &str) -> Result<f64, String> {
        let Self { least, most } = self;
        let number: Option<f64> = text.trim().parse().ok();
        // NaN is within no bounds.
        let number = number.filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("write a number from {least} to {most}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        plan: Plan,
    }

    fn plan(more: &[&str]) -> Result<Plan, String> {
        let least = ["plan", "--events-per-second=10", "--fan-out=2"];
        let cli = Cli::try_parse_from(least.iter().chain(more));
        cli.map(|cli| cli.plan).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_beyond_the_bounds_is_refused_with_them() {
        for (argument, bounds) in [
            ("--body-bytes=0", "from 1 to 263000"),
            ("--body-bytes=1e9", "from 1 to 263000"),
            ("--peak=0.9", "from 1 to 10000"),
            ("--attempts=0", "from 1 to 101"),
            ("--answer-seconds=-1", "from 0.001 to 30"),
            ("--answer-seconds=NaN", "from 0.001 to 30"),
            ("--event-days=1", "from 9 to 3650"),
            ("--record-days=inf", "from 9 to 3650"),
            ("--core-hour=-0.1", "from 0 to 1000000"),
            ("--egress-gb=much", "from 0 to 1000000"),
        ] {
            let error = plan(&[argument]).unwrap_err();
            assert!(error.contains(bounds), "{argument}: {error}");
        }
        let error = Cli::try_parse_from(["plan", "--events-per-second=1e30", "--fan-out=1"]);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("from 0.001 to 1000000"), "{error}");
    }

    #[test]
    fn records_are_kept_for_as_long_as_events() {
        assert!(plan(&[]).unwrap().check().is_ok());
        let contrary = plan(&["--event-days=60", "--record-days=30"]).unwrap();
        let error = contrary.check().unwrap_err().to_string();
        assert!(error.contains("--record-days 30 is shorter"), "{error}");
    }

    #[test]
    fn the_largest_load_has_an_estimate() {
        let all = [
            "--events-per-second=1000000",
            "--fan-out=10000",
            "--body-bytes=263000",
            "--peak=10000",
            "--attempts=101",
            "--answer-seconds=30",
            "--event-days=3650",
            "--record-days=3650",
        ];
        let plan = Cli::try_parse_from(std::iter::once("plan").chain(all))
            .unwrap()
            .plan;
        let estimate = Estimate::of(&plan.load(), &plan.prices());
        assert_eq!(estimate.partitions, 64);
        assert_eq!(estimate.notes.len(), 2, "{estimate}");
        assert!(
            estimate
                .parts
                .iter()
                .all(|part| part.replicas < u64::MAX / 4)
        );
    }
}

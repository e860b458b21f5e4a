//! `postrider plan`: what a load needs, from what was measured.
//!
//! - [`measured`]: the constants, with where they come from
//! - [`estimate`]: the arithmetic, without I/O

mod estimate;
mod measured;

use std::io::Write as _;

use anyhow::Result;
use clap::Args;

pub(crate) use estimate::{Estimate, Load, Prices};

/// What `plan` takes.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Accepted events a second, averaged over a day
    #[arg(long, value_name = "NUMBER", value_parser = positive)]
    events_per_second: f64,
    /// Endpoints that an event goes to, on average
    #[arg(long, value_name = "NUMBER", value_parser = positive)]
    fan_out: f64,
    /// Bytes of an event's body
    #[arg(long, value_name = "BYTES", default_value_t = 1_000.0, value_parser = positive)]
    body_bytes: f64,
    /// How many times the average the busiest minute is
    #[arg(long, value_name = "FACTOR", default_value_t = 3.0, value_parser = at_least_one)]
    peak: f64,
    /// Attempts per delivery, retries included
    #[arg(long, value_name = "NUMBER", default_value_t = 1.1, value_parser = at_least_one)]
    attempts: f64,
    /// How long an endpoint takes to answer, on average
    #[arg(long, value_name = "SECONDS", default_value_t = 0.3, value_parser = positive)]
    answer_seconds: f64,
    /// Days for which history keeps events with their bodies
    #[arg(long, value_name = "DAYS", default_value_t = 30.0, value_parser = positive)]
    event_days: f64,
    /// Days for which history keeps deliveries and attempts
    #[arg(long, value_name = "DAYS", default_value_t = 90.0, value_parser = positive)]
    record_days: f64,
    /// Price of a core for an hour
    #[arg(long, value_name = "PRICE", default_value_t = 0.04, value_parser = positive)]
    core_hour: f64,
    /// Price of a GB of disk for a month
    #[arg(long, value_name = "PRICE", default_value_t = 0.1, value_parser = positive)]
    disk_gb_month: f64,
    /// Price of a GB sent to the internet
    #[arg(long, value_name = "PRICE", default_value_t = 0.05, value_parser = positive)]
    egress_gb: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the estimate.
///
/// # Errors
///
/// When stdout cannot be written.
pub(crate) fn run(plan: &Plan) -> Result<()> {
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

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "a number is needed".to_owned())?;
    if number.is_finite() && number > 0.0 {
        return Ok(number);
    }
    Err("a number above 0 is needed".to_owned())
}

fn at_least_one(text: &str) -> Result<f64, String> {
    match positive(text) {
        Ok(number) if number >= 1.0 => Ok(number),
        _ => Err("a number of at least 1 is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_numbers_that_make_no_sense() {
        assert_eq!(positive("0.5"), Ok(0.5));
        for text in ["0", "-1", "NaN", "inf", "many"] {
            assert!(positive(text).is_err(), "{text}");
        }
        assert!(at_least_one("0.9").is_err());
        assert_eq!(at_least_one("1"), Ok(1.0));
    }
}

//! Deliveries, counted.

use anyhow::{Context as _, Result};
use domain::{EndpointId, Timestamp};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::client::instant::instant;
use crate::client::output::{self, Column, text};
use crate::client::{Account, Api, CallError, Connection, endpoint};

/// Endpoints that are asked for at once.
const PAGE: &str = "100";

/// What `history stats` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Stats {
    #[command(flatten)]
    account: Account,
    /// Only those to this endpoint; without it, each endpoint of the account and
    /// all together
    #[arg(long, short, alias = "endpoint-id")]
    endpoint: Option<EndpointId>,
    /// Of events accepted at or after this: an instant (2026-05-13T12:00:00Z), a
    /// day (2026-05-13), or how long ago (1h)
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    after: Option<Timestamp>,
    /// And before this, written likewise
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    before: Option<Timestamp>,
    #[command(flatten)]
    connection: Connection,
}

/// As the API names them.
const COUNTS: [&str; 6] = [
    "total_messages",
    "successful",
    "failed",
    "retrying",
    "pending",
    "cancelled",
];

const COLUMNS: &[Column] = &[
    ("ENDPOINT", |row| match row["endpoint_id"].as_str() {
        Some(id) => id.to_owned(),
        None => "all".to_owned(),
    }),
    ("TOTAL", |row| text(&row["total_messages"])),
    ("SUCCESSFUL", |row| text(&row["successful"])),
    ("FAILED", |row| text(&row["failed"])),
    ("CANCELLED", |row| text(&row["cancelled"])),
    ("PENDING", |row| text(&row["pending"])),
    ("RETRYING", |row| text(&row["retrying"])),
    ("SUCCESS RATE", |row| percent(&row["success_rate"])),
];

/// Prints the counts.
///
/// # Errors
///
/// When a call fails or is refused.
pub(super) async fn run(stats: Stats) -> Result<()> {
    let api = Api::open(&stats.connection)?;
    if let Some(id) = stats.endpoint {
        let counts = of(&api, &stats, id).await?;
        if stats.connection.json {
            return output::json(&counts);
        }
        let mut row = counts;
        row["endpoint_id"] = id.to_string().into();
        return output::table(COLUMNS, &[row]);
    }
    let rows = of_each(&api, &stats).await?;
    let total = total(&rows);
    if stats.connection.json {
        return output::json(&json!({"endpoints": rows, "total": total}));
    }
    output::table(COLUMNS, &[rows, vec![total]].concat())
}

async fn of(api: &Api, stats: &Stats, id: EndpointId) -> Result<Value> {
    let query = [
        ("after", stats.after.map(Timestamp::rfc3339)),
        ("before", stats.before.map(Timestamp::rfc3339)),
    ];
    let path = format!("{}/stats", endpoint::one(&stats.account, id));
    api.get(&path, &query).await
}

async fn of_each(api: &Api, stats: &Stats) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    let mut token = String::new();
    loop {
        let query = [
            ("page_size", Some(PAGE.to_owned())),
            ("page_token", Some(token)),
        ];
        let page = api
            .get(&endpoint::endpoints(&stats.account), &query)
            .await?;
        for one in page["endpoints"].as_array().into_iter().flatten() {
            let id = one["id"].as_str().context("an endpoint has no id")?;
            match of(api, stats, id.parse()?).await {
                Ok(mut counts) => {
                    counts["endpoint_id"] = id.into();
                    rows.push(counts);
                }
                // Deleted meanwhile.
                Err(error) if CallError::status(&error) == Some(StatusCode::NOT_FOUND) => {}
                Err(error) => return Err(error),
            }
        }
        token = text(&page["next_page_token"]);
        if token.is_empty() {
            return Ok(rows);
        }
    }
}

/// All rows together.
fn total(rows: &[Value]) -> Value {
    let sum = |name: &str| {
        rows.iter()
            .filter_map(|row| row[name].as_u64())
            .sum::<u64>()
    };
    let mut total: Value = COUNTS
        .iter()
        .map(|name| ((*name).to_owned(), sum(name)))
        .collect();
    let (successful, failed) = (sum("successful"), sum("failed"));
    let ended = successful + failed;
    total["success_rate"] = match ended {
        0 => Value::Null,
        _ => (successful as f64 / ended as f64).into(),
    };
    total
}

/// A rate from 0 to 1 for people. What failed is seen, however little.
fn percent(rate: &Value) -> String {
    match rate.as_f64() {
        Some(rate) if rate < 1.0 => format!("{:.2} %", (rate * 100.0).min(99.99)),
        Some(rate) => format!("{:.2} %", rate * 100.0),
        None => text(rate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_and_the_rate_is_of_the_sums() {
        let rows = [
            json!({"total_messages": 10, "successful": 6, "failed": 2, "cancelled": 1,
                "pending": 1, "retrying": 1, "success_rate": 0.75}),
            json!({"total_messages": 2, "successful": 2, "failed": 0, "cancelled": 0,
                "pending": 0, "retrying": 0, "success_rate": 1.0}),
        ];
        assert_eq!(
            total(&rows),
            json!({"total_messages": 12, "successful": 8, "failed": 2, "cancelled": 1,
                "pending": 1, "retrying": 1, "success_rate": 0.8})
        );
        assert_eq!(total(&[])["success_rate"], Value::Null);
    }

    #[test]
    fn a_rate_is_shown_as_per_cent_and_never_rounded_to_all() {
        assert_eq!(percent(&json!(0.99999)), "99.99 %");
        assert_eq!(percent(&json!(0.57)), "57.00 %");
        assert_eq!(percent(&json!(1.0)), "100.00 %");
        assert_eq!(percent(&Value::Null), "-");
    }
}

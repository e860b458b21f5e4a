//! `postrider history list|show|stats|tail`

mod lead;
mod list;
mod show;
mod stats;
mod tail;

use anyhow::Result;
use serde_json::Value;

use super::output::{Column, text};

/// The commands of the family.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the account's events or attempts, newest first, by whatever there is to
    /// look for
    List(Box<list::List>),
    /// Show all there is to an event: where it went, each attempt, and where it
    /// did not go and why
    Show(show::Show),
    /// Count deliveries and what became of them, of all time or a span
    Stats(stats::Stats),
    /// Print attempts as they are made, until interrupted
    Tail(tail::Tail),
}

/// Runs a command of the family.
///
/// # Errors
///
/// When the call fails or is refused.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::List(list) => list::run(*list).await,
        Command::Show(show) => show::run(show).await,
        Command::Stats(stats) => stats::run(stats).await,
        Command::Tail(tail) => tail::run(tail).await,
    }
}

const ENDPOINT: Column = ("ENDPOINT", |row| text(&row["endpoint_id"]));

const ATTEMPTS: [Column; 8] = [
    ("STARTED AT", |row| text(&row["started_at"])),
    ("STATUS", |row| text(&row["status"])),
    ("ANSWER", answer),
    ("NO.", |row| text(&row["number"])),
    ("EVENT TYPE", |row| text(&row["event_type"])),
    ("MESSAGE ID", |row| text(&row["event_id"])),
    ("ATTEMPT", |row| text(&row["id"])),
    ("MS", |row| text(&row["duration_ms"])),
];

/// How attempts are listed: of one endpoint, or each with its own.
fn attempt_columns(of_one_endpoint: bool) -> Vec<Column> {
    let mut columns = ATTEMPTS.to_vec();
    if !of_one_endpoint {
        columns.insert(4, ENDPOINT);
    }
    columns
}

fn is_erased(event: &Value) -> bool {
    event["erased"] == true
}

/// The HTTP status, and what went wrong beside it: a 200 whose body never ends is a
/// timeout.
fn answer(row: &Value) -> String {
    let (status, class) = (&row["response_status"], &row["failure_class"]);
    match class.as_str() {
        Some(class) if status.is_u64() && class != "http_status" => format!("{status}, {class}"),
        Some(class) if status.is_null() => class.to_owned(),
        _ => text(status),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_says_what_went_wrong_beside_its_status() {
        let of = |status: Value, class: Value| {
            answer(&json!({"response_status": status, "failure_class": class}))
        };
        assert_eq!(of(json!(200), Value::Null), "200");
        assert_eq!(of(json!(500), json!("http_status")), "500");
        assert_eq!(of(json!(200), json!("timeout")), "200, timeout");
        assert_eq!(of(Value::Null, json!("tls")), "tls");
        assert_eq!(of(Value::Null, Value::Null), "-");
    }
}

//! All there is to one event, by any id that leads to it.

use std::str::FromStr;

use anyhow::{Context as _, Result};
use domain::{AttemptId, DeliveryId, EventId};
use serde_json::{Value, json};

use super::answer;
use crate::client::event::account_path;
use crate::client::output::{self, Column, text};
use crate::client::{Account, Api, Connection, arguments};

/// What `history show` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    account: Account,
    /// Of the event (evt_…), a delivery (dlv_…), an attempt (att_…), or its trace
    /// (32 hex digits)
    id: Lead,
    #[command(flatten)]
    connection: Connection,
}

/// What leads to an event.
#[derive(Debug, Clone, PartialEq)]
enum Lead {
    Event(EventId),
    Delivery(DeliveryId),
    Attempt(AttemptId),
    /// In lower case.
    Trace(String),
}

impl FromStr for Lead {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('_').map(|(kind, _)| kind) {
            Some("evt") => id(text).map(Self::Event),
            Some("dlv") => id(text).map(Self::Delivery),
            Some("att") => id(text).map(Self::Attempt),
            _ => arguments::trace_id(text).map(Self::Trace).map_err(|_| {
                "write the id of an event (evt_…), a delivery (dlv_…), an attempt (att_…) or a \
                 trace (32 hex digits)"
                    .to_owned()
            }),
        }
    }
}

fn id<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// Pages of attempts that are read: 1,000 attempts.
const MAX_PAGES: usize = 10;
const PAGE: &str = "100";

const ATTEMPTS: &[Column] = &[
    ("NO.", |row| text(&row["number"])),
    ("STARTED AT", |row| text(&row["started_at"])),
    ("STATUS", |row| text(&row["status"])),
    ("ANSWER", answer),
    ("MS", |row| text(&row["duration_ms"])),
    ("ATTEMPT", |row| text(&row["id"])),
];

const NOT_SENT: &[Column] = &[
    ("NOT SENT TO", |row| text(&row["endpoint_id"])),
    ("WHY", |row| text(&row["reason"])),
];

/// Shows what the id leads to.
///
/// # Errors
///
/// When a call fails or is refused.
pub(super) async fn run(show: Show) -> Result<()> {
    let api = Api::open(&show.connection)?;
    let story = Story::read(&api, &show.account, &show.id).await?;
    if show.connection.json {
        return output::json(&json!({
            "event": story.event, "attempts": story.attempts, "attempt": story.attempt,
        }));
    }
    story.print()
}

/// An event and every attempt to deliver it.
struct Story {
    event: Value,
    /// The oldest first.
    attempts: Vec<Value>,
    /// The one that was asked for, with all that was sent and answered.
    attempt: Option<Value>,
}

impl Story {
    async fn read(api: &Api, account: &Account, lead: &Lead) -> Result<Self> {
        let base = account_path(account);
        let mut attempt = None;
        let event = match lead {
            Lead::Event(id) => id.to_string(),
            Lead::Attempt(id) => {
                let path = format!("{base}/attempts/{id}");
                text(&attempt.insert(api.get(&path, &[]).await?)["event_id"])
            }
            Lead::Delivery(id) => {
                let path = format!("{base}/deliveries/{id}");
                text(&api.get(&path, &[]).await?["event_id"])
            }
            Lead::Trace(id) => by_trace(api, &base, id).await?,
        };
        let event = api.get(&format!("{base}/events/{event}"), &[]).await?;
        let attempts = attempts(api, account, &event).await?;
        Ok(Self {
            event,
            attempts,
            attempt,
        })
    }

    fn print(&self) -> Result<()> {
        let event = &self.event;
        output::fields(&json!({
            "event": event["id"], "type": event["type"], "created_at": event["created_at"],
            "live_mode": event["live_mode"], "tags": event["tags"], "trace_id": event["trace_id"],
            "body": event["body"],
        }))?;
        for delivery in list(&event["deliveries"]) {
            output::line("")?;
            self.print_delivery(delivery)?;
        }
        let not_sent = list(&event["not_sent"]);
        if !not_sent.is_empty() {
            output::line("")?;
            output::table(NOT_SENT, not_sent)?;
        }
        if let Some(attempt) = &self.attempt {
            output::line("")?;
            output::fields(attempt)?;
        }
        Ok(())
    }

    fn print_delivery(&self, delivery: &Value) -> Result<()> {
        output::line(&format!(
            "to {}: {}",
            text(&delivery["endpoint_id"]),
            standing(delivery)
        ))?;
        let id = &delivery["id"];
        let made = self.attempts.iter().filter(|one| one["delivery_id"] == *id);
        let made: Vec<Value> = made.cloned().collect();
        if made.is_empty() {
            return output::line("no attempt yet");
        }
        output::table(ATTEMPTS, &made)
    }
}

/// Where a delivery stands, in one line.
fn standing(delivery: &Value) -> String {
    let mut words = text(&delivery["state"]);
    if let Some(reason) = delivery["reason"].as_str() {
        words.push_str(&format!(" ({reason})"));
    }
    if let Some(at) = delivery["next_attempt_at"].as_str() {
        words.push_str(&format!(", next attempt at {at}"));
    }
    format!(
        "{words}; {} by {}",
        text(&delivery["id"]),
        text(&delivery["cause"])
    )
}

/// The event of a trace: the one it was accepted in, or one of an attempt.
async fn by_trace(api: &Api, base: &str, trace: &str) -> Result<String> {
    let query = [("trace_id", Some(trace.to_owned()))];
    let events = api.get(&format!("{base}/events"), &query).await?;
    let events = list(&events["events"]);
    if events.len() > 1 {
        output::note(&format!(
            "this is one of several events of the trace: history list --trace-id {trace}"
        ))?;
    }
    if let Some(event) = events.first() {
        return Ok(text(&event["id"]));
    }
    let attempts = api.get(&format!("{base}/attempts"), &query).await?;
    let attempt = list(&attempts["attempts"]).first();
    let attempt = attempt.with_context(|| format!("this account has nothing of trace {trace}"))?;
    Ok(text(&attempt["event_id"]))
}

async fn attempts(api: &Api, account: &Account, event: &Value) -> Result<Vec<Value>> {
    let path = format!("{}/attempts", account_path(account));
    let mut found = Vec::new();
    let mut token = String::new();
    for _ in 0..MAX_PAGES {
        let query = [
            ("event_id", event["id"].as_str().map(str::to_owned)),
            ("page_size", Some(PAGE.to_owned())),
            ("page_token", Some(token)),
        ];
        let page = api.get(&path, &query).await?;
        found.extend_from_slice(list(&page["attempts"]));
        token = page["next_page_token"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if token.is_empty() {
            break;
        }
    }
    found.sort_by(|a, b| a["started_at"].as_str().cmp(&b["started_at"].as_str()));
    Ok(found)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_says_where_it_stands() {
        let mut delivery = json!({"id": "dlv_1", "cause": "event", "state": "pending",
            "reason": "retrying", "next_attempt_at": "2026-05-13T12:00:00.000Z"});
        assert_eq!(
            standing(&delivery),
            "pending (retrying), next attempt at 2026-05-13T12:00:00.000Z; dlv_1 by event"
        );
        delivery["reason"] = Value::Null;
        delivery["next_attempt_at"] = Value::Null;
        delivery["state"] = json!("succeeded");
        assert_eq!(standing(&delivery), "succeeded; dlv_1 by event");
    }
}

//! All there is to one event, by any id that leads to it.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{answer, attempts_path};
use crate::client::event::{account_path, segment};
use crate::client::output::{self, Column, text};
use crate::client::{Account, Api};

/// Pages of an endpoint's attempts that are read: 1,000 attempts.
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
pub(super) async fn run(api: &Api, account: &Account, id: &str, json: bool) -> Result<()> {
    let story = Story::read(api, account, id).await?;
    if json {
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
    async fn read(api: &Api, account: &Account, id: &str) -> Result<Self> {
        let base = account_path(account);
        let mut attempt = None;
        let event = match id.split_once('_').map(|(kind, _)| kind) {
            Some("evt") => id.to_owned(),
            Some("att") => {
                let path = format!("{base}/attempts/{}", segment(id));
                text(&attempt.insert(api.get(&path, &[]).await?)["event_id"])
            }
            Some("dlv") => {
                let path = format!("{base}/deliveries/{}", segment(id));
                text(&api.get(&path, &[]).await?["event_id"])
            }
            None if id.len() == 32 => by_trace(api, &base, id).await?,
            _ => bail!(
                "{id} is no id of an event (evt_…), a delivery (dlv_…), an attempt (att_…) or a \
                 trace (32 hex digits)"
            ),
        };
        let event = api
            .get(&format!("{base}/events/{}", segment(&event)), &[])
            .await?;
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
    if let Some(event) = list(&events["events"]).first() {
        return Ok(text(&event["id"]));
    }
    let attempts = api.get(&format!("{base}/attempts"), &query).await?;
    let attempt = list(&attempts["attempts"]).first();
    let attempt = attempt.with_context(|| format!("this account has nothing of trace {trace}"))?;
    Ok(text(&attempt["event_id"]))
}

async fn attempts(api: &Api, account: &Account, event: &Value) -> Result<Vec<Value>> {
    let mut endpoints: Vec<&str> = list(&event["deliveries"])
        .iter()
        .filter_map(|delivery| delivery["endpoint_id"].as_str())
        .collect();
    endpoints.sort_unstable();
    endpoints.dedup();
    let mut found = Vec::new();
    for endpoint in endpoints {
        let path = attempts_path(account, endpoint);
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

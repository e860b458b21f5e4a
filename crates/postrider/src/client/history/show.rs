//! All there is to one event, by any id that leads to it.

use anyhow::{Context as _, Result, anyhow};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::lead::Lead;
use super::{answer, is_erased};
use crate::client::event::account_path;
use crate::client::output::{self, Column, text};
use crate::client::{Account, Api, CallError, Connection};

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

/// Pages of attempts that are read: 5,000 attempts.
const MAX_PAGES: usize = 50;
const PAGE: &str = "100";

const ERASED: &str = "body, tags and attempts are gone; what became of the deliveries is kept";
const ATTEMPT_GONE: &str = "an attempt goes when its event is erased; the id of the event or the \
                            delivery still leads there";

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
            "event": story.event, "erased": story.is_erased(), "attempts": story.attempts,
            "attempt": story.attempt,
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
                let found = api.get(&format!("{base}/attempts/{id}"), &[]).await;
                let found = found.map_err(|error| match CallError::status(&error) {
                    Some(StatusCode::NOT_FOUND) => anyhow!("{error}\n{ATTEMPT_GONE}"),
                    _ => error,
                })?;
                text(&attempt.insert(found)["event_id"])
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

    fn is_erased(&self) -> bool {
        is_erased(&self.event)
    }

    fn print(&self) -> Result<()> {
        let event = &self.event;
        let mut fields = json!({
            "event": event["id"], "type": event["type"], "created_at": event["created_at"],
            "live_mode": event["live_mode"], "trace_id": event["trace_id"],
        });
        if self.is_erased() {
            fields["erased"] = ERASED.into();
        } else {
            fields["tags"] = event["tags"].clone();
            fields["body"] = event["body"].clone();
        }
        output::fields(&fields)?;
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
        let shown = self.attempts.iter().filter(|one| one["delivery_id"] == *id);
        let shown: Vec<Value> = shown.cloned().collect();
        if !shown.is_empty() {
            output::table(ATTEMPTS, &shown)?;
        }
        match about_attempts(delivery, shown.len(), self.is_erased()) {
            Some(words) => output::line(&words),
            None => Ok(()),
        }
    }
}

/// What there is to say about attempts that are not shown.
fn about_attempts(delivery: &Value, shown: usize, erased: bool) -> Option<String> {
    let made = delivery["attempts"].as_u64().unwrap_or(0);
    let missing = made.saturating_sub(u64::try_from(shown).unwrap_or(u64::MAX));
    let attempts = |count| match count {
        1 => "1 attempt".to_owned(),
        count => format!("{count} attempts"),
    };
    match (made, missing) {
        (0, _) if erased || delivery["state"] != "pending" => {
            Some("no attempt was made".to_owned())
        }
        (0, _) => Some("no attempt yet".to_owned()),
        (_, 0) => None,
        _ if erased => Some(format!("{}, erased with the event", attempts(made))),
        _ => Some(format!(
            "{} of {made} not shown: not recorded yet, or no longer kept",
            attempts(missing)
        )),
    }
}

/// Where a delivery stands, in one line.
fn standing(delivery: &Value) -> String {
    let mut words = text(&delivery["state"]);
    match delivery["reason"].as_str() {
        Some("erased") => words.push_str(" (the event was erased before it was delivered)"),
        Some(reason) => words.push_str(&format!(" ({reason})")),
        None => {}
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
        delivery["state"] = json!("failed");
        delivery["reason"] = json!("erased");
        assert!(standing(&delivery).starts_with("failed (the event was erased before"));
    }

    #[test]
    fn attempts_that_are_not_shown_are_accounted_for() {
        let delivery = |state: &str, made: u64| json!({"state": state, "attempts": made});
        for (state, made, shown, erased, expected) in [
            ("pending", 0, 0, false, Some("no attempt yet")),
            ("cancelled", 0, 0, false, Some("no attempt was made")),
            ("failed", 0, 0, true, Some("no attempt was made")),
            (
                "succeeded",
                1,
                0,
                true,
                Some("1 attempt, erased with the event"),
            ),
            (
                "failed",
                2,
                0,
                true,
                Some("2 attempts, erased with the event"),
            ),
            ("succeeded", 2, 2, false, None),
        ] {
            let words = about_attempts(&delivery(state, made), shown, erased);
            assert_eq!(words.as_deref(), expected, "{state} {made}");
        }
        let words = about_attempts(&delivery("failed", 10), 9, false);
        assert!(words.is_some_and(|words| words.starts_with("1 attempt of 10 not shown")));
    }
}

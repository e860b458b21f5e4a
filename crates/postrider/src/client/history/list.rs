//! Pages of attempts or events, by whatever the API can look for.

use anyhow::Result;
use domain::{DeliveryId, EndpointId, EventId, Timestamp};
use serde_json::Value;

use super::{attempt_columns, is_erased};
use crate::client::instant::instant;
use crate::client::output::{self, Column, text};
use crate::client::{Account, Api, Connection, Page, arguments, endpoint, event};

/// Above the filters that make it a list of attempts.
const OF_ATTEMPTS: &str = "Attempts only";
/// And above those that are good for events alone.
const OF_EVENTS: &str = "Events only";

/// What `history list` takes.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("of_attempts").multiple(true))]
pub(crate) struct List {
    #[command(flatten)]
    account: Account,
    /// List attempts of the whole account; every filter of attempts does that too
    #[arg(long, group = "of_attempts", help_heading = OF_ATTEMPTS)]
    attempts: bool,
    /// Those to this endpoint
    #[arg(long, short, group = "of_attempts", alias = "endpoint-id", help_heading = OF_ATTEMPTS)]
    endpoint: Option<EndpointId>,
    #[arg(long, group = "of_attempts", value_parser = ["succeeded", "failed"],
        help_heading = OF_ATTEMPTS)]
    status: Option<String>,
    /// Those of this event
    #[arg(long, value_name = "ID", group = "of_attempts", help_heading = OF_ATTEMPTS)]
    event_id: Option<EventId>,
    /// Those of this delivery
    #[arg(long, value_name = "ID", group = "of_attempts", help_heading = OF_ATTEMPTS)]
    delivery_id: Option<DeliveryId>,
    /// Those that were answered with this HTTP status, 100 to 999
    #[arg(long, value_name = "STATUS", group = "of_attempts",
        value_parser = arguments::response_status, help_heading = OF_ATTEMPTS)]
    response_status: Option<u32>,
    /// Those that failed in this way
    #[arg(long, value_name = "CLASS", group = "of_attempts",
        value_parser = arguments::failure_class(), help_heading = OF_ATTEMPTS)]
    failure_class: Option<String>,
    /// Those with this tag, as name=value
    #[arg(long, value_name = "NAME=VALUE", value_parser = arguments::tag,
        conflicts_with_all = ["of_attempts", "trace_id"], help_heading = OF_EVENTS)]
    tag: Option<(String, String)>,
    /// Of this event type
    #[arg(long = "event-type", short = 't', value_parser = arguments::event_type)]
    event_type: Option<String>,
    /// Of this trace, 32 hex digits
    #[arg(long, value_name = "ID", value_parser = arguments::trace_id)]
    trace_id: Option<String>,
    /// Accepted, or of attempts: started, at or after this: an instant
    /// (2026-05-13T12:00:00Z), a day (2026-05-13), or how long ago (1h)
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    after: Option<Timestamp>,
    /// And before this, written likewise
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    before: Option<Timestamp>,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    connection: Connection,
}

const EVENTS: &[Column] = &[
    ("CREATED AT", |row| text(&row["created_at"])),
    ("EVENT TYPE", |row| text(&row["type"])),
    ("ID", |row| text(&row["id"])),
    ("DELIVERIES", deliveries),
];

/// Prints a page.
///
/// # Errors
///
/// When the call fails or is refused.
pub(super) async fn run(list: List) -> Result<()> {
    let of_attempts = list.attempts
        || list.endpoint.is_some()
        || list.status.is_some()
        || list.event_id.is_some()
        || list.delivery_id.is_some()
        || list.response_status.is_some()
        || list.failure_class.is_some();
    let (items, columns) = if of_attempts {
        ("attempts", attempt_columns(list.endpoint.is_some()))
    } else {
        ("events", EVENTS.to_vec())
    };
    let place = match list.endpoint {
        Some(id) => endpoint::one(&list.account, id),
        None => event::account_path(&list.account),
    };
    let tag = list.tag.map(|(name, value)| format!("{name}={value}"));
    let filters = [
        ("status", list.status),
        ("event_id", list.event_id.map(|id| id.to_string())),
        ("delivery_id", list.delivery_id.map(|id| id.to_string())),
        (
            "response_status",
            list.response_status.map(|status| status.to_string()),
        ),
        ("failure_class", list.failure_class),
        ("tag", tag),
        ("event_type", list.event_type),
        ("trace_id", list.trace_id),
        ("after", list.after.map(Timestamp::rfc3339)),
        ("before", list.before.map(Timestamp::rfc3339)),
    ];
    let query: Vec<_> = filters.into_iter().chain(list.page.query()).collect();
    let api = Api::open(&list.connection)?;
    let answer = api.get(&format!("{place}/{items}"), &query).await?;
    if list.connection.json {
        output::json(&answer)
    } else {
        output::page(&answer, items, &columns)
    }
}

/// The states of an event's deliveries, and whether it was erased since.
fn deliveries(row: &Value) -> String {
    let deliveries = row["deliveries"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let states: Vec<String> = deliveries
        .iter()
        .map(|delivery| text(&delivery["state"]))
        .collect();
    let states = if states.is_empty() {
        "-".to_owned()
    } else {
        states.join(", ")
    };
    if is_erased(row) {
        format!("{states} (erased)")
    } else {
        states
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_listed_with_what_became_of_it() {
        let mut event = json!({"erased": false, "deliveries": []});
        assert_eq!(deliveries(&event), "-");
        event["deliveries"] = json!([{"state": "succeeded"}, {"state": "failed"}]);
        assert_eq!(deliveries(&event), "succeeded, failed");
        event["erased"] = json!(true);
        assert_eq!(deliveries(&event), "succeeded, failed (erased)");
    }
}

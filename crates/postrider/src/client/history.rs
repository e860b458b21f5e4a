//! `postrider history list|show|tail`

mod show;
mod tail;

use anyhow::Result;
use domain::Timestamp;
use serde_json::Value;

use super::instant::instant;
use super::output::{self, Column, text};
use super::{Account, Api, Connection};

/// The commands of the family.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List an endpoint's attempts, or the account's events, newest first
    List(Box<List>),
    /// Show all there is to an event: where it went, each attempt, and where it
    /// did not go and why
    Show {
        #[command(flatten)]
        account: Account,
        /// Of the event (evt_…), a delivery (dlv_…), an attempt (att_…), or its
        /// trace (32 hex digits)
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Print attempts as they are made, until interrupted
    Tail {
        #[command(flatten)]
        account: Account,
        /// Those of one endpoint; without it, those of the account
        #[arg(long, short)]
        endpoint: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
}

/// What `history list` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    account: Account,
    /// The endpoint whose attempts are listed; without it events are
    #[arg(long, short)]
    endpoint: Option<String>,
    /// succeeded or failed
    #[arg(long, requires = "endpoint")]
    status: Option<String>,
    #[arg(long = "event-type", short = 't')]
    event_type: Option<String>,
    #[arg(long, requires = "endpoint")]
    event_id: Option<String>,
    /// Made at or after this: an instant (2026-05-13T12:00:00Z), a day
    /// (2026-05-13), or how long ago (1h)
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    after: Option<Timestamp>,
    /// Made before this, written likewise
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    before: Option<Timestamp>,
    #[arg(long)]
    page_size: Option<u32>,
    #[arg(long)]
    page_token: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

const ATTEMPTS: &[Column] = &[
    ("STARTED AT", |row| text(&row["started_at"])),
    ("STATUS", |row| text(&row["status"])),
    ("ANSWER", answer),
    ("NO.", |row| text(&row["number"])),
    ("EVENT TYPE", |row| text(&row["event_type"])),
    ("MESSAGE ID", |row| text(&row["event_id"])),
    ("ATTEMPT", |row| text(&row["id"])),
    ("MS", |row| text(&row["duration_ms"])),
];

const EVENTS: &[Column] = &[
    ("CREATED AT", |row| text(&row["created_at"])),
    ("EVENT TYPE", |row| text(&row["type"])),
    ("ID", |row| text(&row["id"])),
    ("DELIVERIES", deliveries),
];

/// Runs a command of the family.
///
/// # Errors
///
/// When the call fails or is refused.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::List(list) => self::list(*list).await,
        Command::Show {
            account,
            id,
            connection,
        } => {
            let api = Api::open(&connection)?;
            show::run(&api, &account, &id, connection.json).await
        }
        Command::Tail {
            account,
            endpoint,
            connection,
        } => {
            let api = Api::open(&connection)?;
            tail::run(&api, &account, endpoint, connection.json).await
        }
    }
}

async fn list(list: List) -> Result<()> {
    let (path, items, columns) = match &list.endpoint {
        Some(endpoint) => (attempts_path(&list.account, endpoint), "attempts", ATTEMPTS),
        None => (
            format!("{}/events", super::event::account_path(&list.account)),
            "events",
            EVENTS,
        ),
    };
    let query = [
        ("status", list.status),
        ("event_type", list.event_type),
        ("event_id", list.event_id),
        ("after", list.after.map(Timestamp::rfc3339)),
        ("before", list.before.map(Timestamp::rfc3339)),
        ("page_size", list.page_size.map(|size| size.to_string())),
        ("page_token", list.page_token),
    ];
    let answer = Api::open(&list.connection)?.get(&path, &query).await?;
    if list.connection.json {
        output::json(&answer)
    } else {
        output::page(&answer, items, columns)
    }
}

fn attempts_path(account: &Account, endpoint: &str) -> String {
    let account = super::event::account_path(account);
    format!(
        "{account}/endpoints/{}/attempts",
        super::event::segment(endpoint)
    )
}

/// The HTTP status, else why there was none.
fn answer(row: &Value) -> String {
    if row["response_status"].is_null() {
        text(&row["failure_class"])
    } else {
        text(&row["response_status"])
    }
}

fn deliveries(row: &Value) -> String {
    let deliveries = row["deliveries"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let states: Vec<String> = deliveries
        .iter()
        .map(|delivery| text(&delivery["state"]))
        .collect();
    if states.is_empty() {
        "-".to_owned()
    } else {
        states.join(", ")
    }
}

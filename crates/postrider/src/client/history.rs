//! `postrider history list|show|tail`

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use super::output::{self, Column, text};
use super::{Account, Api, Connection};

const TAIL_INTERVAL: Duration = Duration::from_secs(1);
const TAIL_PAGE: &str = "100";

/// The commands of the family.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List an endpoint's attempts, or the account's events, newest first
    List(Box<List>),
    /// Show an attempt (att_…) or an event (evt_…) with all that was sent and answered
    Show {
        #[command(flatten)]
        account: Account,
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Print an endpoint's attempts as they are made, until interrupted
    Tail {
        #[command(flatten)]
        account: Account,
        #[arg(long, short)]
        endpoint: String,
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
    /// RFC 3339
    #[arg(long)]
    after: Option<String>,
    /// RFC 3339
    #[arg(long)]
    before: Option<String>,
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
            let account = super::event::account_path(&account);
            let kind = match id.split_once('_').map(|(kind, _)| kind) {
                Some("att") => "attempts",
                Some("evt") => "events",
                _ => bail!("{id} is neither an attempt (att_…) nor an event (evt_…)"),
            };
            let path = format!("{account}/{kind}/{}", super::event::segment(&id));
            let answer = Api::open(&connection)?.get(&path, &[]).await?;
            if connection.json {
                output::json(&answer)
            } else {
                output::fields(&answer)
            }
        }
        Command::Tail {
            account,
            endpoint,
            connection,
        } => {
            let path = attempts_path(&account, &endpoint);
            tail(&Api::open(&connection)?, &path, connection.json).await
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
        ("after", list.after),
        ("before", list.before),
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

/// Asks again and again for the newest attempts and prints those not seen.
async fn tail(api: &Api, path: &str, json: bool) -> Result<()> {
    let mut seen: Vec<Value> = Vec::new();
    let mut first = true;
    loop {
        let query = [("page_size", Some(TAIL_PAGE.to_owned()))];
        let answer = api.get(path, &query).await?;
        let rows = answer["attempts"].as_array().cloned().unwrap_or_default();
        let mut fresh: Vec<Value> = rows
            .iter()
            .filter(|row| !seen.contains(&row["id"]))
            .cloned()
            .collect();
        fresh.reverse();
        seen = rows.iter().map(|row| row["id"].clone()).collect();
        if !first {
            print(&fresh, json)?;
        }
        first = false;
        tokio::time::sleep(TAIL_INTERVAL).await;
    }
}

fn print(attempts: &[Value], json: bool) -> Result<()> {
    for attempt in attempts {
        if json {
            output::line(&attempt.to_string())?;
        } else {
            let cells: Vec<String> = ATTEMPTS.iter().map(|(_, cell)| cell(attempt)).collect();
            output::line(&cells.join("  "))?;
        }
    }
    Ok(())
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

//! `postrider key create|list|revoke|rotate-master`

mod first;
mod rotate;

use anyhow::Result;
use domain::Timestamp;
use reqwest::Method;
use serde_json::json;

use super::event::segment;
use super::instant::instant_to_come;
use super::output::{self, Column, text};
use super::{Api, Connection, Page, arguments};
use crate::cli::Flags;

/// The commands of the family.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a key and print it, once
    Create(Create),
    /// List the keys, without the keys themselves
    List(List),
    /// Revoke a key; it opens nothing from the answer on
    Revoke(Revoke),
    /// Put all secrets under a new master key, while everything runs
    RotateMaster(rotate::Rotate),
}

/// What `key create` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// admin, publish or read
    #[arg(long, value_parser = ["admin", "publish", "read"])]
    scope: String,
    /// What it is for
    #[arg(long, short)]
    description: String,
    /// The only account it is good for; all accounts without it
    #[arg(long, short, value_parser = arguments::account)]
    account: Option<String>,
    /// When it ends: an instant (2027-01-01T00:00:00Z) or a day (2027-01-01); never
    /// without it
    #[arg(long, value_name = "INSTANT", value_parser = instant_to_come)]
    expires_at: Option<Timestamp>,
    /// Write it into POSTRIDER_DATABASE_URL instead of calling the API: the way
    /// to the first key of a deployment
    #[arg(long)]
    database: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What `key list` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    connection: Connection,
}

/// What `key revoke` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// The id, as `key list` shows it
    id: String,
    #[command(flatten)]
    connection: Connection,
}

const COLUMNS: &[Column] = &[
    ("ID", |key| text(&key["id"])),
    ("SCOPE", |key| text(&key["scope"])),
    ("ACCOUNT", |key| match key["account"].as_str() {
        Some(account) => account.to_owned(),
        None => "(all)".to_owned(),
    }),
    ("CREATED", |key| text(&key["created_at"])),
    ("EXPIRES", |key| text(&key["expires_at"])),
    ("LAST USED", |key| text(&key["last_used_at"])),
    ("DESCRIPTION", |key| text(&key["description"])),
];

/// Runs a command of the family. `settings` are those of a role, for what is
/// done beside the API.
///
/// # Errors
///
/// When the call fails or is refused.
pub(crate) async fn run(
    command: Command,
    settings: impl FnOnce(&Flags) -> Result<crate::config::Config, crate::config::Error>,
) -> Result<()> {
    match command {
        Command::Create(create) if create.database => {
            first::create(create, &settings(&Flags::new())?).await
        }
        Command::Create(create) => make(create).await,
        Command::List(list) => show(list).await,
        Command::RotateMaster(rotate) => rotate::run(rotate).await,
        Command::Revoke(revoke) => {
            let api = Api::open(&revoke.connection)?;
            let path = format!("/v1/keys/{}", segment(&revoke.id));
            api.call(Method::DELETE, &path).await.map(drop)
        }
    }
}

async fn make(create: Create) -> Result<()> {
    let mut body = json!({"scope": create.scope, "description": create.description});
    if let Some(account) = create.account {
        body["account"] = account.into();
    }
    if let Some(expires_at) = create.expires_at {
        body["expires_at"] = expires_at.rfc3339().into();
    }
    let api = Api::open(&create.connection)?;
    let answer = api.send_json(Method::POST, "/v1/keys", &body).await?;
    if create.connection.json {
        output::json(&answer)
    } else {
        output::line(&text(&answer["key"]))
    }
}

async fn show(list: List) -> Result<()> {
    let api = Api::open(&list.connection)?;
    let answer = api.get("/v1/keys", &list.page.query()).await?;
    if list.connection.json {
        output::json(&answer)
    } else {
        output::page(&answer, "keys", COLUMNS)
    }
}

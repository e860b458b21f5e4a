//! `postrider key create`

use anyhow::Result;
use reqwest::Method;
use serde_json::json;

use super::output::{self, text};
use super::{Api, Connection};

/// The commands of the family.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a key and print it, once
    Create(Create),
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
    #[arg(long, short)]
    account: Option<String>,
    /// When it ends, RFC 3339; never without it
    #[arg(long)]
    expires_at: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Runs a command of the family.
///
/// # Errors
///
/// When the call fails or is refused.
pub(crate) async fn run(command: Command) -> Result<()> {
    let Command::Create(create) = command;
    let mut body = json!({"scope": create.scope, "description": create.description});
    if let Some(account) = create.account {
        body["account"] = account.into();
    }
    if let Some(expires_at) = create.expires_at {
        body["expires_at"] = expires_at.into();
    }
    let api = Api::open(&create.connection)?;
    let answer = api.send_json(Method::POST, "/v1/keys", &body).await?;
    if create.connection.json {
        output::json(&answer)
    } else {
        output::line(&text(&answer["key"]))
    }
}

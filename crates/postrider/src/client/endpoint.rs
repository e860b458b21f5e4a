//! `postrider endpoint …`

use anyhow::Result;
use domain::EndpointId;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::output::{self, Column, text};
use super::policy::Policy;
use super::{Account, Api, Connection, Misuse, Page, arguments};

/// The commands of the family.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Register a URL
    Create(Box<Create>),
    /// List the account's endpoints, newest first
    List {
        #[command(flatten)]
        account: Account,
        #[command(flatten)]
        page: Page,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show one
    Get {
        #[command(flatten)]
        account: Account,
        id: EndpointId,
        #[command(flatten)]
        connection: Connection,
    },
    /// Change, enable or disable one
    Update(Box<Update>),
    /// Delete one and its history
    Delete {
        #[command(flatten)]
        account: Account,
        id: EndpointId,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show the signing secret, or make a new one
    Secret {
        #[command(flatten)]
        account: Account,
        id: EndpointId,
        /// Make a new secret; the old one is invalid at once
        #[arg(long)]
        regenerate: bool,
        /// With --regenerate: for this long `webhook-signature` carries the old
        /// secret's signature too; `X-Webhook-Signature` uses the new one at once
        #[arg(long, value_name = "SECONDS", requires = "regenerate",
            value_parser = arguments::number)]
        grace_period_seconds: Option<u32>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Send a challenge again to one that is not verified yet
    Verify {
        #[command(flatten)]
        account: Account,
        id: EndpointId,
        #[command(flatten)]
        connection: Connection,
    },
    /// Send a sample event to it
    Test {
        #[command(flatten)]
        account: Account,
        id: EndpointId,
        #[arg(long = "event-type", short = 't', value_parser = arguments::event_type)]
        event_type: String,
        /// A JSON object instead of the catalogue's example
        #[arg(long)]
        object: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
}

/// What `endpoint create` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    #[command(flatten)]
    account: Account,
    /// The endpoint's URL, where events are sent, e.g. https://example.com/hook;
    /// `--url` is Postrider's own
    endpoint_url: String,
    /// What it is for
    #[arg(long, short)]
    description: String,
    /// An event type to receive; repeat for several
    #[arg(long = "event-type", short = 't', required = true,
        value_parser = arguments::event_type)]
    event_types: Vec<String>,
    /// Deliveries a second, at most
    #[arg(long, value_name = "NUMBER", value_parser = arguments::number)]
    rate_limit: Option<u32>,
    #[command(flatten)]
    policy: Policy,
    #[command(flatten)]
    connection: Connection,
}

/// What `endpoint update` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    #[command(flatten)]
    account: Account,
    id: EndpointId,
    /// Where events are sent from now on; `--url` is Postrider's own
    #[arg(long)]
    endpoint_url: Option<String>,
    #[arg(long, short)]
    description: Option<String>,
    /// Replaces all event types; repeat for several
    #[arg(long = "event-type", short = 't', value_parser = arguments::event_type)]
    event_types: Vec<String>,
    #[arg(long, value_name = "NUMBER", value_parser = arguments::number,
        conflicts_with = "no_rate_limit")]
    rate_limit: Option<u32>,
    #[arg(long)]
    no_rate_limit: bool,
    #[command(flatten)]
    policy: Policy,
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    connection: Connection,
}

const COLUMNS: &[Column] = &[
    ("ID", |row| text(&row["id"])),
    ("STATUS", |row| text(&row["status"])),
    ("HEALTH", |row| text(&row["health"]["state"])),
    ("EVENT TYPES", |row| text(&row["event_types"])),
    ("URL", |row| text(&row["url"])),
    ("DESCRIPTION", |row| text(&row["description"])),
];

/// Runs a command of the family.
///
/// # Errors
///
/// When the call fails or is refused.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Create(new) => create(*new).await,
        Command::List {
            account,
            page,
            connection,
        } => {
            let answer = Api::open(&connection)?
                .get(&endpoints(&account), &page.query())
                .await?;
            if connection.json {
                output::json(&answer)
            } else {
                output::page(&answer, "endpoints", COLUMNS)
            }
        }
        Command::Get {
            account,
            id,
            connection,
        } => {
            let answer = Api::open(&connection)?.get(&one(&account, id), &[]).await?;
            show(&connection, &answer)
        }
        Command::Update(update) => change(*update).await,
        Command::Delete {
            account,
            id,
            connection,
        } => {
            Api::open(&connection)?
                .call(Method::DELETE, &one(&account, id))
                .await?;
            if connection.json {
                Ok(())
            } else {
                output::line(&format!("deleted {id}"))
            }
        }
        Command::Secret {
            account,
            id,
            regenerate,
            grace_period_seconds,
            connection,
        } => {
            let api = Api::open(&connection)?;
            let path = format!("{}/secret", one(&account, id));
            let answer = if regenerate {
                let body = json!({"grace_period_seconds": grace_period_seconds.unwrap_or(0)});
                api.send_json(Method::POST, &format!("{path}/regenerate"), &body)
                    .await?
            } else {
                api.get(&path, &[]).await?
            };
            if connection.json {
                output::json(&answer)
            } else {
                output::line(&text(&answer["secret"]))
            }
        }
        Command::Verify {
            account,
            id,
            connection,
        } => {
            let path = format!("{}/verify", one(&account, id));
            let answer = Api::open(&connection)?.call(Method::POST, &path).await?;
            show(&connection, &answer)
        }
        Command::Test {
            account,
            id,
            event_type,
            object,
            connection,
        } => {
            let object = object.map(super::event::raw_json).transpose()?;
            let body = Sample { event_type, object };
            let path = format!("{}/test", one(&account, id));
            let answer = Api::open(&connection)?
                .send_json(Method::POST, &path, &body)
                .await?;
            show(&connection, &answer)
        }
    }
}

#[derive(serde::Serialize)]
struct Sample {
    event_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<Box<serde_json::value::RawValue>>,
}

async fn create(new: Create) -> Result<()> {
    let mut body = json!({
        "url": new.endpoint_url,
        "description": new.description,
        "event_types": new.event_types,
    });
    if let Some(rate_limit) = new.rate_limit {
        body["rate_limit"] = rate_limit.into();
    }
    for (name, value) in new.policy.fields() {
        body[name] = value;
    }
    let answer = Api::open(&new.connection)?
        .send_json(Method::POST, &endpoints(&new.account), &body)
        .await?;
    show(&new.connection, &answer)
}

async fn change(update: Update) -> Result<()> {
    let api = Api::open(&update.connection)?;
    let path = one(&update.account, update.id);
    let body = changes(&update);
    if body.is_empty() && !update.enable && !update.disable {
        let words = "nothing to change: `postrider endpoint update --help` lists what can be";
        return Err(Misuse::new(words.to_owned()).into());
    }
    let mut answer = Value::Null;
    if !body.is_empty() {
        answer = api.send_json(Method::PATCH, &path, &body).await?;
    }
    if update.enable || update.disable {
        let verb = if update.enable { "enable" } else { "disable" };
        answer = api.call(Method::POST, &format!("{path}/{verb}")).await?;
    }
    show(&update.connection, &answer)
}

/// What is to be changed; absent means unchanged, null clears.
fn changes(update: &Update) -> Map<String, Value> {
    let mut body = Map::new();
    if let Some(url) = &update.endpoint_url {
        body.insert("url".into(), url.clone().into());
    }
    if let Some(description) = &update.description {
        body.insert("description".into(), description.clone().into());
    }
    if !update.event_types.is_empty() {
        body.insert("event_types".into(), update.event_types.clone().into());
    }
    if update.no_rate_limit {
        body.insert("rate_limit".into(), Value::Null);
    } else if let Some(limit) = update.rate_limit {
        body.insert("rate_limit".into(), limit.into());
    }
    let policy = update.policy.fields().into_iter();
    body.extend(policy.map(|(name, value)| (name.to_owned(), value)));
    body
}

fn show(connection: &Connection, answer: &Value) -> Result<()> {
    if connection.json {
        output::json(answer)
    } else {
        output::fields(answer)
    }
}

pub(super) fn endpoints(account: &Account) -> String {
    format!("{}/endpoints", super::event::account_path(account))
}

pub(super) fn one(account: &Account, id: EndpointId) -> String {
    format!("{}/{id}", endpoints(account))
}

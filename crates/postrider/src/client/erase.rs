//! `postrider erase`

use anyhow::{Context as _, Result};
use domain::{ErasureId, EventId};
use reqwest::Method;
use serde_json::{Value, json};

use super::event::account_path;
use super::output::{self, text};
use super::wait::Work;
use super::{Account, Api, Connection, arguments};

/// What `erase` takes.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct Erase {
    #[command(flatten)]
    account: Account,
    /// This event (evt_…)
    #[arg(long, group = "what")]
    event: Option<EventId>,
    /// The events that have this tag now, as name=value
    #[arg(long, group = "what", value_parser = arguments::tag)]
    tag: Option<(String, String)>,
    /// Everything that was published in the account until now
    #[arg(long, group = "what")]
    all: bool,
    /// Show how far this one (ers_…) is instead
    #[arg(long, group = "what", value_name = "ID")]
    show: Option<ErasureId>,
    /// Do not wait for its end
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Runs the command.
///
/// # Errors
///
/// When a call fails or is refused.
pub(crate) async fn run(erase: Erase) -> Result<()> {
    let api = Api::open(&erase.connection)?;
    let account = account_path(&erase.account);
    let path = |id: &str| format!("{account}/erasures/{id}");
    let mut erasure = match &erase.show {
        Some(id) => api.get(&path(&id.to_string()), &[]).await?,
        None => {
            let erasures = format!("{account}/erasures");
            api.send_json(Method::POST, &erasures, &what(&erase))
                .await?
        }
    };
    if erase.show.is_none() && !erase.detach {
        let id = erasure["id"].as_str().context("the answer has no id")?;
        let work = Work {
            api: &api,
            path: path(id),
            advice: format!(
                "  look at it: postrider erase --account {} --show {id}",
                erase.account.account
            ),
            id: id.to_owned(),
            progress,
        };
        erasure = work.until_ended(erasure).await?;
    }
    print(&erasure, erase.connection.json)
}

fn what(erase: &Erase) -> Value {
    match (&erase.event, &erase.tag) {
        (Some(event), _) => json!({ "event_id": event.to_string() }),
        (None, Some((name, value))) => json!({ "tag": { name: value } }),
        (None, None) => json!({ "all": erase.all }),
    }
}

/// What is gone so far, in one line.
fn progress(erasure: &Value) -> String {
    let count = |name: &str| erasure["counts"][name].as_u64().unwrap_or(0);
    format!(
        "{}: {} events, {} deliveries, {} attempts, {} messages",
        text(&erasure["state"]),
        count("events"),
        count("deliveries"),
        count("attempts"),
        count("messages")
    )
}

/// The counts beside the rest, for people.
fn print(erasure: &Value, json: bool) -> Result<()> {
    if json {
        return output::json(erasure);
    }
    let mut flat = erasure.as_object().cloned().unwrap_or_default();
    if let Some(Value::Object(counts)) = flat.remove("counts") {
        flat.extend(counts);
    }
    output::fields(&Value::Object(flat))
}

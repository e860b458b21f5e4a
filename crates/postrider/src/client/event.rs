//! `postrider event publish` and `postrider resend`

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Result;
use domain::json::mistake;
use domain::{EndpointId, EventId};
use reqwest::Method;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::output::{self, text};
use super::{Account, Api, Connection, Misuse, arguments};

/// The commands of the family.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Publish one event; its object travels byte for byte
    Publish(Publish),
}

/// What `event publish` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Publish {
    #[command(flatten)]
    account: Account,
    /// A registered event type
    #[arg(long = "type", short = 't', value_parser = arguments::event_type)]
    event_type: String,
    /// The JSON object
    #[arg(
        long,
        conflicts_with = "object_file",
        required_unless_present = "object_file"
    )]
    object: Option<String>,
    /// A file with the JSON object; - is stdin
    #[arg(long)]
    object_file: Option<PathBuf>,
    /// Makes a repeat safe
    #[arg(long)]
    id: Option<String>,
    /// A tag, as name=value; repeat for several
    #[arg(long = "tag", value_parser = arguments::tag)]
    tags: Vec<(String, String)>,
    /// Mark it as a sample (liveMode false)
    #[arg(long)]
    sample: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What `resend` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Resend {
    #[command(flatten)]
    account: Account,
    /// The event's id
    event_id: EventId,
    /// The endpoint to send it to
    #[arg(long, short)]
    endpoint: EndpointId,
    #[command(flatten)]
    connection: Connection,
}

/// The body of `POST /events`.
#[derive(Serialize)]
struct NewEvent {
    #[serde(rename = "type")]
    event_type: String,
    object: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    live_mode: bool,
}

/// Runs a command of the family.
///
/// # Errors
///
/// When the object is not JSON, or the call fails or is refused.
pub(crate) async fn run(command: Command) -> Result<()> {
    let Command::Publish(publish) = command;
    let object = object(publish.object, publish.object_file)?;
    let body = NewEvent {
        event_type: publish.event_type,
        object: raw_json(object)?,
        id: publish.id,
        tags: publish.tags.into_iter().collect(),
        live_mode: !publish.sample,
    };
    let path = format!("{}/events", account_path(&publish.account));
    let answer = Api::open(&publish.connection)?
        .send_json(Method::POST, &path, &body)
        .await?;
    if publish.connection.json {
        return output::json(&answer);
    }
    let note = if answer["duplicate"] == true {
        "  (accepted before; nothing is sent again)"
    } else {
        ""
    };
    output::line(&format!("{}{note}", text(&answer["id"])))
}

/// Runs `resend`.
///
/// # Errors
///
/// When the call fails or is refused.
pub(crate) async fn resend(resend: Resend) -> Result<()> {
    let account = account_path(&resend.account);
    let path = format!("{account}/events/{}/resend", resend.event_id);
    let body = json!({"endpoint_id": resend.endpoint.to_string()});
    let answer = Api::open(&resend.connection)?
        .send_json(Method::POST, &path, &body)
        .await?;
    if resend.connection.json {
        return output::json(&answer);
    }
    output::line(&text(&answer["delivery_id"]))?;
    let note = match (answer["outcome"].as_str(), answer["reason"].as_str()) {
        (Some("brought_forward"), _) => "it waited for a retry, which is made now",
        (Some("already_pending"), Some("paused")) => {
            "it is on its way already, and waits until its endpoint works again"
        }
        (Some("already_pending"), Some("throttled")) => {
            "it is on its way already, and waits for the endpoint's rate limit"
        }
        (Some("already_pending"), _) => "it is on its way already",
        _ => return Ok(()),
    };
    output::note(note)
}

fn object(given: Option<String>, file: Option<PathBuf>) -> Result<String, Misuse> {
    let Some(path) = file else {
        let missing = || Misuse::new("--object or --object-file is needed".to_owned());
        return given.ok_or_else(missing);
    };
    if path.as_os_str() == "-" {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| Misuse::new(format!("cannot read stdin: {error}")))?;
        return Ok(text);
    }
    std::fs::read_to_string(&path)
        .map_err(|error| Misuse::new(format!("cannot read {}: {error}", path.display())))
}

/// JSON that stays as it is; whether it is an object is the server's to say.
pub(super) fn raw_json(text: String) -> Result<Box<RawValue>, Misuse> {
    RawValue::from_string(text).map_err(|error| {
        let wrong = mistake(&error);
        Misuse::new(format!(
            "the object: {wrong}; write one like {{\"text\": \"Hello\"}}"
        ))
    })
}

/// `/v1/accounts/<account>`
pub(super) fn account_path(account: &Account) -> String {
    format!("/v1/accounts/{}", segment(&account.account))
}

/// `text` as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .map(|part| if part == "+" { "%20" } else { part })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_object_stays_as_it_was_typed() {
        let object = r#"{"b":1e2, "a":12345678901234567890, "u":"\u00e9é"}"#;
        let body = NewEvent {
            event_type: "form.submitted".into(),
            object: RawValue::from_string(object.into()).unwrap(),
            id: None,
            tags: BTreeMap::new(),
            live_mode: true,
        };
        assert!(serde_json::to_string(&body).unwrap().contains(object));
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        let error = raw_json("{\"text\":\n Hello}".to_owned()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("line 2, column 2"), "{text}");
    }

    #[test]
    fn a_segment_cannot_leave_its_place() {
        assert_eq!(segment("a/../b c?d"), "a%2F..%2Fb%20c%3Fd");
    }
}

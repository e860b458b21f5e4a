//! `postrider replay`

use anyhow::{Context as _, Result};
use domain::{EndpointId, ReplayId, Timestamp};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::event::account_path;
use super::instant::instant;
use super::output;
use super::wait::Work;
use super::{Account, Api, Connection, arguments};

/// Characters of the progress bar.
const BAR: u64 = 30;

/// What `replay` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    account: Account,
    /// The endpoint to send to
    #[arg(long, short, required_unless_present_any = ["show", "cancel"])]
    endpoint: Option<EndpointId>,
    /// Events accepted at or after this: an instant (2026-05-13T12:00:00Z), a day
    /// (2026-05-13), or how long ago (1h)
    #[arg(long, value_name = "INSTANT", value_parser = instant,
        required_unless_present_any = ["show", "cancel"])]
    after: Option<Timestamp>,
    /// Events accepted before this, written likewise
    #[arg(long, value_name = "INSTANT", value_parser = instant, default_value = "now")]
    before: Timestamp,
    /// failed: what has not succeeded; all: whatever became of it
    #[arg(long, default_value = "failed", value_parser = arguments::replay_status())]
    status: String,
    /// Only this event type; repeat for several
    #[arg(long = "event-type", short = 't', value_parser = arguments::event_type)]
    event_types: Vec<String>,
    /// Count and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not wait for its end
    #[arg(long)]
    detach: bool,
    /// Show how far this one (rpl_…) is instead
    #[arg(long, value_name = "ID", conflicts_with_all = ["endpoint", "after", "cancel"])]
    show: Option<ReplayId>,
    /// Let this one (rpl_…) send nothing more; what is under way goes on
    #[arg(long, value_name = "ID", conflicts_with_all = ["endpoint", "after"])]
    cancel: Option<ReplayId>,
    #[command(flatten)]
    connection: Connection,
}

/// Runs the command.
///
/// # Errors
///
/// When a call fails or is refused.
pub(crate) async fn run(replay: Replay) -> Result<()> {
    let (method, path) = match (&replay.show, &replay.cancel) {
        (Some(id), _) => (Method::GET, path(&replay.account, &id.to_string())),
        (None, Some(id)) => {
            let path = path(&replay.account, &id.to_string());
            (Method::POST, format!("{path}/cancel"))
        }
        (None, None) => return begin(replay).await,
    };
    let answer = Api::open(&replay.connection)?.call(method, &path).await?;
    print(&answer, replay.connection.json)
}

async fn begin(start: Replay) -> Result<()> {
    let api = Api::open(&start.connection)?;
    let mut body = Map::from_iter([
        (
            "after".to_owned(),
            json!(start.after.map(Timestamp::rfc3339)),
        ),
        ("before".to_owned(), json!(start.before.rfc3339())),
        ("status".to_owned(), json!(start.status)),
        ("dry_run".to_owned(), json!(start.dry_run)),
    ]);
    if !start.event_types.is_empty() {
        body.insert("event_types".to_owned(), json!(start.event_types));
    }
    let endpoint = start.endpoint.context("an endpoint is needed")?;
    let account = account_path(&start.account);
    let replays = format!("{account}/endpoints/{endpoint}/replay");
    let mut replay = api.send_json(Method::POST, &replays, &body).await?;
    if !start.dry_run && !start.detach {
        let id = replay["id"].as_str().context("the answer has no id")?;
        let command = format!("postrider replay --account {}", start.account.account);
        let work = Work {
            api: &api,
            path: path(&start.account, id),
            advice: format!(
                "  look at it: {command} --show {id}\n  stop it:    {command} --cancel {id}"
            ),
            id: id.to_owned(),
            progress: bar,
        };
        replay = work.until_ended(replay).await?;
    }
    print(&replay, start.connection.json)
}

/// Progress in one line.
fn bar(replay: &Value) -> String {
    let count = |name: &str| replay[name].as_u64().unwrap_or(0);
    let (matched, succeeded, failed) = (count("matched"), count("succeeded"), count("failed"));
    let ended = (succeeded + failed).min(matched);
    let filled = (ended * BAR).checked_div(matched).unwrap_or(BAR);
    let (filled, empty) = (
        "#".repeat(usize::try_from(filled).unwrap_or(0)),
        "-".repeat(usize::try_from(BAR - filled).unwrap_or(0)),
    );
    format!(
        "[{filled}{empty}] {ended} of {matched}: {succeeded} succeeded, {failed} failed, {} sent",
        count("sent")
    )
}

fn print(replay: &Value, json: bool) -> Result<()> {
    if json {
        output::json(replay)
    } else {
        output::fields(replay)
    }
}

fn path(account: &Account, id: &str) -> String {
    format!("{}/replays/{id}", account_path(account))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_shown_in_one_line() {
        let replay = json!({"matched": 10, "sent": 6, "succeeded": 4, "failed": 1});
        assert_eq!(
            bar(&replay),
            "[###############---------------] 5 of 10: 4 succeeded, 1 failed, 6 sent"
        );
        let nothing = json!({"matched": 0, "sent": 0, "succeeded": 0, "failed": 0});
        assert!(bar(&nothing).starts_with("[##############################] 0 of 0"));
    }
}

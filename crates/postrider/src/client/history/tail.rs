//! Attempts as they are made.

mod events;

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Result, bail};
use domain::EndpointId;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::attempt_columns;
use crate::client::backoff::Backoff;
use crate::client::event::account_path;
use crate::client::interrupt::interruption;
use crate::client::output::{self, Rows, text};
use crate::client::{Account, Api, CallError, Connection};
use events::Events;

/// The server says something every 15 s at least.
const SILENCE: Duration = Duration::from_secs(45);
const PAUSE: Duration = Duration::from_secs(1);

/// What `history tail` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Tail {
    #[command(flatten)]
    account: Account,
    /// Those of one endpoint; without it, those of the account
    #[arg(long, short, alias = "endpoint-id")]
    endpoint: Option<EndpointId>,
    /// Go on where an earlier tail stood, up to three days ago: it names its cursor
    /// when it ends, and with --json beside each attempt; without it, begin now
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Prints attempts until interrupted; goes on where it stood when the stream
/// breaks off.
///
/// # Errors
///
/// When the first call fails, a call is refused, or the user interrupts it.
pub(super) async fn run(tail: Tail) -> Result<()> {
    let mut follower = Follower {
        api: Api::open(&tail.connection)?,
        path: format!("{}/attempts/tail", account_path(&tail.account)),
        endpoint: tail.endpoint,
        cursor: tail.cursor,
        has_begun: false,
        rows: (!tail.connection.json).then(|| Rows::new(attempt_columns(tail.endpoint.is_some()))),
    };
    let error = tokio::select! {
        ended = follower.follow() => match ended {
            Ok(never) => match never {},
            Err(error) => error,
        },
        error = interruption() => error,
    };
    if let (true, Some(cursor)) = (follower.has_begun, follower.cursor) {
        let account = &tail.account.account;
        let of = tail.endpoint.map(|id| format!(" --endpoint {id}"));
        output::note(&format!(
            "go on from here: postrider history tail --account {account}{} --cursor {cursor}",
            of.unwrap_or_default()
        ))?;
    }
    Err(error)
}

struct Follower {
    api: Api,
    path: String,
    endpoint: Option<EndpointId>,
    /// Behind what was printed.
    cursor: Option<String>,
    /// Whether the server has ever taken it.
    has_begun: bool,
    /// `None`: JSON is printed.
    rows: Option<Rows>,
}

impl Follower {
    async fn follow(&mut self) -> Result<Infallible> {
        let mut backoff = Backoff::new(PAUSE);
        let mut is_away = false;
        loop {
            match self.connect().await {
                Ok(response) => {
                    (self.has_begun, is_away) = (true, false);
                    backoff.reset();
                    self.read(response).await?;
                }
                // What never worked is told at once.
                Err(error) if self.has_begun && CallError::may_pass(&error) => {
                    if !is_away {
                        output::note(&format!("{error:#}: trying again"))?;
                    }
                    is_away = true;
                    backoff.grow();
                }
                Err(error) => return Err(error),
            }
            sleep(backoff.pause()).await;
        }
    }

    async fn connect(&self) -> Result<reqwest::Response> {
        let query = [
            ("endpoint_id", self.endpoint.map(|id| id.to_string())),
            ("cursor", self.cursor.clone()),
        ];
        self.api.stream(&self.path, &query).await
    }

    /// Prints what comes until it breaks off.
    async fn read(&mut self, mut response: reqwest::Response) -> Result<()> {
        let mut events = Events::default();
        while let Ok(Ok(Some(chunk))) = timeout(SILENCE, response.chunk()).await {
            for event in events.add(&chunk)? {
                match event.name.as_str() {
                    "attempt" => self.print(event.data, &event.id)?,
                    // It is asked again, and refused then if it is to be.
                    "problem" if event.data["status"].as_u64() >= Some(500) => return Ok(()),
                    "problem" => bail!("{}", text(&event.data["detail"])),
                    _ => {}
                }
                if !event.id.is_empty() {
                    self.cursor = Some(event.id);
                }
            }
        }
        Ok(())
    }

    fn print(&mut self, mut attempt: Value, cursor: &str) -> Result<()> {
        if let Some(rows) = &mut self.rows {
            return rows.add(&attempt);
        }
        attempt["cursor"] = cursor.into();
        output::line(&attempt.to_string())
    }
}

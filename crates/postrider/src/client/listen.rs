//! `postrider listen`: an account's events on a developer's machine, over the
//! public API alone.
//!
//! It asks for what came since, once a second. Events are recorded out of order
//! by a moment, so each question reaches back a little and what was seen is left
//! out.

mod forward;
mod news;

use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::EndpointId;
use domain::signature::Secret;
use reqwest::Url;
use serde_json::Value;
use tokio::time::sleep;

use super::output::{self, text};
use super::{Account, Api, Connection, arguments, event::account_path};
use forward::Forward;
use news::News;

const PAUSE: Duration = Duration::from_secs(1);

/// What `listen` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Listen {
    #[command(flatten)]
    account: Account,
    /// Where each event is POSTed, signed; without it, events are only printed
    #[arg(long, value_name = "URL", value_parser = arguments::url)]
    forward: Option<Url>,
    /// Sign with this endpoint's secret; without it, with one made up for now
    #[arg(long, short, requires = "forward")]
    endpoint: Option<EndpointId>,
    /// Only events of this type; may be repeated
    #[arg(long = "event-type", short = 't', value_parser = arguments::event_type)]
    event_types: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Runs `listen` until it is interrupted.
///
/// # Errors
///
/// When the first call fails or is refused; later ones are tried again.
pub(crate) async fn run(listen: Listen) -> Result<()> {
    let api = Api::open(&listen.connection)?;
    let account = account_path(&listen.account);
    let mut news = News::begin(&api, &account).await?;
    let forward = match &listen.forward {
        Some(url) => {
            let secret = secret(&api, &account, listen.endpoint).await?;
            output::line(&format!("signing secret: {}", secret.expose()))?;
            Some(Forward::new(url.clone(), secret)?)
        }
        None => None,
    };
    output::line("listening; interrupt to end")?;
    let mut is_away = false;
    loop {
        sleep(PAUSE).await;
        let events = match news.since(&api, &account).await {
            Ok(events) => events,
            Err(error) => {
                if !is_away {
                    output::note(&format!("{error:#}: trying again"))?;
                }
                is_away = true;
                continue;
            }
        };
        is_away = false;
        for event in events {
            let event_type = event["type"].as_str().unwrap_or_default();
            let wanted = &listen.event_types;
            if wanted.is_empty() || wanted.iter().any(|one| one == event_type) {
                show(&event, forward.as_ref(), listen.connection.json).await?;
            }
        }
    }
}

async fn show(event: &Value, forward: Option<&Forward>, json: bool) -> Result<()> {
    let answer = match forward {
        Some(forward) => forward.post(event).await,
        None => String::new(),
    };
    if json {
        return output::line(&event.to_string());
    }
    let cells = [&event["created_at"], &event["type"], &event["id"]].map(text);
    output::line(format!("{}  {answer}", cells.join("  ")).trim_end())
}

async fn secret(api: &Api, account: &str, endpoint: Option<EndpointId>) -> Result<Secret> {
    let Some(endpoint) = endpoint else {
        let mut random = [0; 32];
        getrandom::fill(&mut random).context("the system has no random bytes")?;
        return Ok(Secret::from_random(random));
    };
    let path = format!("{account}/endpoints/{endpoint}/secret");
    let answer = api.get(&path, &[]).await?;
    let secret = answer["secret"].as_str().context("there is no secret")?;
    Ok(Secret::parse(secret)?)
}

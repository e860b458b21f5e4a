//! What is stored, to be compared.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::api::Api;
use harness::wait::eventually;
use serde_json::{Value, json};

use super::world::{ACCOUNT, KEY, OTHERS, World};

#[derive(Debug, PartialEq)]
pub(super) struct Stored {
    endpoints: Vec<Value>,
    secrets: Vec<Value>,
    /// Newest first.
    events: Vec<(&'static str, Vec<String>)>,
    /// Of the accounts and descriptions used here; other scenarios make keys
    /// meanwhile.
    keys: BTreeSet<String>,
    event_types: BTreeSet<String>,
    received: usize,
}

impl Stored {
    pub(super) async fn read(world: &World) -> Result<Self> {
        let api = &world.api;
        let (mut endpoints, mut secrets, mut events) = (Vec::new(), Vec::new(), Vec::new());
        for account in [ACCOUNT, OTHERS] {
            let base = format!("/v1/accounts/{account}");
            for mut endpoint in list(api, &format!("{base}/endpoints"), "endpoints").await? {
                let id = endpoint["id"].as_str().context("an id")?;
                let path = format!("{base}/endpoints/{id}/secret");
                secrets.push(api.get(&path).await?);
                // Tells of deliveries, not of what was stored.
                endpoint["health"] = Value::Null;
                endpoints.push(endpoint);
            }
            events.push((account, events_of(api, account).await?));
        }
        let keys = list(api, "/v1/keys", "keys").await?;
        let mine = |key: &&Value| key["description"] == KEY || key["account"] == ACCOUNT;
        let event_types = list(api, "/v1/event-types", "event_types").await?;
        let mine_too = |kind: &&Value| kind["name"].as_str().is_some_and(is_bad);
        let paths = ["own", "own-2", "their", "their-2", "never"];
        Ok(Self {
            endpoints,
            secrets,
            events,
            keys: keys.iter().filter(mine).map(Value::to_string).collect(),
            event_types: event_types
                .iter()
                .filter(mine_too)
                .map(Value::to_string)
                .collect(),
            received: paths
                .map(|path| world.receiver.received(path).len())
                .iter()
                .sum(),
        })
    }

    /// Compares with what is there now, and again behind an event that is
    /// published last, because events are recorded in their own time.
    pub(super) async fn is_unchanged(&self, world: &World) -> Result<()> {
        let now = Self::read(world).await?;
        ensure!(now == *self, "stored:\n{now:#?}\nbefore:\n{self:#?}");
        for (account, before) in &self.events {
            let last = world
                .api
                .publish(account, "form.submitted", &json!({}))
                .await?;
            let expected: Vec<String> = [&[last.clone()][..], before].concat();
            let recorded = eventually(
                "the last event is recorded",
                Duration::from_secs(15),
                || {
                    let last = last.clone();
                    async move {
                        let events = events_of(&world.api, account).await?;
                        ensure!(events.contains(&last), "it is not");
                        Ok(events)
                    }
                },
            );
            let recorded = recorded.await?;
            ensure!(recorded == expected, "{recorded:?}, before {before:?}");
        }
        Ok(())
    }
}

fn is_bad(event_type: &str) -> bool {
    event_type.starts_with("bad_input")
}

async fn events_of(api: &Api, account: &str) -> Result<Vec<String>> {
    let events = list(api, &format!("/v1/accounts/{account}/events"), "events").await?;
    let ids = events
        .iter()
        .map(|event| event["id"].as_str().map(str::to_owned));
    ids.collect::<Option<_>>().context("events have ids")
}

/// All pages of a list.
async fn list(api: &Api, path: &str, name: &str) -> Result<Vec<Value>> {
    let (mut items, mut token) = (Vec::new(), String::new());
    loop {
        let page = api
            .get(&format!("{path}?page_size=100&page_token={token}"))
            .await?;
        items.extend(page[name].as_array().context("a list")?.iter().cloned());
        token = page["next_page_token"]
            .as_str()
            .context("a token")?
            .to_owned();
        if token.is_empty() {
            return Ok(items);
        }
    }
}

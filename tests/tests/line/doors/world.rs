//! Two accounts, what one of them has, and keys of every kind.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::api::Api;
use harness::deployment::Deployment;
use harness::receiver::Receiver;
use harness::wait::eventually;
use reqwest::Method;
use serde_json::{Value, json};

pub(super) const OWN: &str = "doors-own";
pub(super) const THEIRS: &str = "doors-theirs";

const LIMIT: Duration = Duration::from_secs(20);

/// Who calls.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// Admin, publish, read; empty if it opens nothing.
    pub(super) scope: &'static str,
    pub(super) token: String,
}

pub(super) struct World {
    pub(super) api: Api,
    /// Of all accounts, one for each scope.
    pub(super) scoped: [Key; 3],
    /// Of [`OWN`] alone, one for each scope.
    pub(super) bound: [Key; 3],
    pub(super) revoked: Key,
    pub(super) theirs: Ids,
    // Dropped last: what was sent to it may be sent again.
    _receiver: Receiver,
}

/// One id of each kind.
#[derive(Debug, Clone)]
pub(super) struct Ids {
    pub(super) endpoint: String,
    pub(super) event: String,
    pub(super) delivery: String,
    pub(super) attempt: String,
    pub(super) replay: String,
    pub(super) erasure: String,
    pub(super) key: String,
}

impl Ids {
    /// What nobody has.
    pub(super) fn nowhere() -> Self {
        let id = "01890000-0000-7000-8000-000000000000";
        Self {
            endpoint: format!("ep_{id}"),
            event: format!("evt_{id}"),
            delivery: format!("dlv_{id}"),
            attempt: format!("att_{id}"),
            replay: format!("rpl_{id}"),
            erasure: format!("ers_{id}"),
            key: "0123456789abcdef".to_owned(),
        }
    }

    /// The id of what a plural or singular word names, e.g. of `endpoints`.
    pub(super) fn of(&self, word: &str) -> Option<&str> {
        let kinds = [
            ("endpoint", &self.endpoint),
            ("event", &self.event),
            ("deliver", &self.delivery),
            ("attempt", &self.attempt),
            ("replay", &self.replay),
            ("erasure", &self.erasure),
            ("key", &self.key),
        ];
        let found = kinds.iter().find(|(kind, _)| word.starts_with(kind));
        found.map(|(_, id)| id.as_str())
    }

    /// `text` without these ids.
    pub(super) fn removed_from(&self, text: &str) -> String {
        let ids = [
            &self.endpoint,
            &self.event,
            &self.delivery,
            &self.attempt,
            &self.replay,
            &self.erasure,
            &self.key,
        ];
        ids.iter().fold(text.to_owned(), |text, id| {
            text.replace(id.as_str(), "<id>")
        })
    }
}

impl World {
    pub(super) async fn make(deployment: &Deployment) -> Result<Self> {
        let api = deployment.api();
        let receiver = Receiver::start().await?;
        let theirs = things(&api, &receiver).await?;
        let scoped = [
            key(&api, "admin", None).await?.0,
            key(&api, "publish", None).await?.0,
            key(&api, "read", None).await?.0,
        ];
        let bound = [
            key(&api, "admin", Some(OWN)).await?.0,
            key(&api, "publish", Some(OWN)).await?.0,
            key(&api, "read", Some(OWN)).await?.0,
        ];
        let (mut revoked, id) = key(&api, "admin", None).await?;
        revoked.scope = "";
        api.expect(204, Method::DELETE, &format!("/v1/keys/{id}"), None)
            .await?;
        // It holds nowhere within a second; other roles may learn a little later.
        let gone = api.with_key(&revoked.token);
        eventually("the key is revoked", LIMIT, || async {
            let path = format!("/v1/accounts/{THEIRS}/events");
            let (status, _) = gone.call(Method::POST, &path, Some(&json!({}))).await?;
            ensure!(status == 401, "{status}");
            Ok(())
        })
        .await?;
        Ok(Self {
            api,
            scoped,
            bound,
            revoked,
            theirs,
            _receiver: receiver,
        })
    }
}

/// What the other account has: one thing of each kind.
async fn things(api: &Api, receiver: &Receiver) -> Result<Ids> {
    let base = format!("/v1/accounts/{THEIRS}");
    let endpoint = api
        .endpoint(THEIRS, &receiver.url("doors"), &["message.report"])
        .await?;
    let event = api.publish(THEIRS, "message.report", &json!({})).await?;
    let attempt = eventually("an attempt is recorded", LIMIT, || async {
        let attempts = api.attempts(THEIRS, &endpoint).await?;
        attempts.into_iter().next().context("no attempt yet")
    })
    .await?;
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
    let span = json!({"after": "2026-01-01T00:00:00Z", "before": "2030-01-01T00:00:00Z",
        "status": "all", "dry_run": true});
    let path = format!("{base}/endpoints/{endpoint}/replay");
    let replay = api.post(202, &path, &span).await?;
    // Of what nobody has published.
    let nothing = json!({"tag": {"doors": "nobody"}});
    let erasure = api.post(202, &format!("{base}/erasures"), &nothing).await?;
    Ok(Ids {
        erasure: text(&erasure["id"])?,
        delivery: text(&attempt["delivery_id"])?,
        attempt: text(&attempt["id"])?,
        replay: text(&replay["id"])?,
        key: key(api, "read", Some(THEIRS)).await?.1,
        endpoint,
        event,
    })
}

/// A new key, and its id.
async fn key(api: &Api, scope: &'static str, account: Option<&str>) -> Result<(Key, String)> {
    let body = json!({"description": "doors", "scope": scope, "account": account});
    let made = api.post(201, "/v1/keys", &body).await?;
    let token = made["key"].as_str().context("a key")?.to_owned();
    let id = made["id"].as_str().context("an id")?.to_owned();
    Ok((Key { scope, token }, id))
}

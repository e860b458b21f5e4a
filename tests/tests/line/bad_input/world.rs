//! What the cases refer to: two accounts, keys that open little or nothing, and
//! ids and tokens to use in the wrong place.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use domain::Timestamp;
use harness::api::Api;
use harness::deployment::Deployment;
use harness::receiver::Receiver;
use harness::wait::eventually;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

pub(super) const ACCOUNT: &str = "bad-input";
pub(super) const OTHERS: &str = "bad-input-others";

/// How the keys of this scenario are told from others'.
pub(super) const KEY: &str = "bad input";

const LIMIT: Duration = Duration::from_secs(15);

pub(super) struct World {
    pub(super) api: Api,
    pub(super) receiver: Receiver,
    pub(super) endpoint: String,
    pub(super) event: String,
    pub(super) theirs: Theirs,
    pub(super) tokens: Tokens,
    pub(super) keys: Keys,
}

/// Another account's things.
pub(super) struct Theirs {
    pub(super) endpoint: String,
    pub(super) event: String,
    pub(super) attempt: String,
}

/// Page tokens that are good somewhere.
pub(super) struct Tokens {
    pub(super) endpoints: String,
    pub(super) their_endpoints: String,
    pub(super) event_types: String,
}

pub(super) struct Keys {
    /// Admin of [`ACCOUNT`] only.
    pub(super) bound: String,
    pub(super) reader: String,
    pub(super) publisher: String,
    pub(super) revoked: String,
    pub(super) expired: String,
    /// Well formed, its check digits right, and made by nobody.
    pub(super) unknown: String,
}

impl World {
    pub(super) async fn make(deployment: &Deployment) -> Result<Self> {
        let api = deployment.api();
        let receiver = Receiver::start().await?;
        let types = ["message.report"];
        let endpoint = api.endpoint(ACCOUNT, &receiver.url("own"), &types).await?;
        api.endpoint(ACCOUNT, &receiver.url("own-2"), &["message.incoming"])
            .await?;
        let their_endpoint = api.endpoint(OTHERS, &receiver.url("their"), &types).await?;
        api.endpoint(OTHERS, &receiver.url("their-2"), &["message.incoming"])
            .await?;
        let event = api.publish(ACCOUNT, "message.report", &json!({})).await?;
        let their_event = api.publish(OTHERS, "message.report", &json!({})).await?;
        attempted(&api, ACCOUNT, &endpoint).await?;
        let theirs = Theirs {
            attempt: attempted(&api, OTHERS, &their_endpoint).await?,
            endpoint: their_endpoint,
            event: their_event,
        };
        let tokens = Tokens {
            endpoints: token(&api, &format!("/v1/accounts/{ACCOUNT}/endpoints")).await?,
            their_endpoints: token(&api, &format!("/v1/accounts/{OTHERS}/endpoints")).await?,
            event_types: token(&api, "/v1/event-types").await?,
        };
        let keys = Keys::make(&api).await?;
        Ok(Self {
            api,
            receiver,
            endpoint,
            event,
            theirs,
            tokens,
            keys,
        })
    }

    /// A call below the account, with an admin key of all accounts.
    pub(super) fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.api
            .request(method, &format!("/v1/accounts/{ACCOUNT}{path}"))
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.call(Method::POST, path).json(body)
    }

    /// A body that need not be JSON, sent as such.
    pub(super) fn post_raw(&self, path: &str, body: impl Into<Vec<u8>>) -> RequestBuilder {
        self.call(Method::POST, path)
            .header("content-type", "application/json")
            .body(body.into())
    }

    /// Creates an endpoint that is right but for one field.
    pub(super) fn create_with(&self, field: &str, value: Value) -> RequestBuilder {
        self.post("/endpoints", &self.good_endpoint(field, value))
    }

    /// Changes one field of an endpoint.
    pub(super) fn change(&self, field: &str, value: Value) -> RequestBuilder {
        let path = format!("/endpoints/{}", self.endpoint);
        self.call(Method::PATCH, &path).json(&json!({field: value}))
    }

    /// Publishes an event that is right but for one field.
    pub(super) fn publish_with(&self, field: &str, value: Value) -> RequestBuilder {
        let mut body = json!({"type": "message.report", "object": {}});
        body[field] = value;
        self.post("/events", &body)
    }

    /// An endpoint that is right but for one field.
    pub(super) fn good_endpoint(&self, field: &str, value: Value) -> Value {
        let url = self.receiver.url("never");
        let mut body = json!({"url": url, "description": "bad", "event_types": ["message.report"]});
        body[field] = value;
        body
    }
}

impl Keys {
    async fn make(api: &Api) -> Result<Self> {
        let everywhere = json!(null);
        let (revoked, id) = key(api, "admin", &everywhere, None).await?;
        api.expect(204, Method::DELETE, &format!("/v1/keys/{id}"), None)
            .await?;
        let end = Timestamp::from(SystemTime::now()).plus(Duration::from_secs(2));
        let (expired, _) = key(api, "admin", &everywhere, Some(end)).await?;
        for token in [&revoked, &expired] {
            let api = api.with_key(token);
            eventually("the key holds no more", LIMIT, || async {
                let (status, answer) = api.call(Method::GET, "/v1/keys", None).await?;
                ensure!(status == 401, "{status}: {answer}");
                Ok(())
            })
            .await?;
        }
        Ok(Self {
            bound: key(api, "admin", &json!(ACCOUNT), None).await?.0,
            reader: key(api, "read", &everywhere, None).await?.0,
            publisher: key(api, "publish", &everywhere, None).await?.0,
            revoked,
            expired,
            unknown: domain::key::ApiKey::generate(domain::key::Scope::Admin, [7; 32]).1,
        })
    }
}

async fn key(
    api: &Api,
    scope: &str,
    account: &Value,
    end: Option<Timestamp>,
) -> Result<(String, String)> {
    let body = json!({"description": KEY, "scope": scope, "account": account,
        "expires_at": end.map(Timestamp::rfc3339)});
    let made = api.post(201, "/v1/keys", &body).await?;
    let text = |name: &str| made[name].as_str().context("a text").map(str::to_owned);
    Ok((text("key")?, text("id")?))
}

/// Waits for an endpoint's first attempt.
async fn attempted(api: &Api, account: &str, endpoint: &str) -> Result<String> {
    let attempts = eventually("an attempt is recorded", LIMIT, || async {
        let attempts = api.attempts(account, endpoint).await?;
        ensure!(!attempts.is_empty(), "none is");
        Ok(attempts)
    });
    let id = attempts.await?[0]["id"].as_str().map(str::to_owned);
    id.context("an attempt's id")
}

/// The token of a list's second page.
async fn token(api: &Api, list: &str) -> Result<String> {
    let page = api.get(&format!("{list}?page_size=1")).await?;
    let token = page["next_page_token"].as_str().unwrap_or_default();
    ensure!(!token.is_empty(), "{list} has one page: {page}");
    Ok(token.to_owned())
}

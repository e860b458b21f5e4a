//! Receivers as customers write them: by the README with nothing but their
//! language's standard library, and with the Standard Webhooks project's own.

mod server;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::signature::{Secret, body_signature};
use harness::api::Api;
use harness::deployment::Deployment;
use harness::ports::free_port;
use harness::receiver::{Received, Receiver};
use harness::suite::Scenario;
use harness::wait::eventually;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use server::{Language, Server};

const LIMIT: Duration = Duration::from_secs(15);
const SIGNATURE: &str = "x-webhook-signature";
const STANDARD: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        a_node_receiver_by_the_readme_accepts_what_is_genuine_only,
        a_python_receiver_by_the_readme_accepts_what_is_genuine_only,
        the_standard_webhooks_libraries_accept_what_is_genuine_only,
        either_secret_is_good_during_a_grace_period,
    ]
}

async fn a_node_receiver_by_the_readme_accepts_what_is_genuine_only(
    deployment: Arc<Deployment>,
) -> Result<()> {
    by_the_readme(&deployment.api(), "customer-node", Language::Node).await
}

async fn a_python_receiver_by_the_readme_accepts_what_is_genuine_only(
    deployment: Arc<Deployment>,
) -> Result<()> {
    by_the_readme(&deployment.api(), "customer-python", Language::Python).await
}

async fn by_the_readme(api: &Api, account: &str, language: Language) -> Result<()> {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/hook");
    let endpoint = api.endpoint(account, &url, &["message.incoming"]).await?;
    let secret = api.secret(account, &endpoint).await?;
    let server = Server::by_the_readme(language, port, &secret).await?;

    let object = json!({"text": "grüße 😀 \u{2028}", "n": 1.5, "nested": {"a": [null, true]}});
    let event = api.publish(account, "message.incoming", &object).await?;
    let attempt = attempt(api, account, &endpoint, &event).await?;
    ensure!(
        attempt["response_status"] == 204,
        "a delivery is refused: {attempt}\n{}",
        server.log()
    );

    let headers = headers(&attempt)?;
    let body = attempt["request_body"]
        .as_str()
        .context("a body")?
        .as_bytes();
    ensure!(
        server.post(&headers, body).await? == 204,
        "the same again is refused"
    );
    for changed in changed(body) {
        let status = server.post(&headers, &changed).await?;
        ensure!(status == 401, "a changed body: {status}");
    }
    for signature in other_signatures(&headers, body)? {
        let mut headers = headers.clone();
        headers.insert(SIGNATURE, signature.clone());
        let status = server.post(&headers, body).await?;
        ensure!(
            status == 401,
            "the signature {signature:?}: {status}\n{}",
            server.log()
        );
    }
    let mut unsigned = headers.clone();
    unsigned.remove(SIGNATURE);
    let status = server.post(&unsigned, body).await?;
    ensure!(status == 401, "no signature: {status}\n{}", server.log());
    ensure!(
        server.post(&headers, body).await? == 204,
        "it works no more\n{}",
        server.log()
    );

    // This customer has another secret than the one that signs from now on,
    // grace period or not.
    let path = format!("/v1/accounts/{account}/endpoints/{endpoint}/secret/regenerate");
    let grace = json!({"grace_period_seconds": 600});
    let new = api.post(200, &path, &grace).await?["secret"].clone();
    let event = api.publish(account, "message.incoming", &object).await?;
    let attempt = self::attempt(api, account, &endpoint, &event).await?;
    ensure!(
        attempt["response_status"] == 401,
        "signed with the old secret: {attempt}"
    );
    drop(server);
    let new = new.as_str().context("a secret")?;
    let server = Server::by_the_readme(language, free_port(), new).await?;
    let body = attempt["request_body"]
        .as_str()
        .context("a body")?
        .as_bytes();
    let status = server.post(&self::headers(&attempt)?, body).await?;
    ensure!(status == 204, "not signed with the new secret: {attempt}");
    Ok(())
}

/// The first attempt of an event, with all that was sent.
async fn attempt(api: &Api, account: &str, endpoint: &str, event: &str) -> Result<Value> {
    let path = format!("/v1/accounts/{account}/endpoints/{endpoint}/attempts?event_id={event}");
    let attempts = eventually("the attempt is recorded", LIMIT, || async {
        let page = api.get(&path).await?;
        let attempts = page["attempts"].as_array().context("attempts")?.clone();
        ensure!(!attempts.is_empty(), "none is");
        Ok(attempts)
    });
    let attempts = attempts.await?;
    let first = attempts
        .iter()
        .find(|one| one["number"] == 1)
        .context("the first")?;
    let id = first["id"].as_str().context("an id")?;
    api.get(&format!("/v1/accounts/{account}/attempts/{id}"))
        .await
}

/// The headers of an attempt that a receiver looks at.
fn headers(attempt: &Value) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for name in STANDARD.into_iter().chain([SIGNATURE]) {
        let value = attempt["request_headers"][name].as_str();
        let value = value.with_context(|| format!("{name} was sent: {attempt}"))?;
        headers.insert(HeaderName::from_static(name), value.parse()?);
    }
    Ok(headers)
}

/// The body with one byte changed, gone or added.
fn changed(body: &[u8]) -> Vec<Vec<u8>> {
    let last = body.len() - 1;
    let mut bodies: Vec<Vec<u8>> = [0, last / 2, last]
        .into_iter()
        .map(|place| {
            let mut body = body.to_vec();
            body[place] ^= 1;
            body
        })
        .collect();
    bodies.extend([body[..last].to_vec(), [body, b"\n"].concat(), Vec::new()]);
    bodies
}

/// Signatures that do not belong to the body, and what is none at all.
fn other_signatures(headers: &HeaderMap, body: &[u8]) -> Result<Vec<HeaderValue>> {
    let good = headers[SIGNATURE].to_str()?;
    let other = body_signature(&Secret::from_random([7; 32]), body);
    let last = if good.ends_with('0') { "1" } else { "0" };
    let texts = [
        other,
        format!("{}{last}", &good[..good.len() - 1]),
        good[..good.len() - 2].to_owned(),
        format!("{good}00"),
        format!("sha256={good}"),
        "0".repeat(good.len()),
        "x".repeat(good.len()),
        String::new(),
        "0".to_owned(),
        headers["webhook-signature"].to_str()?.to_owned(),
    ];
    let mut values: Vec<HeaderValue> = texts
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()?;
    // As long as a signature, and not ASCII.
    values.push(HeaderValue::from_bytes(&vec![0xe9; good.len()])?);
    Ok(values)
}

/// An endpoint and what arrives there.
struct Inbox {
    api: Api,
    account: &'static str,
    endpoint: String,
    receiver: Receiver,
    published: usize,
}

impl Inbox {
    async fn open(deployment: &Deployment, account: &'static str) -> Result<Self> {
        let (api, receiver) = (deployment.api(), Receiver::start().await?);
        let endpoint = api
            .endpoint(account, &receiver.url("hook"), &["message.report"])
            .await?;
        Ok(Self {
            api,
            account,
            endpoint,
            receiver,
            published: 0,
        })
    }

    async fn secret(&self) -> Result<String> {
        self.api.secret(self.account, &self.endpoint).await
    }

    async fn new_secret(&self, grace_period_seconds: u32) -> Result<String> {
        let (account, endpoint) = (self.account, &self.endpoint);
        let path = format!("/v1/accounts/{account}/endpoints/{endpoint}/secret/regenerate");
        let body = json!({"grace_period_seconds": grace_period_seconds});
        let secret = self.api.post(200, &path, &body).await?["secret"].clone();
        Ok(secret.as_str().context("a secret")?.to_owned())
    }

    /// Publishes and waits for the delivery.
    async fn delivery(&mut self) -> Result<Received> {
        let object = json!({"n": self.published, "text": "grüße 😀"});
        self.api
            .publish(self.account, "message.report", &object)
            .await?;
        self.published += 1;
        let mut received = self
            .receiver
            .wait_for("hook", self.published, LIMIT)
            .await?;
        received.pop().context("at least one")
    }
}

async fn the_standard_webhooks_libraries_accept_what_is_genuine_only(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let mut inbox = Inbox::open(&deployment, "standard").await?;
    let secret = inbox.secret().await?;
    let delivery = inbox.delivery().await?;
    let (headers, body) = (&delivery.headers, &delivery.body);
    for language in Language::ALL {
        let server = Server::by_the_library(language, &secret).await?;
        let status = server.post(headers, body).await?;
        ensure!(
            status == 204,
            "{language:?}: a delivery: {status}\n{}",
            server.log()
        );
        for changed in changed(body) {
            let status = server.post(headers, &changed).await?;
            ensure!(status == 401, "{language:?}: a changed body: {status}");
        }
        for name in STANDARD {
            let mut missing = headers.clone();
            missing.remove(name);
            let status = server.post(&missing, body).await?;
            ensure!(status == 401, "{language:?}: no {name}: {status}");
        }
        for (name, value) in [
            ("webhook-id", "evt_00000000-0000-4000-8000-000000000000"),
            ("webhook-timestamp", "1747147674"),
            (
                "webhook-signature",
                "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
            ),
        ] {
            let mut changed = headers.clone();
            changed.insert(name, HeaderValue::from_static(value));
            let status = server.post(&changed, body).await?;
            ensure!(status == 401, "{language:?}: another {name}: {status}");
        }
        let other = Secret::from_random([7; 32]);
        let server = Server::by_the_library(language, other.expose()).await?;
        let status = server.post(headers, body).await?;
        ensure!(status == 401, "{language:?}: another secret: {status}");
    }
    Ok(())
}

async fn either_secret_is_good_during_a_grace_period(deployment: Arc<Deployment>) -> Result<()> {
    let mut inbox = Inbox::open(&deployment, "grace").await?;
    let first = inbox.secret().await?;
    let second = inbox.new_secret(600).await?;
    let during = inbox.delivery().await?;
    let signatures = during.header("webhook-signature").split(' ').count();
    ensure!(signatures == 2, "{:?}", during.headers);
    let third = inbox.new_secret(0).await?;
    let after = inbox.delivery().await?;
    ensure!(inbox.secret().await? == third, "the newest is shown");

    let expected = [(&first, 204, 401), (&second, 204, 401), (&third, 401, 204)];
    for language in Language::ALL {
        for (number, (secret, in_grace, later)) in expected.into_iter().enumerate() {
            let server = Server::by_the_library(language, secret).await?;
            let seen = [
                server.post(&during.headers, &during.body).await?,
                server.post(&after.headers, &after.body).await?,
            ];
            let log = server.log();
            ensure!(
                seen == [in_grace, later],
                "{language:?}, secret {number}: {seen:?}\n{log}"
            );
        }
    }
    Ok(())
}

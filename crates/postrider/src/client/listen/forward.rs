//! An event, POSTed to a developer's machine as an endpoint would get it.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Timestamp;
use domain::signature::{Secret, body_signature, standard_signature};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde_json::Value;

/// As long as an attempt may take by default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where events go, and how they are signed.
#[derive(Debug)]
pub(super) struct Forward {
    client: Client,
    url: Url,
    secret: Secret,
}

impl Forward {
    pub(super) fn new(url: Url, secret: Secret) -> Result<Self> {
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .user_agent(concat!("Postrider/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self {
            client,
            url,
            secret,
        })
    }

    /// POSTs the event once; the answer's status, or why there is none.
    pub(super) async fn post(&self, event: &Value) -> String {
        let Some(body) = body(event) else {
            return "not forwarded: the body is no longer kept".to_owned();
        };
        let id = event["id"].as_str().unwrap_or_default();
        let now = Timestamp::from(SystemTime::now()).unix_seconds();
        let request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", now)
            .header(
                "webhook-signature",
                standard_signature(&self.secret, id, now, &body),
            )
            .header("x-webhook-signature", body_signature(&self.secret, &body))
            .body(body);
        match request.send().await {
            Ok(answer) => answer.status().as_u16().to_string(),
            Err(error) if error.is_timeout() => "no answer within 10 s".to_owned(),
            Err(error) if error.is_connect() => format!("nothing listens at {}", self.url),
            Err(error) => format!("no answer: {}", error.without_url()),
        }
    }
}

fn body(event: &Value) -> Option<Vec<u8>> {
    let text = event["body"].as_str().filter(|text| !text.is_empty())?;
    match event["body_encoding"].as_str() {
        Some("base64") => STANDARD.decode(text).ok(),
        _ => Some(text.as_bytes().to_vec()),
    }
}

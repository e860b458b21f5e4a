//! For `make bench` only, behind the feature `bench`: an attempt's signing and
//! HTTP client with nothing before or behind them. What they reach alone is
//! the limit that the whole line is measured against.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use domain::egress::Policy;
use domain::signature::Secret;
use domain::{AccountId, EventId, TraceContext};
use http::HeaderValue;
use tokio_util::task::TaskTracker;

use crate::Error;
use crate::http::{Client, Settings, Way};
use crate::request::Head;
use crate::secrets::Secrets;

const USER_AGENT: HeaderValue = HeaderValue::from_static("Postrider/bench");

/// Signs and posts as an attempt does, and keeps nothing of it.
#[derive(Debug, Clone)]
pub struct RawSender {
    client: Client,
    secrets: Arc<Secrets>,
    account: AccountId,
    timeout: Duration,
}

impl RawSender {
    /// A sender with its own pool of connections, which signs with `secret`.
    /// Each exchange ends within `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::NoRootCertificates`].
    pub fn new(policy: Policy, secret: Secret, timeout: Duration) -> Result<Self, Error> {
        let client = Client::new(Settings {
            policy,
            way: Way::default(),
            timeout,
            // Nobody waits for these: the process ends with its measurement.
            tracker: TaskTracker::new(),
        });
        Ok(Self {
            client: client?,
            secrets: Arc::new(Secrets::only(secret)),
            account: AccountId::parse("bench").expect("it is an account's id"),
            timeout,
        })
    }

    /// One attempt; whether it was answered with a 2xx.
    ///
    /// # Cancel safety
    ///
    /// Cancelled, the request may have been sent.
    pub async fn post(&self, url: &str, body: Bytes) -> bool {
        let target = self.client.target(&self.account, url);
        let headers = Head {
            host: target.host.as_ref(),
            user_agent: &USER_AGENT,
            event_id: EventId::new(),
            started_at: SystemTime::now().into(),
            secrets: &self.secrets,
            body: &body,
            trace: Some(&TraceContext::root(rand::random())),
            challenge: None,
        }
        .headers();
        let exchange = self
            .client
            .post(&self.account, &target, headers, body, self.timeout)
            .await;
        exchange.failure.is_none()
    }
}

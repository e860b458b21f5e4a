//! A deployment, a receiver and what scenarios do with them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::api::{self, Api};
use harness::deployment::{Deployment, Mode};
use harness::receiver::{Received, Receiver};
use harness::wait::eventually;
use proto::v1::{PublishEventRequest, PublishEventsRequest};
use serde_json::{Value, json};

/// For what should take moments, on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) const REPORT: &str = "message.report";

pub(crate) struct World {
    pub(crate) deployment: Deployment,
    pub(crate) receiver: Receiver,
    pub(crate) api: Api,
}

impl World {
    pub(crate) async fn start(mode: Mode, settings: &[(&str, &str)]) -> Result<Self> {
        let deployment = Deployment::start(mode, settings).await?;
        Ok(Self {
            api: deployment.api(),
            deployment,
            receiver: Receiver::start().await?,
        })
    }

    /// Registers the receiver's `path`; `more` is added to the request, and
    /// [`REPORT`] is what it subscribes to if that says nothing else.
    pub(crate) async fn endpoint(&self, account: &str, path: &str, more: Value) -> Result<String> {
        self.endpoint_at(account, &self.receiver.url(path), more)
            .await
    }

    pub(crate) async fn endpoint_at(
        &self,
        account: &str,
        url: &str,
        more: Value,
    ) -> Result<String> {
        let mut body = json!({"url": url, "description": "a lane", "event_types": [REPORT]});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let path = format!("/v1/accounts/{account}/endpoints");
        let made = self.api.post(201, &path, &body).await?;
        made["id"].as_str().context("an id").map(str::to_owned)
    }

    /// Publishes `count` small events in batches; their ids in order.
    pub(crate) async fn publish(
        &self,
        account: &str,
        event_type: &str,
        count: usize,
    ) -> Result<Vec<String>> {
        self.publish_sized(account, event_type, count, 0).await
    }

    /// The same with so many bytes in each.
    pub(crate) async fn publish_sized(
        &self,
        account: &str,
        event_type: &str,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<String>> {
        let filler = "x".repeat(bytes);
        let url = self.deployment.grpc("ingest");
        let mut client = api::ingest(&url, self.api.key()).await?;
        let mut ids = Vec::new();
        while ids.len() < count {
            let numbers = ids.len()..count.min(ids.len() + 500);
            let events = numbers.map(|number| PublishEventRequest {
                account: account.to_owned(),
                r#type: event_type.to_owned(),
                object: format!("{{\"n\":{number},\"filler\":\"{filler}\"}}").into(),
                ..PublishEventRequest::default()
            });
            let request = PublishEventsRequest {
                events: events.collect(),
            };
            for result in client.publish_events(request).await?.into_inner().results {
                ensure!(result.error.is_none(), "{result:?}");
                ids.push(result.id);
            }
        }
        Ok(ids)
    }

    pub(crate) async fn event(&self, account: &str, id: &str) -> Result<Value> {
        let path = format!("/v1/accounts/{account}/events/{id}");
        self.api.get(&path).await
    }

    /// An event's only delivery.
    pub(crate) async fn delivery(&self, account: &str, event: &str) -> Result<Value> {
        let shown = self.event(account, event).await?;
        let deliveries = shown["deliveries"].as_array().context("deliveries")?;
        ensure!(deliveries.len() == 1, "{shown}");
        Ok(deliveries[0].clone())
    }

    /// Waits until one of the account's latest 100 events is shown as waiting
    /// for this reason, with no attempt spent on it.
    pub(crate) async fn waits(&self, account: &str, reason: &str) -> Result<Value> {
        let path = format!("/v1/accounts/{account}/events?page_size=100");
        eventually(&format!("one waits, {reason}"), LIMIT, || async {
            let page = self.api.get(&path).await?;
            let events = page["events"].as_array().context("events")?;
            let deliveries = events
                .iter()
                .flat_map(|event| event["deliveries"].as_array().into_iter().flatten());
            let waits = |delivery: &&Value| {
                delivery["reason"] == reason
                    && delivery["state"] == "pending"
                    && delivery["attempts"] == 0
            };
            let waiting = deliveries.into_iter().find(waits);
            waiting.cloned().context("none does")
        })
        .await
    }

    pub(crate) async fn shown(&self, account: &str, endpoint: &str) -> Result<Value> {
        let path = format!("/v1/accounts/{account}/endpoints/{endpoint}");
        self.api.get(&path).await
    }

    pub(crate) async fn health(&self, account: &str, endpoint: &str) -> Result<Value> {
        Ok(self.shown(account, endpoint).await?["health"].clone())
    }

    /// Waits until the endpoint's stats have these counts.
    pub(crate) async fn counted(
        &self,
        account: &str,
        endpoint: &str,
        counts: &[(&str, usize)],
    ) -> Result<()> {
        let path = format!("/v1/accounts/{account}/endpoints/{endpoint}/stats");
        eventually("the history has it all", LIMIT, || async {
            let stats = self.api.get(&path).await?;
            for (name, count) in counts {
                ensure!(stats[*name] == *count, "{name} is not {count}: {stats}");
            }
            Ok(())
        })
        .await
    }

    /// All processes run, and nothing was logged that a human must see to.
    pub(crate) fn is_well(&self) -> Result<()> {
        self.deployment.all_running()?;
        let errors = self.deployment.errors_logged()?;
        ensure!(errors.is_empty(), "errors in the logs: {errors:#?}");
        Ok(())
    }
}

/// The event that a request was about.
pub(crate) fn event_of(received: &Received) -> String {
    received.header("webhook-id").to_owned()
}

/// Every one of `events` arrived once, and nothing else.
pub(crate) fn each_once(received: &[Received], events: &[String]) -> Result<()> {
    let mut arrived: HashMap<String, usize> = HashMap::new();
    for one in received {
        *arrived.entry(event_of(one)).or_default() += 1;
    }
    let missing = events.iter().filter(|id| !arrived.contains_key(*id));
    let (missing, twice) = (
        missing.count(),
        arrived.values().filter(|count| **count > 1).count(),
    );
    let expected: HashSet<&String> = events.iter().collect();
    let strange = arrived.keys().filter(|id| !expected.contains(id)).count();
    ensure!(
        missing == 0 && twice == 0 && strange == 0,
        "of {} events {missing} are missing, {twice} came more than once, {strange} are others'",
        events.len()
    );
    Ok(())
}

/// The most requests in any span of a second.
pub(crate) fn busiest_second(received: &[Received]) -> usize {
    let second = Duration::from_secs(1);
    let from = |first: &Received| {
        let within = |one: &&Received| one.at >= first.at && one.at < first.at + second;
        received.iter().filter(within).count()
    };
    received.iter().map(from).max().unwrap_or(0)
}

/// From the first to the last.
pub(crate) fn span(received: &[Received]) -> Duration {
    let times = || received.iter().map(|one| one.at);
    match (times().min(), times().max()) {
        (Some(first), Some(last)) => last - first,
        _ => Duration::ZERO,
    }
}

/// How many came in this span.
pub(crate) fn between(received: &[Received], from: Instant, to: Instant) -> usize {
    let within = |one: &&Received| one.at >= from && one.at < to;
    received.iter().filter(within).count()
}

//! An endpoint, callers in traces of their own, and the shape of a trace.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::api::{self, Api, Authorised};
use harness::collector::Seen;
use harness::deployment::Deployment;
use harness::receiver::Receiver;
use harness::wait::eventually;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use proto::v1::PublishEventRequest;
use proto::v1::ingest_service_client::IngestServiceClient;
use serde_json::Value;
use tonic::Request;
use uuid::Uuid;

/// A span of somebody who calls.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) trace_id: String,
    pub(super) span_id: String,
    pub(super) traceparent: String,
}

impl Caller {
    pub(super) fn new(is_sampled: bool) -> Self {
        let trace_id = Uuid::new_v4().simple().to_string();
        let span_id = Uuid::new_v4().simple().to_string()[..16].to_owned();
        let flags = u8::from(is_sampled);
        Self {
            traceparent: format!("00-{trace_id}-{span_id}-{flags:02x}"),
            trace_id,
            span_id,
        }
    }

    /// A gRPC call inside it.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let value = self.traceparent.parse().expect("it is ASCII");
        request.metadata_mut().insert("traceparent", value);
        request
    }
}

/// An account with an endpoint at `hook`.
#[derive(Debug)]
pub(super) struct World {
    pub(super) receiver: Receiver,
    pub(super) api: Api,
    pub(super) account: String,
    pub(super) endpoint: String,
    grpc: String,
}

impl World {
    pub(super) async fn new(deployment: &Deployment, account: &str) -> Result<Self> {
        let receiver = Receiver::start().await?;
        let api = deployment.api();
        let url = receiver.url("hook");
        let endpoint = api.endpoint(account, &url, &["message.incoming"]).await?;
        Ok(Self {
            receiver,
            api,
            account: account.to_owned(),
            endpoint,
            grpc: deployment.grpc("ingest"),
        })
    }

    pub(super) async fn ingest(&self) -> Result<IngestServiceClient<Authorised>> {
        api::ingest(&self.grpc, self.api.key()).await
    }

    /// Publishes one event over gRPC and gives its id.
    pub(super) async fn publish(&self, caller: &Caller) -> Result<String> {
        let request = caller.request(event(&self.account, 1));
        let answer = self.ingest().await?.publish_event(request).await?;
        Ok(answer.into_inner().id)
    }

    /// History's detail of the attempt of this number.
    pub(super) async fn attempt(&self, number: u64) -> Result<Value> {
        let what = format!("attempt {number} is recorded");
        eventually(&what, Duration::from_secs(15), || async {
            let attempts = self.api.attempts(&self.account, &self.endpoint).await?;
            let found = attempts.iter().find(|attempt| attempt["number"] == number);
            let id = found.context("not there")?["id"]
                .as_str()
                .context("an id")?;
            let path = format!("/v1/accounts/{}/attempts/{id}", self.account);
            self.api.get(&path).await
        })
        .await
    }
}

pub(super) fn event(account: &str, n: usize) -> PublishEventRequest {
    PublishEventRequest {
        account: account.to_owned(),
        r#type: "message.incoming".to_owned(),
        object: format!(r#"{{"n":{n}}}"#).into(),
        ..PublishEventRequest::default()
    }
}

/// Holds a trace to what is expected, each span as name, kind and its parent's
/// name (none: the caller's own span).
pub(super) fn shape(
    spans: &[Seen],
    caller: &Caller,
    expected: &[(&str, SpanKind, &str)],
) -> Result<()> {
    let name_of = |id: &str| {
        let found = spans.iter().find(|span| span.span_id == id);
        found.map_or("?", |span| span.name.as_str())
    };
    let mut seen: Vec<_> = spans
        .iter()
        .map(|span| {
            let parent = match span.parent_id == caller.span_id {
                true => "",
                false => name_of(&span.parent_id),
            };
            (span.name.as_str(), span.kind, parent)
        })
        .collect();
    let mut expected = expected.to_vec();
    let by_text = |span: &(&str, SpanKind, &str)| format!("{span:?}");
    seen.sort_by_key(by_text);
    expected.sort_by_key(by_text);
    ensure!(seen == expected, "{seen:#?}\nnot\n{expected:#?}");
    Ok(())
}

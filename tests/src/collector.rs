//! An OTLP receiver that remembers what came.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::secrecy;
use crate::wait::eventually;

/// A span that was sent.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The `service.name` of who sent it.
    pub service: String,
    pub name: String,
    pub kind: SpanKind,
    /// In hex, as the others.
    pub trace_id: String,
    pub span_id: String,
    /// Empty if it is a root.
    pub parent_id: String,
    /// Trace and span of each.
    pub links: Vec<(String, String)>,
    pub attributes: BTreeMap<String, String>,
    /// Unix nanoseconds.
    pub started: u64,
    pub ended: u64,
    pub has_failed: bool,
}

impl Seen {
    /// An attribute's text, empty if it is not there.
    #[must_use]
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes
            .get(key)
            .map(String::as_str)
            .unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Memory {
    spans: Vec<Seen>,
    metrics: Vec<String>,
    /// All that came, as text.
    text: String,
}

/// A collector on loopback. It runs on a thread of its own, until the test
/// program ends.
#[derive(Debug, Clone)]
pub struct Collector {
    address: SocketAddr,
    memory: Arc<Mutex<Memory>>,
}

impl Collector {
    /// Starts listening on a free port.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let collector = Self {
            address: listener.local_addr()?,
            memory: Arc::default(),
        };
        let service = collector.clone();
        std::thread::spawn(move || {
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                let traces = TraceServiceServer::new(service.clone());
                Server::builder()
                    .add_service(traces.max_decoding_message_size(64 << 20))
                    .add_service(MetricsServiceServer::new(service))
                    .serve_with_incoming(TcpListenerStream::new(listener))
                    .await?;
                anyhow::Ok(())
            })
        });
        Ok(collector)
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans of a trace that have come by now.
    #[must_use]
    pub fn trace(&self, trace_id: &str) -> Vec<Seen> {
        self.spans(|span| span.trace_id == trace_id)
    }

    /// The spans that have come by now, and that are asked for.
    #[must_use]
    pub fn spans(&self, wanted: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let memory = self.memory.lock().expect("no panic holds it");
        let spans = memory.spans.iter();
        spans.filter(|span| wanted(span)).cloned().collect()
    }

    /// Waits until so many spans of a trace have come.
    ///
    /// # Errors
    ///
    /// When they have not within 30 s.
    pub async fn whole_trace(&self, trace_id: &str, spans: usize) -> Result<Vec<Seen>> {
        let what = format!("{spans} spans of {trace_id}");
        eventually(&what, Duration::from_secs(30), || async {
            let seen = self.trace(trace_id);
            let names: Vec<_> = seen.iter().take(20).map(|span| &span.name).collect();
            ensure!(seen.len() >= spans, "{} came: {names:?}", seen.len());
            Ok(seen)
        })
        .await
    }

    /// The names of the metrics that have come by now.
    #[must_use]
    pub fn metrics(&self) -> Vec<String> {
        let memory = self.memory.lock().expect("no panic holds it");
        memory.metrics.clone()
    }

    /// Whether any of all that came holds this text.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        let memory = self.memory.lock().expect("no panic holds it");
        memory.text.contains(text)
    }

    /// What of all that came must be told nowhere, in words.
    ///
    /// # Errors
    ///
    /// When it cannot be searched.
    pub fn secrets_told(&self) -> Result<Vec<String>> {
        let memory = self.memory.lock().expect("no panic holds it");
        secrecy::search_text("what was sent", &memory.text)
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let request = request.into_inner();
        let mut memory = self.memory.lock().expect("no panic holds it");
        memory.text.push_str(&format!("{request:?}\n"));
        for resource in request.resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let service = texts(&attributes)
                .remove("service.name")
                .unwrap_or_default();
            let spans = resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans);
            memory
                .spans
                .extend(spans.map(|span| seen(service.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let request = request.into_inner();
        let mut memory = self.memory.lock().expect("no panic holds it");
        memory.text.push_str(&format!("{request:?}\n"));
        let resources = request.resource_metrics.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_metrics);
        let metrics = scopes.flat_map(|scope| scope.metrics);
        for metric in metrics {
            if !memory.metrics.contains(&metric.name) {
                memory.metrics.push(metric.name);
            }
        }
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

fn seen(service: String, span: Span) -> Seen {
    let links = span.links.iter();
    Seen {
        service,
        kind: span.kind(),
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_id: hex(&span.parent_span_id),
        links: links
            .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
            .collect(),
        attributes: texts(&span.attributes),
        started: span.start_time_unix_nano,
        ended: span.end_time_unix_nano,
        has_failed: span.status.is_some_and(|status| status.code == 2),
        name: span.name,
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(flag) => flag.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = attributes.iter().filter_map(|attribute| {
        let value = attribute.value.as_ref()?.value.as_ref()?;
        Some((attribute.key.clone(), text(value)))
    });
    pairs.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

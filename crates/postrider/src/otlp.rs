//! Where telemetry is sent, by OpenTelemetry's standard variables: OTLP over
//! gRPC, and only if an endpoint is named.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use tracing::{debug, info, warn};

use crate::metrics::Metrics;
use crate::traces::Traces;

/// A collector that is away must not hold up the end of the process.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// What can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Metrics,
    Traces,
}

impl Signal {
    const fn name(self) -> &'static str {
        match self {
            Self::Metrics => "METRICS",
            Self::Traces => "TRACES",
        }
    }
}

/// What sends, until it is stopped.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) metrics: Metrics,
    traces: Option<Traces>,
}

impl Sending {
    /// Begins to measure, and to send what the environment asks for.
    ///
    /// # Errors
    ///
    /// When it asks for what cannot be done.
    pub(crate) fn start(process: &str) -> anyhow::Result<Self> {
        announce();
        let resource = resource(process);
        Ok(Self {
            traces: Traces::start(resource.clone())?,
            metrics: Metrics::start(resource)?,
        })
    }

    /// Sends what is left, at most for [`STOP_LIMIT`].
    pub(crate) async fn stop(self) {
        let stopping = tokio::task::spawn_blocking(move || {
            if let Some(traces) = &self.traces {
                traces.stop();
            }
            self.metrics.stop();
        });
        if tokio::time::timeout(STOP_LIMIT, stopping).await.is_err() {
            warn!("the OTLP endpoint does not take what is left to send");
        }
    }
}

/// Whether the environment names an endpoint for it and does not forbid it.
pub(crate) fn is_wanted(signal: Signal) -> bool {
    is_wanted_by(signal, |name| std::env::var(name).ok())
}

fn is_wanted_by(signal: Signal, variable: impl Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let name = signal.name();
    let disabled =
        set("OTEL_SDK_DISABLED").is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
    let exporter = set(&format!("OTEL_{name}_EXPORTER"));
    let refused = exporter.is_some_and(|value| value.trim() != "otlp");
    let endpoint = set(&format!("OTEL_EXPORTER_OTLP_{name}_ENDPOINT"))
        .or_else(|| set("OTEL_EXPORTER_OTLP_ENDPOINT"));
    endpoint.is_some() && !disabled && !refused
}

/// Says in the log what is sent, and which variables are not obeyed.
fn announce() {
    let sent: Vec<_> = [Signal::Traces, Signal::Metrics]
        .into_iter()
        .filter(|signal| is_wanted(*signal))
        .map(Signal::name)
        .collect();
    if sent.is_empty() {
        debug!("no OTLP endpoint is set: no telemetry is sent");
        return;
    }
    info!(signals = sent.join(", "), "telemetry is sent by OTLP");
    for name in [
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    ] {
        if std::env::var(name).is_ok_and(|protocol| protocol != "grpc") {
            warn!(
                setting = name,
                "only grpc is spoken: name an OTLP gRPC endpoint (port 4317)"
            );
        }
    }
}

/// Who sends. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win.
pub(crate) fn resource(process: &str) -> Resource {
    let named = std::env::var("OTEL_SERVICE_NAME").is_ok_and(|name| !name.is_empty())
        || std::env::var("OTEL_RESOURCE_ATTRIBUTES")
            .is_ok_and(|attributes| attributes.contains("service.name="));
    let builder = Resource::builder().with_attributes([
        KeyValue::new("service.namespace", "postrider"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
    ]);
    if named {
        builder.build()
    } else {
        builder
            .with_service_name(format!("postrider-{process}"))
            .build()
    }
}

/// What could not be sent at the end is lost, which somebody may miss.
pub(crate) fn tell_failure(what: &str, ended: OTelSdkResult) {
    if let Err(error) = ended {
        warn!(%error, "the last {what} could not be sent");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(signal: Signal, variables: &[(&str, &str)]) -> bool {
        is_wanted_by(signal, |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_is_sent_unless_an_endpoint_is_named() {
        let common = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://other:4317");
        assert!(!wanted(Signal::Traces, &[]));
        assert!(!wanted(
            Signal::Traces,
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]
        ));
        assert!(wanted(Signal::Traces, &[common]) && wanted(Signal::Metrics, &[common]));
        assert!(wanted(Signal::Traces, &[traces]) && !wanted(Signal::Metrics, &[traces]));
        assert!(!wanted(
            Signal::Traces,
            &[common, ("OTEL_SDK_DISABLED", "true")]
        ));
        let none = ("OTEL_TRACES_EXPORTER", "none");
        assert!(!wanted(Signal::Traces, &[common, none]));
        assert!(wanted(Signal::Metrics, &[common, none]));
    }
}

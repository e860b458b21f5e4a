//! The roles' OpenTelemetry meters as a Prometheus page and by OTLP.

mod process;

use anyhow::Context as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

use crate::otlp::{self, Signal};

/// What `/metrics` is made of.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Meters stop counting when it is gone.
    provider: SdkMeterProvider,
}

impl Metrics {
    /// Becomes the process's meter provider. To be called before the roles make
    /// their instruments.
    ///
    /// # Errors
    ///
    /// When an exporter cannot be made as the environment asks.
    pub(crate) fn start(resource: Resource) -> anyhow::Result<Self> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()?;
        let mut builder = SdkMeterProvider::builder()
            .with_reader(exporter)
            .with_resource(resource);
        if otlp::is_wanted(Signal::Metrics) {
            let exporter = opentelemetry_otlp::MetricExporter::builder().with_tonic();
            let exporter = exporter
                .build()
                .context("cannot send metrics as the OTEL_* variables ask")?;
            builder = builder.with_periodic_exporter(exporter);
        }
        let provider = builder.build();
        opentelemetry::global::set_meter_provider(provider.clone());
        process::observe();
        Ok(Self { registry, provider })
    }

    /// The Prometheus text format, version 0.0.4.
    ///
    /// # Errors
    ///
    /// When a metric cannot be written, which is a bug.
    pub(crate) fn page(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Sends the last values. Blocks.
    pub(crate) fn stop(&self) {
        otlp::tell_failure("metrics", self.provider.shutdown());
    }
}

//! The roles' OpenTelemetry meters as a Prometheus page.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

/// What `/metrics` is made of.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Meters stop counting when it is gone.
    _provider: SdkMeterProvider,
}

impl Metrics {
    /// Becomes the process's meter provider. To be called before the roles make
    /// their instruments.
    ///
    /// # Errors
    ///
    /// When the exporter cannot be registered.
    pub(crate) fn start(process: &str) -> anyhow::Result<Self> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .build()?;
        let resource = Resource::builder()
            .with_service_name(format!("postrider-{process}"))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkMeterProvider::builder()
            .with_reader(exporter)
            .with_resource(resource)
            .build();
        opentelemetry::global::set_meter_provider(provider.clone());
        Ok(Self {
            registry,
            _provider: provider,
        })
    }

    /// The Prometheus text format, version 0.0.4.
    ///
    /// # Errors
    ///
    /// When a metric cannot be written, which is a bug.
    pub(crate) fn page(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

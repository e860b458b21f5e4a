//! Spans by OTLP.

use anyhow::Context as _;
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use telemetry::trace::{ChosenIds, install, sampler};

use crate::config;
use crate::otlp::{self, Signal};

/// Of the conventions that names and attributes follow.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.42.0";

/// What sends spans.
#[derive(Debug)]
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins to send spans, if an endpoint is named: in batches, from a bounded
    /// queue that drops what is too much (`OTEL_BSP_*`).
    ///
    /// # Errors
    ///
    /// When the environment asks for what cannot be done.
    pub(crate) fn start(resource: Resource) -> anyhow::Result<Option<Self>> {
        if !otlp::is_wanted(Signal::Traces) {
            return Ok(None);
        }
        let variable = |name| std::env::var(name).ok();
        let sampler = sampler(
            variable("OTEL_TRACES_SAMPLER").as_deref(),
            variable("OTEL_TRACES_SAMPLER_ARG").as_deref(),
        )
        .map_err(|unknown| config::Error::Refused(unknown.to_string()))?;
        let exporter = SpanExporter::builder()
            .with_tonic()
            .build()
            .context("cannot send spans as the OTEL_* variables ask")?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_id_generator(ChosenIds)
            // What comes here was sampled before.
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource)
            .build();
        let scope = InstrumentationScope::builder("postrider")
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(SCHEMA)
            .build();
        install(provider.tracer_with_scope(scope), sampler);
        Ok(Some(Self(provider)))
    }

    /// Sends what is left. Blocks.
    pub(crate) fn stop(&self) {
        otlp::tell_failure("spans", self.0.shutdown());
    }
}

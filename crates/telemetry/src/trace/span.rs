//! A span, written when its work is done.

use std::borrow::Cow;
use std::time::SystemTime;

use domain::TraceContext;
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};

use super::recorder::{self, ChosenIds, span_context};

/// Which side of what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Server,
    Client,
    Producer,
    Consumer,
}

/// What a span is inside.
#[derive(Debug, Clone, Copy)]
pub enum Parent<'a> {
    None,
    /// Of this process.
    Local(&'a TraceContext),
    /// Of another one, or of this one by way of the broker.
    Remote(&'a TraceContext),
}

impl<'a> Parent<'a> {
    /// A caller's context, if there is one.
    #[must_use]
    pub fn caller(context: Option<&'a TraceContext>) -> Self {
        context.map_or(Self::None, Self::Remote)
    }
}

/// What is told of the work.
#[derive(Debug)]
pub struct Span {
    name: Cow<'static, str>,
    attributes: Vec<KeyValue>,
    links: Vec<Link>,
    failed: bool,
}

/// Names of attributes that conventions do not have.
pub mod attribute {
    pub const ACCOUNT: &str = "postrider.account.id";
    pub const EVENT: &str = "postrider.event.id";
    pub const EVENT_TYPE: &str = "postrider.event.type";
    pub const ENDPOINT: &str = "postrider.endpoint.id";
    pub const DELIVERY: &str = "postrider.delivery.id";
    pub const CAUSE: &str = "postrider.delivery.cause";
    pub const ATTEMPT_NUMBER: &str = "postrider.attempt.number";
    /// From the event's acceptance until this work began, in milliseconds.
    pub const QUEUE_WAIT: &str = "postrider.queue_wait_ms";
    /// From arrival in the dispatcher until the POST began, in milliseconds.
    pub const LANE_WAIT: &str = "postrider.lane_wait_ms";
}

impl Span {
    /// Adds an attribute.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) -> &mut Self {
        self.attributes.push(KeyValue::new(key, value));
        self
    }

    /// Adds what the work noted.
    pub fn extend(&mut self, noted: Vec<KeyValue>) -> &mut Self {
        self.attributes.extend(noted);
        self
    }

    /// Adds an attribute if it has a value.
    pub fn set_some(&mut self, key: &'static str, value: Option<impl Into<Value>>) -> &mut Self {
        if let Some(value) = value {
            self.set(key, value);
        }
        self
    }

    /// Says that it was about a message of NATS: by which `operation`, of a
    /// convention's `type`, at a `destination` with placeholders for what has
    /// many values.
    pub fn messaging(
        &mut self,
        operation: &'static str,
        operation_type: &'static str,
        destination: &'static str,
    ) -> &mut Self {
        self.set("messaging.system", "nats")
            .set("messaging.operation.name", operation)
            .set("messaging.operation.type", operation_type)
            .set("messaging.destination.template", destination)
    }

    /// Says what else led to it.
    pub fn link(&mut self, context: &TraceContext) -> &mut Self {
        let link = Link::new(span_context(context, true), Vec::new(), 0);
        self.links.push(link);
        self
    }

    /// Says that it failed, and by what class of failure.
    pub fn fail(&mut self, error_type: impl Into<Cow<'static, str>>) -> &mut Self {
        self.failed = true;
        self.set("error.type", error_type.into())
    }
}

/// Writes the span of work that began at `begun` and is done now, if `context`
/// is sampled and there is where to write it; only then `describe` is called.
pub fn record(
    context: &TraceContext,
    parent: Parent<'_>,
    kind: Kind,
    name: impl Into<Cow<'static, str>>,
    begun: SystemTime,
    describe: impl FnOnce(&mut Span),
) {
    if !context.is_sampled() {
        return;
    }
    let Some(recorder) = recorder::get() else {
        return;
    };
    let mut span = Span {
        name: name.into(),
        attributes: Vec::with_capacity(12),
        links: Vec::new(),
        failed: false,
    };
    describe(&mut span);
    let builder = SpanBuilder::from_name(span.name)
        .with_kind(kind.into())
        .with_start_time(begun)
        .with_attributes(span.attributes)
        .with_links(span.links);
    let around = match parent {
        Parent::None => Context::new(),
        Parent::Local(parent) => inside(parent, false),
        Parent::Remote(parent) => inside(parent, true),
    };
    let build = || recorder.tracer.build_with_context(builder, &around);
    let mut built = ChosenIds::used(context, build);
    if span.failed {
        built.set_status(Status::error(""));
    }
    built.end();
}

fn inside(parent: &TraceContext, is_remote: bool) -> Context {
    Context::new().with_remote_span_context(span_context(parent, is_remote))
}

impl From<Kind> for SpanKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Server => Self::Server,
            Kind::Client => Self::Client,
            Kind::Producer => Self::Producer,
            Kind::Consumer => Self::Consumer,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};

    use super::super::{child, entered, install, root_like, sampler};
    use super::*;

    /// The recorder is the process's, so one test tells both.
    #[test]
    fn a_callers_decision_holds_without_a_recorder_and_with_one() {
        let mut caller = TraceContext::root([3; 24]);
        for sampled in [true, false] {
            caller.set_sampled(sampled);
            let context = entered(Some(&caller));
            assert_eq!(context.trace_id, caller.trace_id);
            assert_ne!(context.span_id, caller.span_id);
            assert_eq!(context.is_sampled(), sampled);
            assert_eq!(root_like(&caller).is_sampled(), sampled);
        }
        assert!(!entered(None).is_sampled());
        a_sampled_span_is_written_with_the_ids_it_was_given();
        assert!(entered(None).is_sampled());
    }

    fn a_sampled_span_is_written_with_the_ids_it_was_given() {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .with_id_generator(ChosenIds)
            .with_sampler(opentelemetry_sdk::trace::Sampler::AlwaysOn)
            .build();
        install(provider.tracer("test"), sampler(None, None).unwrap());

        let mut caller = TraceContext::root([3; 24]);
        caller.set_sampled(true);
        let context = entered(Some(&caller));
        let begun = SystemTime::now();
        record(
            &context,
            Parent::Remote(&caller),
            Kind::Server,
            "a",
            begun,
            |span| {
                span.set("k", 1).fail("timeout");
            },
        );
        let later = root_like(&context);
        record(&later, Parent::None, Kind::Consumer, "b", begun, |span| {
            span.link(&context);
        });
        caller.set_sampled(false);
        let quiet = child(&entered(Some(&caller)));
        record(
            &quiet,
            Parent::None,
            Kind::Client,
            "c",
            begun,
            |_| unreachable!(),
        );

        let spans = exporter.get_finished_spans().unwrap();
        assert_eq!(spans.len(), 2, "what is not sampled is not written");
        assert_eq!(spans[0].span_context.span_id().to_bytes(), context.span_id);
        assert_eq!(spans[0].span_context.trace_id().to_bytes(), caller.trace_id);
        assert_eq!(spans[0].parent_span_id.to_bytes(), caller.span_id);
        assert!(spans[0].parent_span_is_remote);
        assert_eq!(spans[0].start_time, begun);
        assert!(matches!(spans[0].status, Status::Error { .. }));
        assert_eq!(spans[1].span_context.trace_id().to_bytes(), later.trace_id);
        assert_eq!(spans[1].span_context.span_id().to_bytes(), later.span_id);
        let linked = spans[1].links.iter().next().unwrap();
        assert_eq!(linked.span_context.span_id().to_bytes(), context.span_id);
    }
}

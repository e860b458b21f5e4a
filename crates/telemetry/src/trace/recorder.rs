//! Where spans go: the SDK's tracer, if the binary has installed one.

use std::cell::Cell;
use std::sync::OnceLock;

use domain::TraceContext;
use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry_sdk::trace::{IdGenerator, SamplingDecision, SdkTracer, ShouldSample};

static RECORDER: OnceLock<Recorder> = OnceLock::new();

/// A tracer, and who decides what is sampled.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) tracer: SdkTracer,
    sampler: Box<dyn ShouldSample>,
}

/// Spans go to `tracer` from now on. Its provider must have [`ChosenIds`], and
/// sample everything: `sampler` has decided before, where a trace enters the
/// process. Later calls change nothing.
pub fn install(tracer: SdkTracer, sampler: Box<dyn ShouldSample>) {
    // Set before, by a test of the same process.
    let _ = RECORDER.set(Recorder { tracer, sampler });
}

pub(super) fn get() -> Option<&'static Recorder> {
    RECORDER.get()
}

impl Recorder {
    pub(super) fn samples(&self, caller: Option<&TraceContext>, trace_id: [u8; 16]) -> bool {
        let parent = caller
            .map(|caller| Context::new().with_remote_span_context(span_context(caller, true)));
        let decided = self.sampler.should_sample(
            parent.as_ref(),
            TraceId::from_bytes(trace_id),
            "",
            &SpanKind::Server,
            &[],
            &[],
        );
        decided.decision == SamplingDecision::RecordAndSample
    }
}

pub(super) fn span_context(context: &TraceContext, is_remote: bool) -> SpanContext {
    let state = match context.state.as_str() {
        "" => TraceState::NONE,
        // What is malformed is not passed on.
        state => state.parse().unwrap_or_default(),
    };
    SpanContext::new(
        TraceId::from_bytes(context.trace_id),
        SpanId::from_bytes(context.span_id),
        TraceFlags::new(context.flags),
        is_remote,
        state,
    )
}

thread_local! {
    /// The ids of the span that this thread is about to build.
    static CHOSEN: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Gives a span the id that was chosen when its work began: the SDK has no
/// other way to say it.
#[derive(Debug)]
pub struct ChosenIds;

impl ChosenIds {
    /// Builds a span as `context`.
    pub(super) fn used<T>(context: &TraceContext, build: impl FnOnce() -> T) -> T {
        let ids = (
            TraceId::from_bytes(context.trace_id),
            SpanId::from_bytes(context.span_id),
        );
        CHOSEN.set(Some(ids));
        let built = build();
        CHOSEN.set(None);
        built
    }
}

impl IdGenerator for ChosenIds {
    fn new_trace_id(&self) -> TraceId {
        let chosen = CHOSEN.get().map(|(trace, _)| trace);
        chosen.unwrap_or_else(|| TraceId::from_bytes(rand::random()))
    }

    fn new_span_id(&self) -> SpanId {
        let chosen = CHOSEN.get().map(|(_, span)| span);
        chosen.unwrap_or_else(|| SpanId::from_bytes(rand::random()))
    }
}

//! The context that work runs in, and its spans.
//!
//! An item's context travels with it, in protobuf, through lists and schedules:
//! so a span is written when its work is done, with an id that was chosen when
//! it began. Ids are there also where nothing is sampled or sent, because
//! attempts are recorded with them; what is not sampled costs a look at a flag.

mod recorder;
mod sampling;
mod span;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use domain::TraceContext;
use opentelemetry::KeyValue;

pub use recorder::{ChosenIds, install};
pub use sampling::{Unknown as UnknownSampler, sampler};
pub use span::{Kind, Parent, Span, attribute, record};

tokio::task_local! {
    static CURRENT: Scope;
}

/// What work runs in.
struct Scope {
    context: TraceContext,
    /// What the work tells of itself, for the span around it; `None` if nobody
    /// listens.
    notes: Option<Mutex<Vec<KeyValue>>>,
}

/// The context of the work under way, for log lines and calls to others.
#[must_use]
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|scope| scope.context.clone()).ok()
}

/// Does `work` in `context`. Tasks that it spawns are outside.
// An async fn would hold the work twice: as it was given, and as it is done.
pub fn within<F: Future>(context: TraceContext, work: F) -> impl Future<Output = F::Output> {
    let scope = Scope {
        context,
        notes: None,
    };
    CURRENT.scope(scope, work)
}

/// As [`within`], and gives what the work [noted](note) for its span.
pub async fn observed<F: Future>(context: TraceContext, work: F) -> (F::Output, Vec<KeyValue>) {
    let scope = Scope {
        notes: context.is_sampled().then(Mutex::default),
        context,
    };
    let noting = async {
        let output = work.await;
        let noted = CURRENT.with(|scope| scope.notes.as_ref().map(taken));
        (output, noted.unwrap_or_default())
    };
    CURRENT.scope(scope, noting).await
}

/// Adds an attribute to the span around the work under way, if it is sampled.
pub fn note(key: &'static str, value: impl FnOnce() -> String) {
    let add = |scope: &Scope| {
        if let Some(notes) = &scope.notes {
            let note = KeyValue::new(key, value());
            lock(notes).push(note);
        }
    };
    // Outside of any span there is nobody to tell.
    let _ = CURRENT.try_with(add);
}

fn taken(notes: &Mutex<Vec<KeyValue>>) -> Vec<KeyValue> {
    std::mem::take(&mut *lock(notes))
}

fn lock(notes: &Mutex<Vec<KeyValue>>) -> MutexGuard<'_, Vec<KeyValue>> {
    // A list is whole after any panic.
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The context of work that a caller begins: in the caller's trace if it has
/// one. Whether it is sampled is decided here, once for all that follows.
#[must_use]
pub fn entered(caller: Option<&TraceContext>) -> TraceContext {
    let mut context = match caller {
        Some(caller) => caller.child(rand::random()),
        None => begun(),
    };
    let sampled = match (recorder::get(), caller) {
        (Some(recorder), _) => recorder.samples(caller, context.trace_id),
        // Nothing is written here; what the caller decided is passed on.
        (None, Some(caller)) => caller.is_sampled(),
        (None, None) => false,
    };
    context.set_sampled(sampled);
    context
}

/// The context of work inside that of `parent`.
#[must_use]
pub fn child(parent: &TraceContext) -> TraceContext {
    parent.child(rand::random())
}

/// A new trace that is sampled if `other` is.
#[must_use]
pub fn root_like(other: &TraceContext) -> TraceContext {
    let mut context = begun();
    context.set_sampled(other.is_sampled());
    context
}

fn begun() -> TraceContext {
    TraceContext::begun(SystemTime::now().into(), rand::random())
}

/// Which attempts belong to the trace of their event. The others have traces of
/// their own, linked to the event and to the attempt before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AttemptsInTrace {
    /// The first: later ones come when that trace may be over, and a tail
    /// sampler has decided about it.
    #[default]
    First,
    Always,
    Never,
}

impl AttemptsInTrace {
    /// Whether the attempt of this number, from 1, does.
    #[must_use]
    pub const fn includes(self, attempt_number: u32) -> bool {
        match self {
            Self::First => attempt_number == 1,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

impl std::str::FromStr for AttemptsInTrace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "first-attempt" => Ok(Self::First),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err("first-attempt, always or never is needed".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_knows_its_context_and_what_it_spawns_does_not() {
        assert_eq!(current(), None);
        let context = TraceContext::root([5; 24]);
        within(context.clone(), async {
            assert_eq!(current(), Some(context));
            let spawned = tokio::spawn(async { current() });
            assert_eq!(spawned.await.ok(), Some(None));
        })
        .await;
        assert_eq!(current(), None);
    }

    #[tokio::test]
    async fn what_is_sampled_hears_what_its_work_notes() {
        let mut context = TraceContext::root([5; 24]);
        let work = || async { note("k", || "v".to_owned()) };
        let ((), noted) = observed(context.clone(), work()).await;
        assert_eq!(noted, [KeyValue::new("k", "v")]);
        context.set_sampled(false);
        let ((), noted) = observed(context, work()).await;
        assert_eq!(noted, []);
    }
}

//! The trace that an event comes from, and the span of its acceptance.

use std::time::SystemTime;

use domain::{AcceptedEvent, TraceContext};
use telemetry::trace::{self, Kind, Parent, attribute};

const DESTINATION: &str = "events.{account}";
const SEND: &str = "send events.{account}";

/// Where an event comes from.
#[derive(Debug)]
pub(crate) struct Origin {
    /// What it is inside.
    parent: TraceContext,
    /// The call that carried it, if the event has a trace of its own.
    carrier: Option<TraceContext>,
}

impl Origin {
    /// Of an event that `call` carries; `traceparent` is the event's own, empty
    /// or invalid if it has none.
    pub(crate) fn of(call: &TraceContext, traceparent: &str) -> Self {
        match TraceContext::parse(traceparent, None) {
            Some(own) => Self {
                parent: own,
                carrier: Some(call.clone()),
            },
            None => Self {
                parent: call.clone(),
                carrier: None,
            },
        }
    }

    /// The context of the event itself, for all that follows.
    pub(crate) fn enter(&self) -> TraceContext {
        match self.carrier {
            // Whether it is sampled was not asked yet.
            Some(_) => trace::entered(Some(&self.parent)),
            None => trace::child(&self.parent),
        }
    }

    /// Writes the span of the event's way into JetStream.
    pub(crate) fn sent(
        &self,
        event: &AcceptedEvent,
        begun: SystemTime,
        error: Option<&broker::Error>,
    ) {
        let parent = match self.carrier {
            Some(_) => Parent::Remote(&self.parent),
            None => Parent::Local(&self.parent),
        };
        trace::record(&event.trace, parent, Kind::Producer, SEND, begun, |span| {
            let size = i64::try_from(event.body.len()).unwrap_or(i64::MAX);
            span.messaging("publish", "send", DESTINATION)
                .set("messaging.message.id", event.id.to_string())
                .set("messaging.message.body.size", size)
                .set(attribute::ACCOUNT, event.account.to_string())
                .set(attribute::EVENT, event.id.to_string())
                .set(attribute::EVENT_TYPE, event.event_type.to_string());
            if let Some(carrier) = &self.carrier {
                span.link(carrier);
            }
            if let Some(error) = error {
                span.fail(match error {
                    broker::Error::Refused(_) => "refused",
                    _ => "unavailable",
                });
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_with_a_trace_of_its_own_is_not_in_its_calls() {
        let call = TraceContext::root([1; 24]);
        let own = TraceContext::root([2; 24]);
        assert_eq!(Origin::of(&call, "").enter().trace_id, call.trace_id);
        assert_eq!(Origin::of(&call, "00-ab").enter().trace_id, call.trace_id);
        let event = Origin::of(&call, &own.traceparent()).enter();
        assert_eq!(event.trace_id, own.trace_id);
        assert_ne!(event.span_id, own.span_id);
    }
}

//! The spans of an event's planning: its processing, and inside it the sending
//! of each list of deliveries, in whose context the first attempts are made.

use std::sync::Arc;
use std::time::SystemTime;

use domain::{AcceptedEvent, Delivery, DeliveryEvent, Timestamp, TraceContext};
use telemetry::trace::{self, Kind, Parent, attribute};

/// The planning of one event.
#[derive(Debug)]
pub(crate) struct Processing {
    context: TraceContext,
    begun: SystemTime,
}

/// The sending of one of its lists.
#[derive(Debug)]
pub(crate) struct Sending<'a> {
    processing: &'a Processing,
    context: TraceContext,
    begun: SystemTime,
    event: Option<Arc<DeliveryEvent>>,
    deliveries: usize,
}

impl Processing {
    pub(crate) fn begin(event: &AcceptedEvent) -> Self {
        Self {
            context: trace::child(&event.trace),
            begun: SystemTime::now(),
        }
    }

    /// Puts the deliveries into the context of their sending.
    pub(crate) fn send(&self, deliveries: &mut [Delivery]) -> Sending<'_> {
        let context = trace::child(&self.context);
        // Who is not sampled stays where the event is, and shares it.
        if context.is_sampled()
            && let Some(first) = deliveries.first()
        {
            let event = Arc::new(DeliveryEvent {
                trace: context.clone(),
                ..(*first.event).clone()
            });
            for delivery in deliveries.iter_mut() {
                delivery.event = Arc::clone(&event);
            }
        }
        Sending {
            processing: self,
            context,
            begun: SystemTime::now(),
            event: deliveries.first().map(|first| Arc::clone(&first.event)),
            deliveries: deliveries.len(),
        }
    }

    /// Writes the span: all is stored, or could not be.
    pub(crate) fn done(&self, event: &AcceptedEvent, is_stored: bool) {
        let parent = Parent::Remote(&event.trace);
        let (context, begun) = (&self.context, self.begun);
        let name = "process events.{account}";
        trace::record(context, parent, Kind::Consumer, name, begun, |span| {
            let waited = Timestamp::from(begun).since(event.accepted_at);
            let waited = i64::try_from(waited.as_millis()).unwrap_or(i64::MAX);
            span.messaging("process", "process", "events.{account}")
                .set("messaging.consumer.group.name", "fanout")
                .set("messaging.message.id", event.id.to_string())
                .set(attribute::QUEUE_WAIT, waited)
                .set(attribute::ACCOUNT, event.account.to_string())
                .set(attribute::EVENT, event.id.to_string())
                .set(attribute::EVENT_TYPE, event.event_type.to_string());
            if !is_stored {
                span.fail("refused");
            }
        });
    }
}

impl Sending<'_> {
    /// Writes the span: the list is stored.
    pub(crate) fn done(self) {
        let parent = Parent::Local(&self.processing.context);
        let name = "send deliver.{partition}";
        trace::record(
            &self.context,
            parent,
            Kind::Producer,
            name,
            self.begun,
            |span| {
                let count = i64::try_from(self.deliveries).unwrap_or(i64::MAX);
                span.messaging("publish", "send", "deliver.{partition}")
                    .set("messaging.batch.message_count", count);
                if let Some(event) = &self.event {
                    span.set(attribute::ACCOUNT, event.account.to_string())
                        .set(attribute::EVENT, event.id.to_string());
                }
            },
        );
    }
}

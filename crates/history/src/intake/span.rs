//! The span of a batch. It belongs to no event: it has a trace of its own, with
//! links to what it recorded.

use std::time::SystemTime;

use domain::TraceContext;
use telemetry::trace::{self, Kind, Parent};

use super::items::Items;

/// As many as the SDK keeps of a span; a batch may hold a thousand items.
const MAX_LINKS: usize = 128;

/// A batch of which something is sampled, or nothing.
#[derive(Debug)]
pub(super) struct BatchSpan {
    links: Vec<TraceContext>,
    items: u64,
    begun: SystemTime,
}

impl BatchSpan {
    pub(super) fn begin(items: &Items) -> Self {
        let sampled = items.traces().filter(|context| context.is_sampled());
        Self {
            links: sampled.take(MAX_LINKS).cloned().collect(),
            items: items.counts().iter().map(|(_, count)| count).sum(),
            begun: SystemTime::now(),
        }
    }

    /// Writes the span: all is stored, or quarantined.
    pub(super) fn done(self) {
        let Some(first) = self.links.first() else {
            return;
        };
        let context = trace::root_like(first);
        let (kind, name) = (Kind::Consumer, "process attempts.{partition}");
        trace::record(&context, Parent::None, kind, name, self.begun, |span| {
            let count = i64::try_from(self.items).unwrap_or(i64::MAX);
            span.messaging("process", "process", "attempts.{partition}")
                .set("messaging.consumer.group.name", "history")
                .set("messaging.batch.message_count", count);
            for context in &self.links {
                span.link(context);
            }
        });
    }
}

//! What recording counts and measures.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime};

use broker::{Input, Message};
use domain::Timestamp;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use telemetry::metric;

use super::items::Items;

/// Nothing is in hand.
const IDLE: i64 = i64::MAX;

#[derive(Debug)]
pub(super) struct Recorded {
    items: Counter<u64>,
    quarantined: Counter<u64>,
    duration: Histogram<f64>,
    /// When the oldest message in hand was published, in Unix milliseconds. It
    /// is looked at by whoever collects, so that the lag grows while the
    /// database is away.
    oldest: Arc<AtomicI64>,
}

impl Recorded {
    pub(super) fn new() -> Self {
        let oldest = Arc::new(AtomicI64::new(IDLE));
        let seen = Arc::clone(&oldest);
        metric::RECORDING_LAG.observe_seconds(move || match seen.load(Ordering::Relaxed) {
            IDLE => 0.0,
            oldest => Timestamp::from(SystemTime::now())
                .since(Timestamp::from_unix_millis(oldest))
                .as_secs_f64(),
        });
        Self {
            items: metric::HISTORY_RECORDED.counter(),
            quarantined: metric::HISTORY_QUARANTINED.counter_from_zero(),
            duration: metric::HISTORY_BATCH_DURATION.histogram(),
            oldest,
        }
    }

    /// A batch is in hand until the guard is dropped.
    pub(super) fn begin(&self, messages: &[(Input, Message)]) -> InHand<'_> {
        let published = messages.iter().map(|(_, message)| message.published_at());
        if let Some(oldest) = published.min() {
            self.oldest.store(oldest.unix_millis(), Ordering::Relaxed);
        }
        InHand {
            recorded: self,
            begun: Instant::now(),
        }
    }

    pub(super) fn count(&self, items: &Items) {
        for (kind, count) in items.counts() {
            if count > 0 {
                self.items.add(count, &[KeyValue::new("kind", kind)]);
            }
        }
    }

    pub(super) fn quarantine(&self, kind: &'static str) {
        self.quarantined.add(1, &[KeyValue::new("kind", kind)]);
    }
}

/// A batch that is being recorded.
#[derive(Debug)]
pub(super) struct InHand<'a> {
    recorded: &'a Recorded,
    begun: Instant,
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.recorded.oldest.store(IDLE, Ordering::Relaxed);
        let duration = self.begun.elapsed().as_secs_f64();
        self.recorded.duration.record(duration, &[]);
    }
}

//! How long this process may send for a partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The instant after which nothing is begun, moved on with each renewal of the
/// lease. By this process's own clock, which goes on while it is stopped.
#[derive(Debug, Clone)]
pub(crate) struct Deadline(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    base: Instant,
    /// Nanoseconds behind `base`.
    after: AtomicU64,
}

impl Deadline {
    pub(crate) fn new(at: Instant) -> Self {
        // Not `at`: an end must hold at once, also within the first term.
        let deadline = Self(Arc::new(Inner {
            base: Instant::now(),
            after: AtomicU64::new(0),
        }));
        deadline.move_to(at);
        deadline
    }

    /// The lease was renewed.
    pub(crate) fn move_to(&self, at: Instant) {
        let after = at.saturating_duration_since(self.0.base).as_nanos();
        let after = u64::try_from(after).unwrap_or(u64::MAX);
        self.0.after.fetch_max(after, Ordering::AcqRel);
    }

    /// Nothing is begun any more: the lease is somebody else's.
    pub(crate) fn expire(&self) {
        self.0.after.store(0, Ordering::Release);
    }

    fn at(&self) -> Instant {
        self.0.base + Duration::from_nanos(self.0.after.load(Ordering::Acquire))
    }

    /// Whether an attempt may begin now.
    pub(crate) fn holds(&self, now: Instant) -> bool {
        now < self.at()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_until_the_instant_and_a_renewal_moves_that() {
        let now = Instant::now();
        let (second, instant) = (Duration::from_secs(1), Duration::from_nanos(1));
        let deadline = Deadline::new(now + second);
        assert!(deadline.holds(now + second - instant));
        assert!(!deadline.holds(now + second));
        deadline.move_to(now + 3 * second);
        assert!(deadline.holds(now + 2 * second));
        deadline.move_to(now + second);
        assert!(deadline.holds(now + 2 * second));
        deadline.expire();
        assert!(!deadline.holds(now + second));
    }

    #[test]
    fn an_end_holds_at_once_in_the_first_term_too() {
        let now = Instant::now();
        let deadline = Deadline::new(now + Duration::from_secs(3));
        assert!(deadline.holds(Instant::now()));
        deadline.expire();
        assert!(!deadline.holds(Instant::now()));
    }
}

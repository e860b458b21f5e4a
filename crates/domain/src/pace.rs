//! How fast an endpoint is sent to: the generic cell rate algorithm, as a
//! virtual scheduler (ITU-T I.371, annex A).

use std::time::{Duration, Instant};

/// A sender that wakes late may make up for this part of an interval.
const SLACK: u32 = 10;

/// Timers are no finer than this, so at high rates so much may be made up for.
const LEAST_TOLERANCE: Duration = Duration::from_millis(5);

/// Spaces the POSTs to one endpoint.
///
/// Any span of `w` seconds sees at most `limit × (w + tolerance) + 1` of them,
/// where the tolerance is a tenth of an interval or 5 ms, whichever is longer:
/// with a limit of 10, at most 11 in any second.
#[derive(Debug, Clone, Copy)]
pub struct Pacer {
    interval: Duration,
    tolerance: Duration,
    /// When the next would be due if all were sent on time.
    due: Option<Instant>,
}

impl Pacer {
    /// `limit` a second (at least 1); the first one may go at once.
    #[must_use]
    pub fn per_second(limit: u32) -> Self {
        let interval = Duration::from_secs(1) / limit.max(1);
        Self {
            interval,
            tolerance: (interval / SLACK).max(LEAST_TOLERANCE),
            due: None,
        }
    }

    /// The same, when somebody else may have sent up to `taken_over`: the first
    /// one waits for a whole interval.
    #[must_use]
    pub fn after(limit: u32, taken_over: Instant) -> Self {
        let pacer = Self::per_second(limit);
        Self {
            // Late by nothing: the tolerance is not for what others sent.
            due: Some(taken_over + pacer.interval + pacer.tolerance),
            ..pacer
        }
    }

    /// The time between two.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// When the next one may be sent; not after `now` if that is at once.
    #[must_use]
    pub fn ready_at(&self, now: Instant) -> Instant {
        self.due
            .and_then(|due| due.checked_sub(self.tolerance))
            .unwrap_or(now)
    }

    /// Whether one may be sent now.
    #[must_use]
    pub fn is_ready(&self, now: Instant) -> bool {
        self.ready_at(now) <= now
    }

    /// Notes that one is sent now.
    pub fn sent(&mut self, now: Instant) {
        self.due = Some(self.due.map_or(now, |due| due.max(now)) + self.interval);
    }

    /// Another limit from now on. Who was to wait for longer than the new
    /// interval waits for that only.
    pub fn change(&mut self, limit: u32, now: Instant) {
        let due = self.due;
        *self = Self::per_second(limit);
        self.due = due.map(|due| due.min(now + self.interval));
    }

    /// Whether it remembers nothing that could hold the next one back.
    #[must_use]
    pub fn is_idle(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Sends as soon as it may, waking up late by each of `lateness`.
    fn run(pacer: &mut Pacer, start: Instant, lateness: &[u64]) -> Vec<Instant> {
        let mut now = start;
        let mut sent = Vec::new();
        for late in lateness {
            now = pacer.ready_at(now).max(now) + Duration::from_micros(*late);
            assert!(pacer.is_ready(now));
            pacer.sent(now);
            sent.push(now);
        }
        sent
    }

    /// The most in any span of a second that begins with one.
    fn most_in_a_second(sent: &[Instant]) -> usize {
        let within = |first: &Instant| {
            sent.iter()
                .filter(|at| *at >= first && **at < *first + SECOND)
                .count()
        };
        sent.iter().map(within).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn never_more_than_the_limit_and_its_tolerance(
            limit in 1_u32..300,
            lateness in prop::collection::vec(0_u64..30_000, 1..600),
        ) {
            let mut pacer = Pacer::per_second(limit);
            let sent = run(&mut pacer, Instant::now(), &lateness);
            let tolerance = (SECOND / limit / 10).max(LEAST_TOLERANCE).as_secs_f64();
            let bound = f64::from(limit) * (1.0 + tolerance) + 1.0;
            prop_assert!(most_in_a_second(&sent) as f64 <= bound);
        }

        #[test]
        fn small_lateness_costs_no_throughput(
            limit in 1_u32..100,
            lateness in prop::collection::vec(0_u64..4_000, 200),
        ) {
            let start = Instant::now();
            let sent = run(&mut Pacer::per_second(limit), start, &lateness);
            let ideal = SECOND / limit * 199;
            let last = sent[199].duration_since(start);
            prop_assert!(last <= ideal + Duration::from_millis(5), "{last:?} for {ideal:?}");
        }

        #[test]
        fn a_change_of_limit_holds_at_once(
            before in 1_u32..100, after in 1_u32..100, sends in 1_usize..50,
        ) {
            let mut pacer = Pacer::per_second(before);
            let sent = run(&mut pacer, Instant::now(), &vec![0; sends]);
            let now = sent[sends - 1];
            pacer.change(after, now);
            prop_assert!(pacer.ready_at(now) <= now + SECOND / after);
            let sent = run(&mut pacer, now + Duration::from_nanos(1), &vec![0; 300]);
            prop_assert!(most_in_a_second(&sent) as u32 <= after + after / 100 + 2);
        }
    }

    #[test]
    fn ten_a_second_are_at_most_eleven() {
        let sent = run(&mut Pacer::per_second(10), Instant::now(), &[3_000; 100]);
        assert!(most_in_a_second(&sent) <= 11);
    }

    #[test]
    fn a_new_owner_waits_for_an_interval() {
        let now = Instant::now();
        let pacer = Pacer::after(10, now);
        assert!(!pacer.is_ready(now + Duration::from_millis(99)));
        assert!(pacer.is_ready(now + Duration::from_millis(100)));
    }
}

//! How an endpoint is doing. A pure rule, told each attempt once.

use domain::{Attempt, DeferralReason, Timestamp};
use uuid::Uuid;

use super::advance::Standing;
use super::text::clean;

/// So many failed attempts in a row make a success a recovery.
const LONG_FAILURE: i64 = 10;

/// What is kept of an endpoint beside its rows.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Condition {
    pub(super) id: Uuid,
    pub(super) account: String,
    /// Deliveries of a lower one are cancelled.
    pub(super) generation: i64,
    pub(super) deleted: bool,
    pub(super) last_attempt_at: Option<i64>,
    pub(super) last_failure: Option<String>,
    pub(super) failing_since: Option<i64>,
    /// Failed attempts in a row, since `failing_since`.
    pub(super) failures: i64,
    /// Deliveries that wait for the rate limit.
    pub(super) throttled: i64,
    /// Deliveries that wait for the endpoint to work again.
    pub(super) paused: i64,
    pub(super) paused_until: Option<i64>,
    /// The attempt that ended the last long failure, and since when it lasted.
    pub(super) recovered_by: Option<Uuid>,
    pub(super) recovered_since: Option<i64>,
}

impl Condition {
    /// An attempt was made of a delivery that was planned in `generation`.
    pub(super) fn attempted(&mut self, generation: i64, attempt: &Attempt) {
        let at = attempt.started_at.unix_millis();
        let is_last = self.last_attempt_at.is_none_or(|last| last <= at);
        match (&attempt.failure, self.failing_since) {
            // Before it was disabled; it begins anew when it is enabled.
            (Some(_), _) if generation < self.generation => {}
            (Some(_), Some(since)) if since <= at => self.failures += 1,
            (Some(_), None) if is_last => {
                self.failing_since = Some(at);
                self.failures = 1;
            }
            (None, Some(since)) if is_last => {
                if self.failures >= LONG_FAILURE {
                    self.recovered_by = Some(attempt.id.uuid());
                    self.recovered_since = Some(since);
                }
                self.failing_since = None;
                self.failures = 0;
            }
            // Told late: of the failures, only the last is known to be later.
            (None, Some(since)) if since <= at => {
                self.failing_since = self.last_attempt_at;
                self.failures = 1;
            }
            (Some(_) | None, _) => {}
        }
        if is_last {
            self.last_attempt_at = Some(at);
            let failure = attempt.failure.as_ref();
            self.last_failure = failure.map(|failure| clean(&failure.message).into_owned());
        }
    }

    /// A delivery moved; gives whether that changes anything here.
    pub(super) fn moved(&mut self, before: Option<Standing>, after: Standing) -> bool {
        let (waited, waits) = (before.and_then(Standing::waits_for), after.waits_for());
        if let Some(reason) = waited {
            *self.waiting(reason) -= 1;
        }
        if let Some(reason) = waits {
            *self.waiting(reason) += 1;
        }
        if waits == Some(DeferralReason::Paused) {
            self.paused_until = after.next_attempt_at.map(Timestamp::unix_millis);
        }
        waited.is_some() || waits.is_some()
    }

    const fn waiting(&mut self, reason: DeferralReason) -> &mut i64 {
        match reason {
            DeferralReason::Throttled => &mut self.throttled,
            DeferralReason::Paused => &mut self.paused,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use domain::attempt::Failure;
    use domain::{AttemptId, FailureClass, Headers, Outcome, TraceContext};

    use super::*;

    fn new() -> Condition {
        Condition {
            id: Uuid::nil(),
            account: "acme".to_owned(),
            generation: 1,
            deleted: false,
            last_attempt_at: None,
            last_failure: None,
            failing_since: None,
            failures: 0,
            throttled: 0,
            paused: 0,
            paused_until: None,
            recovered_by: None,
            recovered_since: None,
        }
    }

    fn attempt(at: i64, failed: bool) -> Attempt {
        Attempt {
            id: AttemptId::new(),
            started_at: Timestamp::from_unix_millis(at),
            duration: Duration::ZERO,
            url: String::new(),
            request_headers: Headers::default(),
            response_status: None,
            response_headers: Headers::default(),
            response_body: Bytes::new(),
            response_truncated: false,
            failure: failed.then(|| Failure {
                class: FailureClass::Timeout,
                message: "no answer".to_owned(),
            }),
            next_attempt_at: None,
            trace: TraceContext::root([1; 24]),
        }
    }

    #[test]
    fn a_success_after_ten_failures_is_a_recovery() {
        for (failures, recovered) in [(9, false), (10, true)] {
            let mut condition = new();
            for at in 1..=failures {
                condition.attempted(1, &attempt(at, true));
            }
            assert_eq!(
                (condition.failing_since, condition.failures),
                (Some(1), failures)
            );
            let success = attempt(20, false);
            condition.attempted(1, &success);
            assert_eq!((condition.failing_since, condition.failures), (None, 0));
            let by = recovered.then(|| success.id.uuid());
            assert_eq!(condition.recovered_by, by);
            assert_eq!(condition.recovered_since, recovered.then_some(1));
        }
    }

    #[test]
    fn what_is_told_late_does_not_tell_the_present() {
        let mut condition = new();
        condition.attempted(1, &attempt(5, true));
        condition.attempted(1, &attempt(9, true));
        condition.attempted(1, &attempt(2, false));
        assert_eq!((condition.failing_since, condition.failures), (Some(5), 2));
        condition.attempted(1, &attempt(7, false));
        assert_eq!((condition.failing_since, condition.failures), (Some(9), 1));
        assert_eq!(condition.last_failure.as_deref(), Some("no answer"));
        condition.attempted(1, &attempt(10, false));
        condition.attempted(1, &attempt(8, true));
        assert_eq!((condition.failing_since, condition.failures), (None, 0));
        assert_eq!(condition.last_failure, None);
    }

    #[test]
    fn a_failure_of_before_the_disable_does_not_begin_a_new_period() {
        let mut condition = new();
        condition.attempted(0, &attempt(5, true));
        assert_eq!((condition.failing_since, condition.failures), (None, 0));
        assert_eq!(condition.last_attempt_at, Some(5));
    }

    #[test]
    fn what_waits_is_counted_until_it_moves_on() {
        let mut condition = new();
        let deferred = |reason| Outcome::Deferred {
            reason,
            until: Some(Timestamp::from_unix_millis(30)),
        };
        let first = Standing::new(false);
        let throttled = first.after(1, &deferred(DeferralReason::Throttled));
        let paused = throttled.after(1, &deferred(DeferralReason::Paused));
        let done = paused.after(1, &Outcome::Attempt(Box::new(attempt(30, false))));
        condition.moved(None, throttled);
        assert_eq!((condition.throttled, condition.paused), (1, 0));
        condition.moved(Some(throttled), paused);
        assert_eq!((condition.throttled, condition.paused), (0, 1));
        assert_eq!(condition.paused_until, Some(30));
        condition.moved(Some(paused), done);
        assert_eq!((condition.throttled, condition.paused), (0, 0));
    }
}

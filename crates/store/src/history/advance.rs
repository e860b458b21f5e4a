//! How an outcome moves a delivery. A pure rule: the order in which outcomes
//! are recorded does not matter, and a final state never goes back.

use domain::{DeferralReason, DeliveryState, EndedReason, Outcome, Timestamp};

use super::Stats;

/// The retries are used up.
pub(super) const EXHAUSTED: &str = "retries_exhausted";
/// There is an attempt to come after one that failed.
const RETRYING: &str = "retrying";
/// What was planned before its endpoint was disabled.
const DISABLED: &str = "endpoint_disabled";

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) state: DeliveryState,
    pub(super) reason: &'static str,
    pub(super) attempts: i64,
    pub(super) last_number: i64,
    pub(super) next_attempt_at: Option<Timestamp>,
}

impl Standing {
    /// One that nothing has happened to yet; `outdated` if its endpoint has been
    /// disabled since it was planned.
    pub(super) const fn new(outdated: bool) -> Self {
        let (state, reason) = if outdated {
            (DeliveryState::Cancelled, DISABLED)
        } else {
            (DeliveryState::Pending, "")
        };
        Self {
            state,
            reason,
            attempts: 0,
            last_number: 0,
            next_attempt_at: None,
        }
    }

    /// One that is not to be made any more, because its event is erased.
    pub(super) const fn erased(self) -> Self {
        match self.state {
            DeliveryState::Pending => Self {
                state: DeliveryState::Failed,
                reason: EndedReason::Erased.as_str(),
                next_attempt_at: None,
                ..self
            },
            _ => self,
        }
    }

    /// The word for a stored reason; of a final state's reasons only those that
    /// the rules ask for, since it stays as it is stored.
    pub(super) fn reason(stored: &str) -> &'static str {
        let throttled = DeferralReason::Throttled.as_str();
        let paused = DeferralReason::Paused.as_str();
        [RETRYING, EXHAUSTED, throttled, paused]
            .into_iter()
            .find(|word| *word == stored)
            .unwrap_or_default()
    }

    /// The standing after an outcome that was not recorded before.
    pub(super) fn after(self, number: u32, outcome: &Outcome) -> Self {
        let number = i64::from(number);
        let mut after = self;
        if matches!(outcome, Outcome::Attempt(_)) {
            after.attempts += 1;
            after.last_number = after.last_number.max(number);
        }
        let state = outcome.delivery_state();
        // What was under way when its endpoint was disabled has arrived after all.
        let arrived = state == DeliveryState::Succeeded && self.state != state;
        if self.state != DeliveryState::Pending && !arrived {
            return after;
        }
        match outcome {
            // Something later is known already.
            Outcome::Attempt(_)
                if state != DeliveryState::Succeeded && number < self.last_number => {}
            Outcome::Attempt(attempt) => {
                after.state = state;
                after.next_attempt_at = attempt.next_attempt_at;
                after.reason = match state {
                    DeliveryState::Pending => RETRYING,
                    DeliveryState::Failed => EXHAUSTED,
                    DeliveryState::Cancelled => DISABLED,
                    DeliveryState::Succeeded => "",
                };
            }
            Outcome::Ended { reason, .. } => {
                after.state = state;
                after.next_attempt_at = None;
                after.reason = reason.as_str();
            }
            // It waits for an attempt that has been made since.
            Outcome::Deferred { .. } if number <= self.last_number => {}
            Outcome::Deferred { reason, until } => {
                after.next_attempt_at = *until;
                after.reason = reason.as_str();
            }
        }
        after
    }

    /// What a due attempt of it waits for.
    pub(super) fn waits_for(self) -> Option<DeferralReason> {
        let pending = self.state == DeliveryState::Pending;
        pending.then(|| self.reason.parse().ok()).flatten()
    }

    /// What it counts for.
    pub(super) fn counts(self) -> Stats {
        let is = |state| i64::from(self.state == state);
        let pending = is(DeliveryState::Pending);
        Stats {
            total: 1,
            succeeded: is(DeliveryState::Succeeded),
            failed: is(DeliveryState::Failed),
            cancelled: is(DeliveryState::Cancelled),
            pending,
            retrying: if self.attempts > 0 { pending } else { 0 },
        }
    }
}

impl std::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.pending += other.pending;
        self.retrying += other.retrying;
    }
}

impl std::ops::SubAssign for Stats {
    fn sub_assign(&mut self, other: Self) {
        self.total -= other.total;
        self.succeeded -= other.succeeded;
        self.failed -= other.failed;
        self.cancelled -= other.cancelled;
        self.pending -= other.pending;
        self.retrying -= other.retrying;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use domain::attempt::Failure;
    use domain::{Attempt, AttemptId, FailureClass, Headers, TraceContext};

    use super::*;

    const NEW: Standing = Standing {
        state: DeliveryState::Pending,
        reason: "",
        attempts: 0,
        last_number: 0,
        next_attempt_at: None,
    };

    fn attempt(failed: bool, next: Option<i64>) -> Outcome {
        Outcome::Attempt(Box::new(Attempt {
            id: AttemptId::new(),
            started_at: Timestamp::from_unix_millis(0),
            duration: Duration::ZERO,
            url: String::new(),
            request_headers: Headers::default(),
            response_status: None,
            response_headers: Headers::default(),
            response_body: Bytes::new(),
            response_truncated: false,
            failure: failed.then(|| Failure {
                class: FailureClass::Timeout,
                message: String::new(),
            }),
            next_attempt_at: next.map(Timestamp::from_unix_millis),
            trace: TraceContext::root([1; 24]),
        }))
    }

    #[test]
    fn the_order_of_recording_does_not_matter() {
        let outcomes = [
            (1, attempt(true, Some(10))),
            (2, attempt(true, Some(20))),
            (3, attempt(false, None)),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]] {
            let end = order.iter().fold(NEW, |standing, index| {
                let (number, outcome) = &outcomes[*index];
                standing.after(*number, outcome)
            });
            assert_eq!(
                (end.state, end.attempts),
                (DeliveryState::Succeeded, 3),
                "{order:?}"
            );
            assert_eq!(end.next_attempt_at, None);
        }
        let late = NEW.after(2, &outcomes[1].1).after(1, &outcomes[0].1);
        assert_eq!(late.next_attempt_at, Some(Timestamp::from_unix_millis(20)));
    }

    #[test]
    fn a_deferral_tells_until_when_and_gives_way_to_its_attempt() {
        let until = Timestamp::from_unix_millis(30);
        let deferred = Outcome::Deferred {
            reason: DeferralReason::Throttled,
            until: Some(until),
        };
        let waiting = NEW.after(1, &attempt(true, Some(10))).after(2, &deferred);
        assert_eq!(
            (waiting.reason, waiting.next_attempt_at),
            ("throttled", Some(until))
        );
        assert_eq!(waiting.attempts, 1);
        let made = attempt(true, Some(40));
        assert_eq!(
            waiting.after(2, &made),
            NEW.after(1, &attempt(true, Some(10))).after(2, &made)
        );
        let late = NEW.after(2, &made).after(2, &deferred);
        assert_eq!(late, NEW.after(2, &made));
    }

    #[test]
    fn a_410_cancels_its_delivery() {
        let Outcome::Attempt(mut gone) = attempt(true, None) else {
            panic!("it is an attempt")
        };
        gone.response_status = Some(410);
        let end = NEW.after(1, &Outcome::Attempt(gone));
        assert_eq!(
            (end.state, end.reason, end.next_attempt_at),
            (DeliveryState::Cancelled, "endpoint_disabled", None)
        );
    }

    #[test]
    fn a_final_state_stays() {
        let cancelled = Outcome::Ended {
            state: DeliveryState::Cancelled,
            reason: EndedReason::EndpointDisabled,
            at: Timestamp::from_unix_millis(0),
        };
        let end = NEW.after(1, &cancelled).after(1, &attempt(true, Some(1)));
        assert_eq!(
            (end.state, end.reason, end.next_attempt_at),
            (DeliveryState::Cancelled, "endpoint_disabled", None)
        );
        let end = NEW.after(1, &attempt(true, None)).after(2, &cancelled);
        assert_eq!(
            (end.state, end.reason),
            (DeliveryState::Failed, "retries_exhausted")
        );
    }

    #[test]
    fn what_has_arrived_has_succeeded_whatever_is_told_first() {
        let cancelled = Outcome::Ended {
            state: DeliveryState::Cancelled,
            reason: EndedReason::EndpointDisabled,
            at: Timestamp::from_unix_millis(0),
        };
        let success = attempt(false, None);
        let late = NEW.after(1, &cancelled).after(1, &success);
        assert_eq!(late, NEW.after(1, &success).after(1, &cancelled));
        assert_eq!((late.state, late.reason), (DeliveryState::Succeeded, ""));
    }

    #[test]
    fn retrying_is_pending_with_an_attempt() {
        assert_eq!(
            NEW.counts(),
            Stats {
                total: 1,
                pending: 1,
                ..Stats::default()
            }
        );
        let retrying = NEW.after(1, &attempt(true, Some(1))).counts();
        assert_eq!(
            retrying,
            Stats {
                total: 1,
                pending: 1,
                retrying: 1,
                ..Stats::default()
            }
        );
        let done = NEW.after(1, &attempt(false, None)).counts();
        assert_eq!(
            done,
            Stats {
                total: 1,
                succeeded: 1,
                ..Stats::default()
            }
        );
    }
}

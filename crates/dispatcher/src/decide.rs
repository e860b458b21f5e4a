//! What to do with a delivery, before its POST and after it. Pure.

use std::time::Duration;

use domain::retry::{Schedule, parse_retry_after};
use domain::{Delivery, DeliveryState, EndedReason, Endpoint, Timestamp};

use crate::http::{Answer, Exchange};

/// A delivery that ends without a POST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) state: DeliveryState,
    pub(crate) reason: EndedReason,
}

impl End {
    const fn cancelled(reason: EndedReason) -> Self {
        let state = DeliveryState::Cancelled;
        Self { state, reason }
    }

    /// What it is if the endpoint has yet to show that it is its account's.
    pub(crate) const UNVERIFIED: Self = Self::cancelled(EndedReason::EndpointUnverified);

    /// What it is if the event's body is gone.
    pub(crate) const BODY_EXPIRED: Self = Self {
        state: DeliveryState::Failed,
        reason: EndedReason::BodyExpired,
    };

    /// What it is if the event is erased.
    pub(crate) const ERASED: Self = Self {
        state: DeliveryState::Failed,
        reason: EndedReason::Erased,
    };
}

/// Whether the delivery may be sent to the endpoint that the directory holds.
/// The directory must have seen what the delivery was planned with.
pub(crate) fn admit<'a>(
    delivery: &Delivery,
    endpoint: Option<&'a Endpoint>,
) -> Result<&'a Endpoint, End> {
    let endpoint = endpoint.ok_or(End::cancelled(EndedReason::EndpointDeleted))?;
    // Planned before it was disabled: cancelled also if it is active again.
    if endpoint.disabled || delivery.endpoint_generation < endpoint.generation {
        return Err(End::cancelled(EndedReason::EndpointDisabled));
    }
    if endpoint.awaits_verification() && !delivery.event.event_type.is_challenge() {
        return Err(End::UNVERIFIED);
    }
    Ok(endpoint)
}

/// When to try again; `None` if it succeeded, the endpoint is gone, or that was
/// the last attempt.
/// `jitter` is a random number from 0 to 1.
pub(crate) fn next_attempt_at(
    schedule: &Schedule,
    attempt_number: u32,
    exchange: &Exchange,
    now: Timestamp,
    jitter: f64,
) -> Option<Timestamp> {
    exchange.failure.as_ref()?;
    // Not to be sent to again, however long it takes until it is disabled.
    if is_gone(exchange) {
        return None;
    }
    let asked = exchange
        .answer
        .as_ref()
        .and_then(|answer| retry_after(answer, now));
    let delay = schedule.delay_after(attempt_number, asked, jitter)?;
    Some(now.plus(delay))
}

/// Whether the endpoint says that it is gone for good.
pub(crate) fn is_gone(exchange: &Exchange) -> bool {
    exchange
        .answer
        .as_ref()
        .is_some_and(|answer| answer.status == 410)
}

/// How long the endpoint asks to be left alone; only 429 and 503 may ask.
fn retry_after(answer: &Answer, now: Timestamp) -> Option<Duration> {
    if !matches!(answer.status, 429 | 503) {
        return None;
    }
    let (_, value) = answer
        .headers
        .iter()
        .find(|(name, _)| *name == "retry-after")?;
    parse_retry_after(std::str::from_utf8(value).ok()?, now)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use domain::{Cause, Failure, FailureClass, Verification};

    use super::*;
    use crate::samples;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_000_000);

    fn exchange(status: u16, retry_after: Option<&'static str>) -> Exchange {
        let failed = !(200..300).contains(&status);
        Exchange {
            duration: Duration::ZERO,
            answer: Some(Answer {
                status,
                headers: retry_after
                    .map(|value| {
                        (
                            "retry-after".to_owned(),
                            Bytes::from_static(value.as_bytes()),
                        )
                    })
                    .into_iter()
                    .collect(),
                body: Bytes::new(),
                truncated: false,
            }),
            failure: failed.then(|| Failure {
                class: FailureClass::HttpStatus,
                message: String::new(),
            }),
        }
    }

    fn wait(status: u16, retry_after: Option<&'static str>, number: u32) -> Option<u64> {
        let schedule: Schedule = "5s,30s".parse().unwrap();
        let exchange = exchange(status, retry_after);
        next_attempt_at(&schedule, number, &exchange, NOW, 0.0).map(|at| at.since(NOW).as_secs())
    }

    #[test]
    fn failures_wait_for_their_delay_until_there_is_none() {
        assert_eq!(wait(500, None, 1), Some(5));
        assert_eq!(wait(302, None, 2), Some(30));
        assert_eq!(wait(500, None, 3), None);
        assert_eq!(wait(204, None, 1), None);
        assert_eq!(wait(410, None, 1), None);
    }

    #[test]
    fn retry_after_counts_for_429_and_503_only() {
        assert_eq!(wait(429, Some("60"), 1), Some(60));
        assert_eq!(wait(503, Some("60"), 1), Some(60));
        assert_eq!(wait(503, Some("2"), 1), Some(5));
        assert_eq!(wait(500, Some("60"), 1), Some(5));
        assert_eq!(wait(429, Some("soon"), 1), Some(5));
        assert_eq!(wait(429, Some("9999999"), 1), Some(86_400));
        assert_eq!(wait(200, Some("60"), 1), None);
    }

    #[test]
    fn a_disable_cancels_what_was_planned_before_it() {
        let endpoint = samples::endpoint();
        let mut delivery = samples::delivery(endpoint.id);
        assert_eq!(admit(&delivery, Some(&endpoint)), Ok(&endpoint));
        let disabled = End::cancelled(EndedReason::EndpointDisabled);
        let again = Endpoint {
            generation: 1,
            ..endpoint.clone()
        };
        assert_eq!(admit(&delivery, Some(&again)), Err(disabled));
        delivery.endpoint_generation = 1;
        assert_eq!(admit(&delivery, Some(&again)), Ok(&again));
        let off = Endpoint {
            disabled: true,
            ..again
        };
        assert_eq!(admit(&delivery, Some(&off)), Err(disabled));
    }

    #[test]
    fn an_unverified_endpoint_is_sent_a_challenge_only() {
        let mut endpoint = samples::endpoint();
        let mut delivery = samples::delivery(endpoint.id);
        let mut challenge = samples::challenge(endpoint.id);
        for cause in Cause::ALL {
            (delivery.cause, challenge.cause) = (*cause, *cause);
            endpoint.verification = Verification::Pending;
            assert_eq!(admit(&delivery, Some(&endpoint)), Err(End::UNVERIFIED));
            assert_eq!(admit(&challenge, Some(&endpoint)), Ok(&endpoint));
            endpoint.verification = Verification::Verified;
            assert_eq!(admit(&delivery, Some(&endpoint)), Ok(&endpoint));
        }
    }

    #[test]
    fn a_deleted_endpoint_cancels() {
        let delivery = samples::delivery(domain::EndpointId::new());
        let deleted = End::cancelled(EndedReason::EndpointDeleted);
        assert_eq!(admit(&delivery, None), Err(deleted));
    }
}

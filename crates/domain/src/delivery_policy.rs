//! How an endpoint's owner wants its deliveries to be made. What is not said is
//! as in the rest of the deployment.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::custom_headers::SealedHeaders;
use crate::event;
use crate::problem::FieldViolation;
use crate::retry::{Schedule, format_duration, parse_duration};

/// No exchange with an endpoint takes longer.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(*TIMEOUT_SECONDS.end());

/// Seconds for one attempt, the whole exchange.
const TIMEOUT_SECONDS: RangeInclusive<u64> = 1..=30;

/// POSTs in flight at once.
const CONCURRENCY: RangeInclusive<i64> = 1..=256;

/// A retry schedule has at most this many delays.
const MAX_DELAYS: usize = 20;

/// One delay of a retry schedule.
const DELAY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// So much of a delay that is none is shown again.
const SHOWN_CHARS: usize = 40;

/// What holds for one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPolicy {
    /// `None`: the deployment's. Without delays nothing is tried again.
    pub retry_schedule: Option<Schedule>,
    /// For the whole exchange, whole seconds; `None`: the deployment's.
    pub timeout: Option<Duration>,
    /// POSTs in flight at once; `None`: the deployment's limit.
    pub max_concurrency: Option<u32>,
    /// What every request carries besides Postrider's own headers.
    pub headers: Option<SealedHeaders>,
    /// Whether requests carry a W3C `traceparent`.
    pub send_traceparent: bool,
}

impl Default for DeliveryPolicy {
    fn default() -> Self {
        Self {
            retry_schedule: None,
            timeout: None,
            max_concurrency: None,
            headers: None,
            send_traceparent: true,
        }
    }
}

impl DeliveryPolicy {
    /// The timeout in seconds, if there is one.
    #[must_use]
    pub fn timeout_seconds(&self) -> Option<u32> {
        // At most 30.
        self.timeout.and_then(|it| u32::try_from(it.as_secs()).ok())
    }

    /// The policy after a change.
    pub fn apply(&mut self, change: &DeliveryPolicyChange) {
        if let Some(schedule) = &change.retry_schedule {
            self.retry_schedule.clone_from(schedule);
        }
        if let Some(timeout) = change.timeout {
            self.timeout = timeout;
        }
        if let Some(limit) = change.max_concurrency {
            self.max_concurrency = limit;
        }
        if let Some(headers) = &change.headers {
            self.headers.clone_from(headers);
        }
        if let Some(send) = change.send_traceparent {
            self.send_traceparent = send;
        }
    }
}

/// What is to change; `None` is left as it is, `Some(None)` is cleared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryPolicyChange {
    pub retry_schedule: Option<Option<Schedule>>,
    pub timeout: Option<Option<Duration>>,
    pub max_concurrency: Option<Option<u32>>,
    pub headers: Option<Option<SealedHeaders>>,
    pub send_traceparent: Option<bool>,
}

/// Checks the delays of a retry schedule, e.g. `["5s", "2min"]`: at most 20,
/// each from 1 s to 24 h, together at most as long as events are kept, so that
/// the last attempt still finds its body.
///
/// # Errors
///
/// On the field `retry_schedule`.
pub fn check_retry_schedule<'a>(
    delays: impl IntoIterator<Item = &'a str>,
) -> Result<Schedule, FieldViolation> {
    let fault = |message: String| FieldViolation::new("retry_schedule", message);
    let mut checked = Vec::new();
    for text in delays {
        let delay = parse_duration(text).ok().filter(|it| DELAY.contains(it));
        let delay = delay.ok_or_else(|| {
            let shown: String = text.chars().take(SHOWN_CHARS).collect();
            fault(format!(
                "{shown:?} is not a delay from 1s to 24h; write a whole number and one of s, \
                 min, h, e.g. 30s"
            ))
        })?;
        checked.push(delay);
    }
    if checked.len() > MAX_DELAYS {
        return Err(fault(format!("use at most {MAX_DELAYS} delays")));
    }
    let schedule = Schedule::from_iter(checked);
    if schedule.total() > event::RETENTION {
        return Err(fault(format!(
            "all delays together are longer than {}, for which events are kept; use fewer or \
             shorter ones",
            format_duration(event::RETENTION)
        )));
    }
    Ok(schedule)
}

/// Checks the limit of one attempt in whole seconds.
///
/// # Errors
///
/// On the field `timeout_seconds`.
pub fn check_timeout(seconds: i64) -> Result<Duration, FieldViolation> {
    let seconds = u64::try_from(seconds)
        .ok()
        .filter(|it| TIMEOUT_SECONDS.contains(it));
    seconds.map(Duration::from_secs).ok_or_else(|| {
        FieldViolation::new(
            "timeout_seconds",
            "use a whole number of seconds from 1 to 30, or null for the deployment's timeout",
        )
    })
}

/// Checks how many POSTs may be in flight at once.
///
/// # Errors
///
/// On the field `max_concurrency`.
pub fn check_max_concurrency(count: i64) -> Result<u32, FieldViolation> {
    let count = u32::try_from(count)
        .ok()
        .filter(|_| CONCURRENCY.contains(&count));
    count.ok_or_else(|| {
        FieldViolation::new(
            "max_concurrency",
            "use a whole number of requests at once from 1 to 256, or null for the deployment's \
             limit",
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_bounded_in_number_length_and_sum() {
        let check = |delays: &[&str]| check_retry_schedule(delays.iter().copied());
        assert_eq!(check(&[]).unwrap().delays().len(), 0);
        assert_eq!(check(&["1s", "24h"]).unwrap().to_string(), "1s,1d");
        assert!(check(&["24h"; 7]).is_ok());
        assert!(check(&["1s"; 20]).is_ok());
        let long = "9".repeat(10_000);
        for wrong in [
            &["24h"; 8][..],
            &["1s"; 21],
            &["5s", "999ms"],
            &["25h"],
            &["5"],
            &[""],
            &["\n5s,5s\u{7}"],
            &[&long],
        ] {
            let violation = check(wrong).unwrap_err();
            assert_eq!(violation.field, "retry_schedule");
            assert!(violation.message.len() < 200, "{}", violation.message);
        }
    }

    #[test]
    fn numbers_are_within_their_ranges() {
        assert_eq!(check_timeout(1), Ok(Duration::from_secs(1)));
        assert_eq!(check_timeout(30), Ok(MAX_TIMEOUT));
        assert_eq!(check_max_concurrency(1), Ok(1));
        assert_eq!(check_max_concurrency(256), Ok(256));
        for wrong in [i64::MIN, -1, 0, 31, i64::MAX] {
            assert_eq!(check_timeout(wrong).unwrap_err().field, "timeout_seconds");
        }
        for wrong in [i64::MIN, -1, 0, 257, i64::MAX] {
            let violation = check_max_concurrency(wrong).unwrap_err();
            assert_eq!(violation.field, "max_concurrency");
        }
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let schedule: Schedule = "1s".parse().unwrap();
        let mut policy = DeliveryPolicy::default();
        policy.apply(&DeliveryPolicyChange {
            retry_schedule: Some(Some(schedule.clone())),
            timeout: Some(Some(MAX_TIMEOUT)),
            max_concurrency: Some(Some(7)),
            send_traceparent: Some(false),
            ..DeliveryPolicyChange::default()
        });
        let set = policy.clone();
        policy.apply(&DeliveryPolicyChange::default());
        assert_eq!(policy, set);
        assert_eq!(policy.retry_schedule, Some(schedule));
        policy.apply(&DeliveryPolicyChange {
            retry_schedule: Some(None),
            timeout: Some(None),
            max_concurrency: Some(None),
            headers: Some(None),
            send_traceparent: Some(true),
        });
        assert_eq!(policy, DeliveryPolicy::default());
    }
}

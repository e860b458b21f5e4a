//! When to try again.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::Timestamp;

/// `Retry-After` is honoured up to this.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// A delay grows by up to this part of itself, so that failures that began
/// together do not come back together.
const JITTER: f64 = 0.2;

/// The units of a duration, the longest first.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("min", 60_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The delays between attempts: n delays make n + 1 attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Vec<Duration>);

/// The text is not a duration or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseDurationError {
    /// Not a whole number with a unit.
    #[error("{0:?} is not a duration; write a whole number and one of ms, s, min, h, d, e.g. 30s")]
    Malformed(String),
    /// A schedule's delay must be within 1 ms and 30 days.
    #[error("a delay is from 1ms to 30d, and {0:?} is not")]
    OutOfRange(String),
    /// Too many delays.
    #[error("a retry schedule has at most 100 delays")]
    TooMany,
}

impl Schedule {
    /// The delay before the attempt after `attempt_number` (from 1), or `None`
    /// if that was the last. `jitter` is a random number from 0 to 1. The
    /// endpoint's `Retry-After` makes the wait longer, never shorter.
    #[must_use]
    pub fn delay_after(
        &self,
        attempt_number: u32,
        retry_after: Option<Duration>,
        jitter: f64,
    ) -> Option<Duration> {
        let index = usize::try_from(attempt_number.checked_sub(1)?).ok()?;
        let asked = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
        let delay = (*self.0.get(index)?).max(asked);
        Some(delay.mul_f64(1.0 + JITTER * jitter.clamp(0.0, 1.0)))
    }

    /// The sum of all delays, without jitter.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.0.iter().sum()
    }

    /// The delays.
    #[must_use]
    pub fn delays(&self) -> &[Duration] {
        &self.0
    }
}

impl Default for Schedule {
    /// 5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 6 h, 12 h, 24 h.
    fn default() -> Self {
        let seconds = [5, 30, 120, 600, 1_800, 7_200, 21_600, 43_200, 86_400];
        Self(seconds.map(Duration::from_secs).to_vec())
    }
}

impl FromIterator<Duration> for Schedule {
    /// The schedule of these delays; what reads them sees to their limits.
    fn from_iter<T: IntoIterator<Item = Duration>>(delays: T) -> Self {
        Self(delays.into_iter().collect())
    }
}

impl FromStr for Schedule {
    type Err = ParseDurationError;

    /// Reads delays separated by commas; the empty text is no retry at all.
    fn from_str(text: &str) -> Result<Self, ParseDurationError> {
        if text.trim().is_empty() {
            return Ok(Self(Vec::new()));
        }
        let delays = text.split(',').map(|part| {
            let delay = parse_duration(part)?;
            let range = Duration::from_millis(1)..=Duration::from_secs(30 * 86_400);
            if range.contains(&delay) {
                Ok(delay)
            } else {
                Err(ParseDurationError::OutOfRange(part.trim().to_owned()))
            }
        });
        let delays = delays.collect::<Result<Vec<_>, _>>()?;
        if delays.len() > 100 {
            Err(ParseDurationError::TooMany)
        } else {
            Ok(Self(delays))
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delays: Vec<String> = self.0.iter().copied().map(format_duration).collect();
        f.write_str(&delays.join(","))
    }
}

/// Reads a whole number and a unit: `ms`, `s`, `min` (or `m`), `h`, `d`.
///
/// # Errors
///
/// [`ParseDurationError::Malformed`].
pub fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    let trimmed = text.trim();
    let malformed = || ParseDurationError::Malformed(trimmed.to_owned());
    let end = trimmed
        .find(|character: char| !character.is_ascii_digit())
        .ok_or_else(malformed)?;
    let (number, unit) = trimmed.split_at(end);
    let number: u64 = number.parse().map_err(|_| malformed())?;
    let (_, millis) = UNITS
        .iter()
        .find(|(name, _)| *name == unit.trim_start())
        .ok_or_else(malformed)?;
    number
        .checked_mul(*millis)
        .map(Duration::from_millis)
        .ok_or_else(malformed)
}

/// Writes a duration in the longest unit that leaves a whole number.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let (unit, size) = UNITS
        .iter()
        .find(|(_, size)| millis % size == 0)
        .expect("every number is whole in milliseconds");
    format!("{}{unit}", millis / size)
}

/// Reads the value of a `Retry-After` header (RFC 9110, section 10.2.3): whole
/// seconds or an HTTP date. An instant that is past is no wait; the result is
/// at most [`MAX_RETRY_AFTER`].
#[must_use]
pub fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        Timestamp::from(httpdate::parse_http_date(value).ok()?).since(now)
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn n_delays_make_n_plus_one_attempts() {
        let schedule: Schedule = "5s,30s".parse().unwrap();
        assert_eq!(schedule.delay_after(1, None, 0.0), Some(5 * SECOND));
        assert_eq!(schedule.delay_after(2, None, 1.0), Some(36 * SECOND));
        assert_eq!(schedule.delay_after(3, None, 0.0), None);
        assert_eq!(schedule.delay_after(0, None, 0.0), None);
    }

    #[test]
    fn an_endpoint_may_ask_for_a_longer_wait() {
        let schedule: Schedule = "5s".parse().unwrap();
        assert_eq!(
            schedule.delay_after(1, Some(60 * SECOND), 0.0),
            Some(60 * SECOND)
        );
        assert_eq!(schedule.delay_after(1, Some(SECOND), 0.0), Some(5 * SECOND));
        let day = Duration::from_secs(86_400);
        assert_eq!(schedule.delay_after(1, Some(30 * day), 0.0), Some(day));
        assert_eq!(schedule.delay_after(2, Some(SECOND), 0.0), None);
    }

    #[test]
    fn a_schedule_reads_what_it_writes() {
        let text = "5s,30s,2min,10min,30min,2h,6h,12h,1d";
        assert_eq!(Schedule::default().to_string(), text);
        assert_eq!(text.parse(), Ok(Schedule::default()));
        assert_eq!(
            "5000ms, 30 s,2m".parse::<Schedule>().unwrap().to_string(),
            "5s,30s,2min"
        );
        assert_eq!("".parse::<Schedule>().unwrap().delays().len(), 0);
        for wrong in [
            "5",
            "s",
            "-5s",
            "5 parsecs",
            "5s,",
            "0s",
            "31d",
            "99999999999999999999d",
        ] {
            assert!(wrong.parse::<Schedule>().is_err(), "{wrong}");
        }
        assert_eq!(
            vec!["1s"; 101].join(",").parse::<Schedule>(),
            Err(ParseDurationError::TooMany)
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::from_unix_millis(784_111_777_000);
        assert_eq!(parse_retry_after("120", now), Some(120 * SECOND));
        assert_eq!(
            parse_retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now),
            Some(10 * SECOND)
        );
        assert_eq!(
            parse_retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(
            parse_retry_after("99999999999999999999999", now),
            Some(MAX_RETRY_AFTER)
        );
        for wrong in ["", "-1", "1.5", "soon"] {
            assert_eq!(parse_retry_after(wrong, now), None, "{wrong}");
        }
    }
}

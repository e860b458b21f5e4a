//! Instants in Unix milliseconds.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An instant, in whole milliseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `millis` after 1970 UTC.
    #[must_use]
    pub const fn from_unix_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970 UTC.
    #[must_use]
    pub const fn unix_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970 UTC, rounded down.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The instant `after` later.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(after.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// The instant `before` earlier.
    #[must_use]
    pub fn minus(self, before: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(before.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// How long after `earlier` this is, zero if it is before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC with milliseconds, e.g. `2026-05-13T12:54:54.719Z`.
    /// Years outside 0 to 9999 are shown as the nearest one inside.
    #[must_use]
    pub fn rfc3339(self) -> String {
        const FORMAT: &[time::format_description::BorrowedFormatItem<'_>] = time::macros::format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        let millis = self.0.clamp(-62_167_219_200_000, 253_402_300_799_999);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
            .expect("the clamp keeps it within four-digit years")
            .format(FORMAT)
            .expect("every field of the format exists")
    }

    /// Reads RFC 3339, any offset; what is finer than a millisecond is cut.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let instant = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(instant.unix_timestamp_nanos().div_euclid(1_000_000))
            .ok()
            .map(Self)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let millis = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_millis()).map_or(i64::MIN, i64::wrapping_neg)
            }
        };
        Self(millis)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_is_utc_with_milliseconds() {
        let at = Timestamp::from_unix_millis(1_778_676_894_719);
        assert_eq!(at.rfc3339(), "2026-05-13T12:54:54.719Z");
        assert_eq!(
            Timestamp::parse_rfc3339("2026-05-13T12:54:54.719Z"),
            Some(at)
        );
        assert_eq!(
            Timestamp::parse_rfc3339("2026-05-13T18:24:54.7199+05:30"),
            Some(at)
        );
        assert_eq!(Timestamp::parse_rfc3339("2026-05-13"), None);
        assert_eq!(Timestamp::parse_rfc3339(""), None);
        assert_eq!(
            Timestamp::from_unix_millis(i64::MAX).rfc3339(),
            "9999-12-31T23:59:59.999Z"
        );
        assert_eq!(
            Timestamp::from_unix_millis(i64::MIN).rfc3339(),
            "0000-01-01T00:00:00.000Z"
        );
    }

    #[test]
    fn differences_do_not_go_below_zero() {
        let early = Timestamp::from_unix_millis(1_000);
        let late = early.plus(Duration::from_secs(2));
        assert_eq!(late.since(early), Duration::from_secs(2));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late.unix_seconds(), 3);
        assert_eq!(Timestamp::from_unix_millis(-1).unix_seconds(), -1);
    }
}

//! The tables of a day: PostgreSQL has one for each day (UTC) of what grows,
//! made ahead, or when something of that day is told. SQLite has no such.

use std::collections::BTreeSet;

use domain::Timestamp;

use super::History;
use crate::Error;
use crate::pool::{Engine, bounded};

const DAY_MS: i64 = 86_400_000;

/// Of the year 9999: later ones have no name in eight digits.
const LAST: i64 = 2_932_896;

/// A day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    /// The day of an instant.
    #[must_use]
    pub const fn of(at: Timestamp) -> Self {
        Self(at.unix_millis().div_euclid(DAY_MS))
    }

    /// When it begins.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        Timestamp::from_unix_millis(self.0.saturating_mul(DAY_MS))
    }

    /// The day that comes `days` later.
    #[must_use]
    pub const fn plus(self, days: i64) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// So many days after 1970-01-01.
    pub(super) const fn numbered(number: i64) -> Self {
        Self(number)
    }

    /// See [`Day::numbered`].
    pub(super) const fn number(self) -> i64 {
        self.0
    }

    /// Eight digits, as its tables are named.
    pub(super) fn digits(self) -> String {
        self.start().rfc3339().replace('-', "")[..8].to_owned()
    }
}

/// Tables that are divided by day, in the order in which they are made and
/// dropped.
pub(super) const OF_EVENTS: [&str; 3] = ["events", "event_tags", "plans"];
pub(super) const OF_RECORDS: [&str; 3] = ["not_sent", "deliveries", "attempts"];

impl History {
    /// Makes the tables of days, where they are missing. Nobody is locked out.
    ///
    /// # Errors
    ///
    /// An outage, or a refusal of days before 1970 or after 9999.
    pub async fn make_days(&self, days: &BTreeSet<Day>) -> Result<(), Error> {
        let Engine::Postgres(pool) = &self.pool.0 else {
            return Ok(());
        };
        if days.iter().any(|day| !(0..=LAST).contains(&day.0)) {
            return Err(Error::Refused("no clock is that wrong".to_owned()));
        }
        let tables: Vec<&str> = OF_EVENTS.into_iter().chain(OF_RECORDS).collect();
        let numbers: Vec<i64> = days.iter().map(|day| day.0).collect();
        bounded(async {
            sqlx::query(
                "SELECT make_day(divided, day) FROM UNNEST($1::text[]) AS divided \
                 CROSS JOIN UNNEST($2::bigint[]) AS day",
            )
            .bind(tables)
            .bind(numbers)
            .execute(pool)
            .await?;
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_named_by_its_date() {
        let at = Timestamp::from_unix_millis(1_747_147_674_000);
        assert_eq!(Day::of(at).digits(), "20250513");
        assert_eq!(Day::of(Day::of(at).start()), Day::of(at));
        assert_eq!(Day::of(at).plus(-13).digits(), "20250430");
    }
}

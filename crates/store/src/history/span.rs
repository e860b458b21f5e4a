//! Where in time to look.

use std::collections::HashSet;
use std::time::SystemTime;

use domain::page::Cursor;
use domain::{AccountId, Timestamp};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::History;
use super::closed::DayKey;
use super::days::Day;
use super::page::{Found, is_backwards};
use crate::Error;
use crate::bulk;
use crate::pool::Engine;

/// An id is made in the moment of its row's instant, give or take this.
const SLACK_MS: i64 = 3_600_000;

/// A question about so few days is planned for each call.
const SHORT_MS: i64 = 2 * DAY_MS;

const DAY_MS: i64 = 86_400_000;

/// How far from its beginning a list is looked for, part by part; what lies beyond
/// is the last part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach<'a> {
    /// In Unix milliseconds.
    distances: &'static [i64],
    /// So many parts one after the other, since most pages are full after them; the
    /// others at once. A day's table where there is nothing takes a read of the disk
    /// to know, and one after the other those of ninety days are what takes long.
    in_turn: usize,
    /// What is looked for has it: behind the nearest part closed days without it at the
    /// ends of a part are not asked.
    key: Option<DayKey<'a>>,
}

const DISTANCES_MS: [i64; 6] = [
    2 * DAY_MS,
    16 * DAY_MS,
    32 * DAY_MS,
    48 * DAY_MS,
    64 * DAY_MS,
    80 * DAY_MS,
];

impl<'a> Reach<'a> {
    /// Of a list that has something on most days.
    pub(super) const OF_MANY: Self = Self {
        distances: &DISTANCES_MS,
        in_turn: 2,
        key: None,
    };
    /// Where a day holds little.
    pub(super) const OF_FEW: Self = Self {
        distances: DISTANCES_MS.split_at(1).1,
        in_turn: 1,
        key: None,
    };
    /// Of something that is on one day or two.
    pub(super) const OF_ONE: Self = Self {
        in_turn: 0,
        ..Self::OF_FEW
    };
    /// What is known to be near, or is in memory wherever it is.
    pub(super) const OF_ALL: Self = Self {
        distances: &[],
        in_turn: 0,
        key: None,
    };

    /// The same for what has this key.
    pub(super) const fn of(self, key: DayKey<'a>) -> Self {
        Self {
            key: Some(key),
            ..self
        }
    }
}

/// Instants from the first to the last, in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Span {
    /// From the first of these instants to the last; `None` of none.
    pub(super) fn of(instants: impl Iterator<Item = i64> + Clone) -> Option<Self> {
        let first = instants.clone().min()?;
        let last = instants.max()?;
        Some(Self { first, last })
    }

    /// Around the time that a UUIDv7 holds; another kind of id holds none.
    pub(super) fn near(id: Uuid) -> Option<Self> {
        let (seconds, nanos) = id.get_timestamp()?.to_unix();
        if id.get_version_num() != 7 {
            return None;
        }
        let at = i64::try_from(seconds).ok()? * 1_000 + i64::from(nanos / 1_000_000);
        Some(Self {
            first: at - SLACK_MS,
            last: at + SLACK_MS,
        })
    }

    /// Conditions on `column`, the instant of the row that an id names: where it most
    /// likely is, then none.
    pub(super) fn guesses(id: Uuid, column: &str) -> impl Iterator<Item = Guess> {
        let near = Self::near(id).map(|near| Guess {
            bounds: near.literal(column),
            is_everywhere: false,
        });
        let everywhere = Guess {
            bounds: String::new(),
            is_everywhere: true,
        };
        near.into_iter().chain([everywhere])
    }

    /// The condition that `column` lies in it, for a question that is planned for
    /// this call alone. PostgreSQL plans a question once for each connection over the
    /// tables of all days, and again whenever one of them was vacuumed, which takes ten
    /// times as long as answering; over the few tables of literal bounds it takes as
    /// long as answering.
    pub(super) fn literal(self, column: &str) -> String {
        let Self { first, last } = self;
        format!(" AND {column} >= {first} AND {column} <= {last}")
    }

    /// Whether a question about it has literal bounds: then its text is not worth to
    /// be kept.
    pub(super) const fn is_short(self) -> bool {
        self.last.saturating_sub(self.first) <= SHORT_MS
    }

    /// So much of it, from its first instant on, that a question about it is short.
    pub(super) fn first_days(self) -> Self {
        let last = self.first.saturating_add(SHORT_MS).min(self.last);
        Self { last, ..self }
    }

    /// What is left of it without the days `without` at its ends; `None` of nothing.
    pub(super) fn within_days(self, without: &HashSet<Day>) -> Option<Self> {
        let Self {
            mut first,
            mut last,
        } = self;
        let day = |at: i64| Day::of(Timestamp::from_unix_millis(at));
        while first <= last && without.contains(&day(first)) {
            first = day(first).plus(1).start().unix_millis();
        }
        while first <= last && without.contains(&day(last)) {
            last = day(last).start().unix_millis() - 1;
        }
        (first <= last).then_some(Self { first, last })
    }

    /// What of it lies beyond a cursor, the cursor's instant included.
    pub(super) fn beyond(self, cursor: Option<&Cursor>) -> Self {
        let Some(at) = cursor.map(|cursor| cursor.at) else {
            return self;
        };
        if is_backwards(cursor) {
            let first = self.first.max(at);
            Self { first, ..self }
        } else {
            let last = self.last.min(at);
            Self { last, ..self }
        }
    }

    /// Its parts one after the other, from where a list through it begins: at
    /// `now` or before, or `backwards` from its first instant on, and so far. Before a row
    /// is read PostgreSQL opens every day's table that may have one, and most
    /// pages are full after a few.
    fn parts(self, backwards: bool, now: i64, distances: &[i64]) -> Vec<Self> {
        let begin = if backwards {
            self.first
        } else {
            self.last.min(now)
        };
        let (mut parts, mut rest) = (Vec::new(), self);
        for &distance in distances {
            let (part, beyond) = if backwards {
                let last = begin.saturating_add(distance);
                let first = last.saturating_add(1);
                (Self { last, ..rest }, Self { first, ..rest })
            } else {
                let first = begin.saturating_sub(distance);
                let last = first.saturating_sub(1);
                (Self { first, ..rest }, Self { last, ..rest })
            };
            if beyond.first > beyond.last {
                break;
            }
            parts.push(part);
            rest = beyond;
        }
        parts.push(rest);
        parts
    }
}

/// Where to look for a row.
#[derive(Debug)]
pub(super) struct Guess {
    /// The end of a condition, with literals.
    pub(super) bounds: String,
    /// Then the text is always the same, and worth to be kept.
    pub(super) is_everywhere: bool,
}

impl History {
    /// A page of what lies in a span beyond a cursor. `ask` answers for a part of it,
    /// nearest first, with at most so many rows. There is one part with SQLite.
    ///
    /// # Errors
    ///
    /// Those of `ask`.
    pub(super) async fn page<T, F>(
        &self,
        span: Span,
        cursor: Option<&Cursor>,
        reach: Reach<'_>,
        limit: usize,
        ask: impl Fn(Span, usize) -> F,
    ) -> Result<Found<T>, Error>
    where
        F: Future<Output = Result<Found<T>, Error>>,
    {
        let mut near = match self.pool.0 {
            Engine::Postgres(_) => {
                let now = Timestamp::from(SystemTime::now());
                span.parts(is_backwards(cursor), now.unix_millis(), reach.distances)
            }
            Engine::Sqlite { .. } => vec![span],
        };
        let mut page = Found::default();
        let mut far = near.split_off(near.len().min(reach.in_turn.min(1)));
        if self.one_by_one(near, &mut page, limit, &ask).await? {
            return Ok(page);
        }
        if let Some(key) = reach.key {
            far = self.that_may_have(key, far).await?;
        }
        let farthest = far.split_off(far.len().min(reach.in_turn.saturating_sub(1)));
        if self.one_by_one(far, &mut page, limit, &ask).await? {
            return Ok(page);
        }
        let lacking = limit - page.rows.len();
        let asked = farthest.into_iter().map(|part| ask(part, lacking));
        for more in self.beside.all(asked.collect()).await? {
            if page.is_ended_by(more, limit) {
                break;
            }
        }
        Ok(page)
    }

    /// Asks for parts one after the other; gives whether that was the end of the page.
    async fn one_by_one<T, F>(
        &self,
        parts: Vec<Span>,
        page: &mut Found<T>,
        limit: usize,
        ask: impl Fn(Span, usize) -> F,
    ) -> Result<bool, Error>
    where
        F: Future<Output = Result<Found<T>, Error>>,
    {
        for part in parts {
            let more = ask(part, limit - page.rows.len()).await?;
            if page.is_ended_by(more, limit) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The row of an account that an id names. `text` asks for the id `$1` and the
    /// account `$2`; `instant` is the column of the row's instant.
    ///
    /// # Errors
    ///
    /// An outage.
    pub(super) async fn named<T: bulk::Found>(
        &self,
        text: &str,
        instant: &str,
        account: &AccountId,
        id: Uuid,
    ) -> Result<Option<T>, Error> {
        for guess in Span::guesses(id, instant) {
            let text = format!("{text}{}", guess.bounds);
            let found = reading!(self.pool, connection => {
                Ok(sqlx::query_as(AssertSqlSafe(text))
                    .bind(id)
                    .bind(account.as_str())
                    .persistent(guess.is_everywhere)
                    .fetch_optional(&mut *connection)
                    .await?)
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_of_version_7_tells_when_it_was_made() {
        let at = 1_747_147_674_123_u64;
        let id = uuid::Builder::from_unix_timestamp_millis(at, &[7; 10]).into_uuid();
        let at = i64::try_from(at).unwrap_or_default();
        let span = Span::near(id);
        assert!(span.is_some_and(|span| span.first < at && at < span.last));
        let guesses: Vec<Guess> = Span::guesses(id, "at").collect();
        let near = " AND at >= 1747144074123 AND at <= 1747151274123";
        let bounds: Vec<&str> = guesses.iter().map(|guess| guess.bounds.as_str()).collect();
        assert_eq!(bounds, [near, ""]);
        assert!(!guesses[0].is_everywhere && guesses[1].is_everywhere);
    }

    #[test]
    fn another_kind_may_be_of_any_time() {
        let derived = Uuid::new_v5(&Uuid::nil(), b"operational");
        let guesses: Vec<Guess> = Span::guesses(derived, "at").collect();
        assert!(guesses.len() == 1 && guesses[0].is_everywhere);
    }

    #[test]
    fn bounds_are_literals_where_they_are_few_days_apart() {
        let short = Span {
            first: 0,
            last: SHORT_MS,
        };
        let more = Span {
            last: SHORT_MS + 1,
            ..short
        };
        assert!(short.is_short());
        let all = Span {
            first: i64::MIN,
            last: i64::MAX,
        };
        for long in [more, all] {
            assert!(!long.is_short());
        }
    }

    #[test]
    fn days_at_its_ends_go_and_others_stay() {
        let day = |number: i64| number * DAY_MS;
        let span = |first, last| Span { first, last };
        let without: HashSet<Day> = [3, 4, 6, 8, 9].map(Day::numbered).into();
        let left = |first, last| span(first, last).within_days(&without);
        assert_eq!(left(day(3), day(5) - 1), None);
        assert_eq!(left(day(3) + 7, day(3) + 9), None);
        assert_eq!(
            left(day(3) + 7, day(10) - 1),
            Some(span(day(5), day(8) - 1)),
            "one within stays"
        );
        assert_eq!(left(day(5) + 7, day(6)), Some(span(day(5) + 7, day(6) - 1)));
        assert_eq!(left(i64::MIN, day(4)), Some(span(i64::MIN, day(3) - 1)));
        assert_eq!(left(day(8), i64::MAX), Some(span(day(10), i64::MAX)));
        assert_eq!(left(day(1), day(2)), Some(span(day(1), day(2))));
    }

    #[test]
    fn the_parts_of_a_span_are_all_of_it() {
        let now = 100 * DAY_MS;
        let spans = [
            (0, now, 3),
            (0, i64::MAX, 3),
            (i64::MIN, i64::MAX, 3),
            (now - DAY_MS, i64::MAX, 1),
            (now - 5 * DAY_MS, now, 2),
            (now + DAY_MS, now + 2 * DAY_MS, 1),
            (5, 4, 1),
        ];
        for (first, last, count) in spans {
            let span = Span { first, last };
            for backwards in [false, true] {
                let mut parts = span.parts(backwards, now, &DISTANCES_MS[..2]);
                if !backwards {
                    assert_eq!(parts.len(), count, "{span:?}");
                    parts.reverse();
                }
                assert_eq!(parts.first().map(|part| part.first), Some(first));
                assert_eq!(parts.last().map(|part| part.last), Some(last));
                for pair in parts.windows(2) {
                    assert_eq!(pair[0].last + 1, pair[1].first, "{span:?}");
                }
            }
        }
    }
}

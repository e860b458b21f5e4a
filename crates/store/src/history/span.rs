//! Where in time to look.

use std::sync::Arc;

use domain::AccountId;
use domain::page::Cursor;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::History;
use super::page::is_backwards;
use crate::Error;
use crate::bulk::Found;

/// An id is made in the moment of its row's instant, give or take this.
const SLACK_MS: i64 = 3_600_000;

/// How far from its beginning a list is looked for first, and how far then.
const REACHES_MS: [i64; 2] = [2 * DAY_MS, 16 * DAY_MS];
const DAY_MS: i64 = 86_400_000;

/// Instants from the first to the last, in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Span {
    pub(super) const ALL: Self = Self {
        first: i64::MIN,
        last: i64::MAX,
    };

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

    /// Where the row of an id most likely is, then everywhere.
    pub(super) fn guesses(id: Uuid) -> impl Iterator<Item = Self> {
        Self::near(id).into_iter().chain([Self::ALL])
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
    /// `now` or before, or `backwards` from its first instant on. Before a row
    /// is read PostgreSQL opens every day's table that may have one, and most
    /// pages are full after a few.
    pub(super) fn parts(self, backwards: bool, now: i64) -> Vec<Self> {
        let begin = if backwards {
            self.first
        } else {
            self.last.min(now)
        };
        let (mut parts, mut rest) = (Vec::new(), self);
        for reach in REACHES_MS {
            let (part, beyond) = if backwards {
                let last = begin.saturating_add(reach);
                let first = last.saturating_add(1);
                (Self { last, ..rest }, Self { first, ..rest })
            } else {
                let first = begin.saturating_sub(reach);
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

impl History {
    /// The row of an account that an id names. `text` asks for the id `$1` and the
    /// account `$2` between the instants `$3` and `$4`.
    ///
    /// # Errors
    ///
    /// An outage.
    pub(super) async fn named<T: Found>(
        &self,
        text: impl Into<Arc<str>>,
        account: &AccountId,
        id: Uuid,
    ) -> Result<Option<T>, Error> {
        let text = text.into();
        for span in Span::guesses(id) {
            let found = reading!(self.pool, connection => {
                Ok(sqlx::query_as(AssertSqlSafe(Arc::clone(&text)))
                    .bind(id)
                    .bind(account.as_str())
                    .bind(span.first)
                    .bind(span.last)
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
        assert_eq!(Span::guesses(id).count(), 2);
    }

    #[test]
    fn another_kind_may_be_of_any_time() {
        let derived = Uuid::new_v5(&Uuid::nil(), b"operational");
        assert_eq!(Span::guesses(derived).collect::<Vec<_>>(), [Span::ALL]);
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
                let mut parts = span.parts(backwards, now);
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

//! Which days that are over have something of a key: noted once, so that a list of what
//! is on few days asks these alone. SQLite needs none of it.

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::time::Duration;

use domain::{EndpointId, Timestamp};
use sqlx::PgConnection;

use super::History;
use super::days::Day;
use super::span::Span;
use super::turn::Turn;
use crate::Error;
use crate::pool::{Engine, bounded};

/// The table with the keys, divided into so many days each (migration 0018).
pub(super) const KEYS_OF_DAYS: &str = "keys_of_days";
pub(super) const DAYS_OF_KEYS: i64 = 32;

/// Pages of 8 KiB whose keys one statement notes: some thousand keys, each on another
/// page of the index.
const PAGES: i64 = 256;

/// A day with a larger table stays open.
const LARGEST_BYTES: i64 = 4 << 30;

/// What came late opens its day for so long at least: it is noted anew as a whole.
const AGAIN: Duration = Duration::from_secs(86_400);

/// The tables with what keys name, in the order in which they are recorded.
const NOTED: [&str; 2] = ["events", "attempts"];

/// What is on few days.
#[derive(Debug, Clone, Copy)]
pub(super) enum DayKey<'a> {
    /// 32 hex digits.
    Trace(&'a str),
    TypeOfEndpoint(EndpointId, &'a str),
}

impl Display for DayKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trace(trace_id) => f.write_str(trace_id),
            Self::TypeOfEndpoint(endpoint, event_type) => {
                write!(f, "{} {event_type}", endpoint.uuid())
            }
        }
    }
}

impl History {
    /// Notes what the days before yesterday have, at most so many of them, the youngest
    /// first; gives how many. One process does it at a time. Recording goes on, for
    /// these days, too: what comes late opens its day again, and a day that recording is
    /// busy with, or that is too large, is left out.
    ///
    /// # Errors
    ///
    /// An outage; calling again goes on.
    ///
    /// # Cancel safety
    ///
    /// What is noted is noted; calling again goes on.
    pub async fn close_days(&self, now: Timestamp, at_most: u32) -> Result<u64, Error> {
        let Engine::Postgres(pool) = &self.pool.0 else {
            return Ok(0);
        };
        let closed = Turn::CLOSING_DAYS.take(pool, async |connection: &mut PgConnection| {
            let mut closed = 0;
            for day in open_days(connection, now, at_most).await? {
                match close(connection, day, now).await {
                    Ok(is_closed) => closed += u64::from(is_closed),
                    // Its table is locked, or was dropped.
                    Err(Error::Refused(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(closed)
        });
        Ok(closed.await?.unwrap_or_default())
    }

    /// What of these spans there is to be asked for a key, without the days at their ends
    /// that have nothing of it.
    pub(super) async fn that_may_have(
        &self,
        key: DayKey<'_>,
        spans: Vec<Span>,
    ) -> Result<Vec<Span>, Error> {
        let (Engine::Postgres(pool), false) = (&self.pool.0, spans.is_empty()) else {
            return Ok(spans);
        };
        let without: Vec<i64> = bounded(async {
            let without = sqlx::query_scalar(
                "SELECT day FROM closed_days WHERE is_noted AND (SELECT id FROM reopened_days \
                 WHERE reopened_days.day = closed_days.day LIMIT 1) IS NULL \
                 EXCEPT SELECT day FROM keys_of_days WHERE key = hashtextextended($1, 0)",
            );
            Ok(without.bind(key.to_string()).fetch_all(pool).await?)
        })
        .await?;
        let without: HashSet<Day> = without.into_iter().map(Day::numbered).collect();
        let within = spans.into_iter().map(|span| span.within_days(&without));
        Ok(within.flatten().collect())
    }
}

/// Days that have attempts and are not noted, or not any more.
async fn open_days(
    connection: &mut PgConnection,
    now: Timestamp,
    at_most: u32,
) -> Result<Vec<i64>, Error> {
    bounded(async {
        let open = sqlx::query_scalar(
            "SELECT days.day FROM (SELECT (to_date(right(relname, 8), 'YYYYMMDD') \
             - DATE '1970-01-01')::bigint AS day \
             FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid \
             WHERE inhparent = 'attempts'::regclass AND relname ~ '^attempts_[0-9]{8}$') AS days \
             LEFT JOIN closed_days AS closed ON closed.day = days.day \
             WHERE days.day < $1 AND files_of_day(days.day, $2) IS NOT NULL \
             AND (closed.is_noted IS NOT TRUE OR closed.noted_at < $3 \
             AND EXISTS (SELECT FROM reopened_days WHERE reopened_days.day = days.day)) \
             ORDER BY days.day DESC LIMIT $4",
        );
        let open = open
            .bind(Day::of(now).plus(-1).number())
            .bind(LARGEST_BYTES)
            .bind(now.minus(AGAIN).unix_millis())
            .bind(i64::from(at_most));
        Ok(open.fetch_all(&mut *connection).await?)
    })
    .await
}

/// Notes a day's keys; gives whether it could.
async fn close(connection: &mut PgConnection, day: i64, now: Timestamp) -> Result<bool, Error> {
    let files = files_of(connection, day).await?;
    bounded(async {
        let begin = sqlx::query(
            "INSERT INTO closed_days (day, is_noted, noted_at) VALUES ($1, FALSE, $2) \
             ON CONFLICT (day) DO UPDATE SET is_noted = FALSE, noted_at = excluded.noted_at",
        );
        let begin = begin.bind(day).bind(now.unix_millis());
        begin.execute(&mut *connection).await?;
        // What made these is committed and will be noted; the next ones stay.
        for begin in [
            "DELETE FROM reopened_days WHERE day = $1",
            "SELECT make_keys($1)",
        ] {
            sqlx::query(begin)
                .bind(day)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    })
    .await?;
    for divided in NOTED {
        bounded(async {
            let watch = sqlx::query("SELECT watch_day($1, $2)");
            watch
                .bind(divided)
                .bind(day)
                .execute(&mut *connection)
                .await?;
            Ok(())
        })
        .await?;
        let mut page = 0;
        while bounded(async {
            let note = sqlx::query_scalar("SELECT note_keys($1, $2, $3, $4)");
            let note = note.bind(divided).bind(day).bind(page).bind(PAGES);
            Ok(note.fetch_one(&mut *connection).await?)
        })
        .await?
        {
            page += PAGES;
        }
    }
    if files_of(connection, day).await? != files {
        return Ok(false);
    }
    bounded(async {
        let noted = sqlx::query("UPDATE closed_days SET is_noted = TRUE WHERE day = $1");
        let noted = noted.bind(day).execute(&mut *connection).await?;
        Ok(noted.rows_affected() > 0)
    })
    .await
}

async fn files_of(connection: &mut PgConnection, day: i64) -> Result<Option<String>, Error> {
    bounded(async {
        let files = sqlx::query_scalar("SELECT files_of_day($1, $2)");
        let files = files.bind(day).bind(LARGEST_BYTES);
        Ok(files.fetch_one(&mut *connection).await?)
    })
    .await
}

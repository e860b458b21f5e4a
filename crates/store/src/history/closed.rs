//! Which days that are over have something of a key: noted once, so that a list of what
//! is on few days asks these alone. SQLite needs none of it.

use std::collections::HashSet;
use std::fmt::{self, Display};

use domain::EndpointId;
use sqlx::PgPool;

use super::History;
use super::days::Day;
use super::expire::in_turn;
use super::span::Span;
use crate::Error;
use crate::pool::{Engine, bounded};

/// Who closes days holds this advisory lock.
const TURN: i64 = 0x706f_7374_636c_6f73;

/// The table with the keys, divided into so many days each.
pub(super) const KEYS: &str = "keys_of_days";
pub(super) const DAYS_OF_KEYS: i64 = 32;

/// Pages of 8 KiB whose keys one statement notes.
const PAGES: i64 = 2_048;

/// The tables with what keys name, in the order in which they are recorded.
const NOTED: [&str; 2] = ["events", "attempts"];

/// What is on few days.
#[derive(Debug, Clone)]
pub(super) enum Key<'a> {
    /// 32 hex digits.
    Trace(&'a str),
    TypeOfEndpoint(EndpointId, &'a str),
}

impl Display for Key<'_> {
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
    /// Notes what the days before `before` have, at most so many of them, the youngest
    /// first; gives how many. One process does it at a time. Recording goes on, for
    /// these days, too: what comes while a day is noted leaves it for the next call.
    ///
    /// # Errors
    ///
    /// An outage; calling again goes on.
    ///
    /// # Cancel safety
    ///
    /// What is noted is noted; calling again goes on.
    pub async fn close_days(&self, before: Day, at_most: u32) -> Result<u64, Error> {
        let Engine::Postgres(pool) = &self.pool.0 else {
            return Ok(0);
        };
        let closed = in_turn(pool, TURN, async |_| {
            let mut closed = 0;
            for day in open_days(pool, before, at_most).await? {
                closed += u64::from(close(pool, day).await?);
            }
            Ok(closed)
        });
        Ok(closed.await?.unwrap_or_default())
    }

    /// What of these spans there is to be asked for a key, on the days that may have it.
    pub(super) async fn that_may_have(
        &self,
        key: &Key<'_>,
        spans: Vec<Span>,
    ) -> Result<Vec<Span>, Error> {
        let (Engine::Postgres(pool), false) = (&self.pool.0, spans.is_empty()) else {
            return Ok(spans);
        };
        let without: Vec<i64> = bounded(async {
            let without = sqlx::query_scalar(
                "SELECT day FROM closed_days WHERE is_noted \
                 EXCEPT SELECT day FROM reopened_days \
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

/// Days that have attempts and are not noted.
async fn open_days(pool: &PgPool, before: Day, at_most: u32) -> Result<Vec<i64>, Error> {
    bounded(async {
        let open = sqlx::query_scalar(
            "SELECT day FROM (SELECT (to_date(right(relname, 8), 'YYYYMMDD') - DATE '1970-01-01')::bigint \
             AS day FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid \
             WHERE inhparent = 'attempts'::regclass AND relname ~ '^attempts_[0-9]{8}$') AS days \
             WHERE day < $1 AND day NOT IN (SELECT day FROM closed_days WHERE is_noted \
             EXCEPT SELECT day FROM reopened_days) \
             ORDER BY day DESC LIMIT $2",
        );
        let open = open.bind(before.number()).bind(i64::from(at_most));
        Ok(open.fetch_all(pool).await?)
    })
    .await
}

/// Notes a day's keys; gives whether nothing came meanwhile.
async fn close(pool: &PgPool, day: i64) -> Result<bool, Error> {
    let begins = [
        "INSERT INTO closed_days (day, is_noted) VALUES ($1, FALSE) \
         ON CONFLICT (day) DO UPDATE SET is_noted = FALSE",
        // What made these is committed and will be noted; the next ones stay.
        "DELETE FROM reopened_days WHERE day = $1",
        "SELECT make_keys($1)",
    ];
    for statement in begins {
        bounded(async {
            sqlx::query(statement).bind(day).execute(pool).await?;
            Ok(())
        })
        .await?;
    }
    for divided in NOTED {
        bounded(async {
            let watch = sqlx::query("SELECT watch_day($1, $2)");
            watch.bind(divided).bind(day).execute(pool).await?;
            Ok(())
        })
        .await?;
        let mut page = 0;
        while bounded(async {
            let note = sqlx::query_scalar("SELECT note_keys($1, $2, $3, $4)");
            let note = note.bind(divided).bind(day).bind(page).bind(PAGES);
            Ok(note.fetch_one(pool).await?)
        })
        .await?
        {
            page += PAGES;
        }
    }
    bounded(async {
        let noted = sqlx::query_scalar(
            "UPDATE closed_days SET is_noted = TRUE WHERE day = $1 \
             RETURNING NOT EXISTS (SELECT FROM reopened_days WHERE day = $1)",
        );
        Ok(noted.bind(day).fetch_one(pool).await?)
    })
    .await
}

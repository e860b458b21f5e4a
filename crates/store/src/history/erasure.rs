//! Erasures: asked for, looked up, worked on. Whoever works on one has claimed
//! it for a while: what is written without the claim is not written.

mod account;
mod events;
mod find;

use domain::{AccountId, ErasureId, ErasureMark, ErasureScope, Timestamp};
use uuid::Uuid;

pub use self::find::Pending;
use super::History;
use super::claims::Claimable;
use crate::Error;
use crate::bulk::{Bulk as _, Insert, Rows};
use crate::pool::{Engine, bounded};

const COLUMNS: &str = "id, account, kind, subject, tag_name, tag_value, created_at, ended_at, \
                       progress, events, deliveries, attempts, messages";

const CLAIMABLE: Claimable = Claimable {
    table: "erasures",
    columns: COLUMNS,
};

/// Erasures that are looked at together.
const MAX_OPEN: i64 = 64;

static MARKS: Insert = Insert::new(
    "erased (id, erasure_id, accepted_before, marked_at)",
    "ON CONFLICT DO NOTHING",
);

/// An erasure. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ErasureRow {
    pub id: Uuid,
    pub account: String,
    kind: String,
    subject: Option<Uuid>,
    tag_name: String,
    tag_value: String,
    pub created_at: i64,
    /// `None`: something may be left.
    pub ended_at: Option<i64>,
    /// As it was saved last; empty at first.
    pub progress: String,
    pub events: i64,
    pub deliveries: i64,
    pub attempts: i64,
    pub messages: i64,
}

impl ErasureRow {
    /// What it is about; the tag is empty when it is done.
    ///
    /// # Errors
    ///
    /// When the row cannot be read.
    pub fn scope(&self) -> Result<ErasureScope, Error> {
        match (self.kind.as_str(), self.subject) {
            ("event", Some(id)) => Ok(ErasureScope::Event(domain::EventId::from_uuid(id))),
            ("endpoint", Some(id)) => Ok(ErasureScope::Endpoint(domain::EndpointId::from_uuid(id))),
            ("tag", None) => Ok(ErasureScope::Tag {
                name: self.tag_name.clone(),
                value: self.tag_value.clone(),
            }),
            ("account", None) => Ok(ErasureScope::Account),
            _ => Err(Error::Refused("a stored erasure cannot be read".to_owned())),
        }
    }
}

/// What is gone, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Erased {
    /// Events that lost body and tags, or all.
    pub events: i64,
    /// Deliveries that were to be made and are not, or are no longer recorded.
    pub deliveries: i64,
    /// Attempts that are no longer recorded.
    pub attempts: i64,
    /// Messages of streams that are removed, or rewritten without it.
    pub messages: i64,
}

impl std::ops::AddAssign for Erased {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.deliveries += other.deliveries;
        self.attempts += other.attempts;
        self.messages += other.messages;
    }
}

impl History {
    /// Asks for something to be erased. Asking again under the same id changes
    /// nothing. By event or tag, it counts as younger than the account's others that
    /// are open, whatever the clocks say: see [`History::is_earlier_open`].
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn start_erasure(
        &self,
        id: ErasureId,
        account: &AccountId,
        scope: &ErasureScope,
        progress: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (kind, subject, name, value) = match scope {
            ErasureScope::Event(event) => ("event", Some(event.uuid()), "", ""),
            ErasureScope::Tag { name, value } => ("tag", None, name.as_str(), value.as_str()),
            ErasureScope::Account => ("account", None, "", ""),
            ErasureScope::Endpoint(endpoint) => ("endpoint", Some(endpoint.uuid()), "", ""),
        };
        let follows = matches!(kind, "event" | "tag");
        transaction!(self.pool, tx => {
            let last: Option<i64> = sqlx::query_scalar(
                "SELECT MAX(created_at) FROM erasures WHERE ended_at IS NULL AND account = $1 \
                 AND kind <> 'endpoint'",
            )
            .bind(account.as_str())
            .fetch_one(&mut *tx)
            .await?;
            let earliest = last.filter(|_| follows).map_or(i64::MIN, |last| last + 1);
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "INSERT INTO erasures ({COLUMNS}, claimed_by, claimed_until) VALUES \
                 ($1, $2, $3, $4, $5, $6, $7, NULL, $8, 0, 0, 0, 0, $1, 0) ON CONFLICT DO NOTHING"
            )))
            .bind(id.uuid())
            .bind(account.as_str())
            .bind(kind)
            .bind(subject)
            .bind(name)
            .bind(value)
            .bind(now.unix_millis().max(earliest))
            .bind(progress)
            .execute(&mut *tx)
            .await?;
            Ok(())
        })
    }

    /// An erasure of an account.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn erasure(
        &self,
        account: &AccountId,
        id: ErasureId,
    ) -> Result<Option<ErasureRow>, Error> {
        reading!(self.pool, connection => {
            Ok(sqlx::query_as(sqlx::AssertSqlSafe(format!(
                "SELECT {COLUMNS} FROM erasures WHERE id = $1 AND account = $2"
            )))
            .bind(id.uuid())
            .bind(account.as_str())
            .fetch_optional(&mut *connection)
            .await?)
        })
    }

    /// Erasures that may have something left to do, the one that was worked on longest
    /// ago first: each gets its turn, though others before it may only wait. Of those of
    /// deleted endpoints the first only: what it removes from the streams is of all of
    /// them.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn open_erasures(&self) -> Result<Vec<ErasureId>, Error> {
        let ids: Vec<Uuid> = reading!(self.pool, connection => {
            Ok(sqlx::query_scalar(
                "SELECT id FROM erasures WHERE ended_at IS NULL AND (kind <> 'endpoint' OR id = \
                 (SELECT id FROM erasures WHERE ended_at IS NULL AND kind = 'endpoint' \
                 ORDER BY created_at, id LIMIT 1)) ORDER BY claimed_until, created_at, id LIMIT $1",
            )
            .bind(MAX_OPEN)
            .fetch_all(&mut *connection)
            .await?)
        })?;
        Ok(ids.into_iter().map(ErasureId::from_uuid).collect())
    }

    /// When the earliest event was accepted that an erasure has marked.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn earliest_marked(&self, id: ErasureId) -> Result<Option<Timestamp>, Error> {
        let earliest: Option<i64> = reading!(self.pool, connection => {
            Ok(sqlx::query_scalar("SELECT MIN(accepted_before) - 1 FROM erased WHERE erasure_id = $1")
                .bind(id.uuid())
                .fetch_one(&mut *connection)
                .await?)
        })?;
        Ok(earliest.map(Timestamp::from_unix_millis))
    }

    /// Whether one that the account has asked for before this one may have something
    /// left to do.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn is_earlier_open(&self, id: ErasureId, account: &AccountId) -> Result<bool, Error> {
        let earlier: Option<Uuid> = reading!(self.pool, connection => {
            Ok(sqlx::query_scalar(
                "SELECT earlier.id FROM erasures AS earlier JOIN erasures AS this ON this.id = $1 \
                 WHERE earlier.ended_at IS NULL AND earlier.account = $2 \
                 AND earlier.kind <> 'endpoint' \
                 AND (earlier.created_at, earlier.id) < (this.created_at, this.id) LIMIT 1",
            )
            .bind(id.uuid())
            .bind(account.as_str())
            .fetch_optional(&mut *connection)
            .await?)
        })?;
        Ok(earlier.is_some())
    }

    /// Claims an open erasure for `worker`, or renews the claim; `None` if another
    /// one has it or it has ended.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn claim_erasure(
        &self,
        id: ErasureId,
        worker: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<ErasureRow>, Error> {
        self.claim(CLAIMABLE, id.uuid(), worker, now, until).await
    }

    /// Gives back what `worker` has claimed.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn release_erasures(&self, worker: Uuid) -> Result<(), Error> {
        self.release(CLAIMABLE, worker).await
    }

    /// Writes down how far `worker` is and what is gone since the last time; at
    /// its end the tag is forgotten too.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn save_erasure(
        &self,
        id: ErasureId,
        worker: Uuid,
        progress: &str,
        gone: Erased,
        ended_at: Option<Timestamp>,
    ) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            sqlx::query(
                "UPDATE erasures SET progress = $3, events = events + $4, \
                 deliveries = deliveries + $5, attempts = attempts + $6, messages = messages + $7, \
                 ended_at = $8, tag_name = CASE WHEN $8 IS NULL THEN tag_name ELSE '' END, \
                 tag_value = CASE WHEN $8 IS NULL THEN tag_value ELSE '' END \
                 WHERE id = $1 AND claimed_by = $2 AND ended_at IS NULL",
            )
            .bind(id.uuid())
            .bind(worker)
            .bind(progress)
            .bind(gone.events)
            .bind(gone.deliveries)
            .bind(gone.attempts)
            .bind(gone.messages)
            .bind(ended_at.map(Timestamp::unix_millis))
            .execute(&mut *tx)
            .await?;
            Ok(())
        })
    }

    /// Ends the erasures of endpoints that were deleted before one of them began
    /// to look through the streams.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn end_erasures_of_endpoints(
        &self,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            sqlx::query(
                "UPDATE erasures SET ended_at = $2 WHERE ended_at IS NULL AND kind = 'endpoint' \
                 AND created_at < $1 AND progress = ''",
            )
            .bind(before.unix_millis())
            .bind(now.unix_millis())
            .execute(&mut *tx)
            .await?;
            Ok(())
        })
    }

    /// Empties SQLite's write-ahead log, which holds what pages held before; readers
    /// that are at it keep it from that until the next time. PostgreSQL recycles
    /// its own.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn empty_log(&self) -> Result<(), Error> {
        let Engine::Sqlite { write, .. } = &self.pool.0 else {
            return Ok(());
        };
        bounded(async {
            let checkpoint = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)");
            checkpoint.execute(write).await?;
            Ok(())
        })
        .await
    }

    /// Marks what is erased: from when this returns nothing of it is recorded.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn mark_erased(
        &self,
        id: ErasureId,
        marks: &[ErasureMark],
        now: Timestamp,
    ) -> Result<(), Error> {
        let each = || marks.iter();
        transaction!(self.pool, tx => {
            let rows = Rows::new(marks.len())
                .ids(each().map(|mark| mark.id))
                .ids(each().map(|_| id.uuid()))
                .numbers(each().map(|mark| mark.accepted_before.unix_millis()))
                .numbers(each().map(|_| now.unix_millis()));
            tx.put(&MARKS, rows).await
        })
    }
}

//! Rows that a worker claims for a while: replays and erasures.

use domain::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, FromRow};
use uuid::Uuid;

use super::History;
use crate::Error;
use crate::pool::Engine;

/// A table with `claimed_by`, `claimed_until` and `ended_at`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claimable {
    pub(super) table: &'static str,
    /// What is told of a claimed row.
    pub(super) columns: &'static str,
}

impl History {
    /// A condition that is always met: with it, the transaction of a statement does not
    /// wait until the disk has it, where the engine can do that. For what may be lost
    /// and done again, all of it, after a crash of the database.
    pub(super) const fn unhurried(&self) -> &'static str {
        match self.pool.0 {
            Engine::Sqlite { .. } => "",
            Engine::Postgres(_) => " AND set_config('synchronous_commit', 'off', TRUE) = 'off'",
        }
    }

    /// Claims an open row for `worker`, or renews the claim; `None` if another one
    /// has it or it has ended.
    pub(super) async fn claim<R>(
        &self,
        Claimable { table, columns }: Claimable,
        id: Uuid,
        worker: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<R>, Error>
    where
        R: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let unhurried = self.unhurried();
        transaction!(self.pool, tx => {
            Ok(sqlx::query_as(AssertSqlSafe(format!(
                "UPDATE {table} SET claimed_by = $2, claimed_until = $4 \
                 WHERE id = $1 AND ended_at IS NULL AND (claimed_by = $2 OR claimed_until < $3) \
                 {unhurried} RETURNING {columns}"
            )))
            .bind(id)
            .bind(worker)
            .bind(now.unix_millis())
            .bind(until.unix_millis())
            .fetch_optional(&mut *tx)
            .await?)
        })
    }

    /// Gives back what `worker` has claimed.
    pub(super) async fn release(
        &self,
        Claimable { table, .. }: Claimable,
        worker: Uuid,
    ) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            sqlx::query(AssertSqlSafe(format!(
                "UPDATE {table} SET claimed_until = 0 WHERE claimed_by = $1 AND ended_at IS NULL"
            )))
            .bind(worker)
            .execute(&mut *tx)
            .await?;
            Ok(())
        })
    }
}

//! Work that one process does at a time.

use sqlx::{PgConnection, PgPool};

use crate::Error;
use crate::pool::bounded;

/// An advisory lock; who has it does this work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn(i64);

impl Turn {
    pub(super) const DROPPING_DAYS: Self = Self(0x706f_7374_7269_6465);
    pub(super) const CLOSING_DAYS: Self = Self(0x706f_7374_636c_6f73);

    /// Works over the connection that has the lock; `None` if another one has it.
    ///
    /// # Errors
    ///
    /// An outage, and what `work` has.
    pub(super) async fn take<T>(
        self,
        pool: &PgPool,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let mut connection = bounded(async { Ok(pool.acquire().await?) }).await?;
        let turn: Result<bool, Error> = bounded(async {
            let turn = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(self.0);
            Ok(turn.fetch_one(&mut *connection).await?)
        })
        .await;
        let worked = match turn {
            Ok(false) => return Ok(None),
            Ok(true) => work(&mut connection).await,
            Err(error) => Err(error),
        };
        let released = bounded(async {
            let release = sqlx::query("SELECT pg_advisory_unlock($1)").bind(self.0);
            release.execute(&mut *connection).await?;
            Ok(())
        })
        .await;
        if worked.is_err() || released.is_err() {
            // The lock ends with its connection.
            drop(connection.detach());
        }
        worked.map(Some)
    }
}

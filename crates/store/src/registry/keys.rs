use domain::key::KeyRecord;
use domain::page::{Cursor, Direction};
use domain::{AccountId, Timestamp};
use uuid::Uuid;

use super::audit::note;
use super::outbox::{Mark, mark};
use super::{Registry, unreadable};
use crate::Error;

/// A key as it is stored: its hash, never itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    pub record: KeyRecord,
    /// Orders those that were made in the same millisecond.
    pub row_id: Uuid,
    pub description: String,
    pub created_at: Timestamp,
    /// About when; `None`: not since it is noted.
    pub last_used_at: Option<Timestamp>,
}

impl KeyRow {
    /// The row id of the key that an operator configured.
    pub const BOOTSTRAP: Uuid = Uuid::nil();
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: String,
    row_id: Uuid,
    hash: Vec<u8>,
    description: String,
    scope: String,
    account: Option<String>,
    version: i64,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
}

const COLUMNS: &str =
    "id, row_id, hash, description, scope, account, version, created_at, expires_at, last_used_at";

impl Row {
    fn read(self) -> Result<KeyRow, Error> {
        let bad = || unreadable("key");
        let account = self.account.as_deref().map(AccountId::parse).transpose();
        Ok(KeyRow {
            record: KeyRecord {
                id: self.id,
                version: u64::try_from(self.version).map_err(|_| bad())?,
                hash: self.hash.try_into().map_err(|_| bad())?,
                scope: self.scope.parse().map_err(|_| bad())?,
                account: account.map_err(|_| bad())?,
                expires_at: self.expires_at.map(Timestamp::from_unix_millis),
            },
            row_id: self.row_id,
            description: self.description,
            created_at: Timestamp::from_unix_millis(self.created_at),
            last_used_at: self.last_used_at.map(Timestamp::from_unix_millis),
        })
    }
}

impl Registry {
    /// Stores a key; one with the same id is replaced, in a later version.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn put_key(&self, row: &KeyRow) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            sqlx::query(
                "INSERT INTO keys (id, row_id, hash, description, scope, account, version, \
                 created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8) \
                 ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, scope = excluded.scope, \
                 account = excluded.account, expires_at = excluded.expires_at, \
                 version = keys.version + 1",
            )
            .bind(&row.record.id)
            .bind(row.row_id)
            .bind(row.record.hash.to_vec())
            .bind(&row.description)
            .bind(row.record.scope.as_str())
            .bind(row.record.account.as_ref().map(AccountId::as_str))
            .bind(row.created_at.unix_millis())
            .bind(row.record.expires_at.map(Timestamp::unix_millis))
            .execute(&mut *tx)
            .await?;
            mark!(tx, &Mark::Key(row.record.id.clone()));
            note!(tx, self.entry.as_ref());
            Ok(())
        })
    }

    /// One key.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn key(&self, id: &str) -> Result<Option<KeyRow>, Error> {
        let row: Option<Row> = reading!(self.pool, connection => {
            Ok(sqlx::query_as(sqlx::AssertSqlSafe(format!(
                "SELECT {COLUMNS} FROM keys WHERE id = $1"
            )))
            .bind(id)
            .fetch_optional(&mut *connection)
            .await?)
        })?;
        row.map(Row::read).transpose()
    }

    /// Keys beyond a cursor, nearest first, at most `limit`; the roles' own is
    /// left out.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn keys(&self, cursor: Option<&Cursor>, limit: u32) -> Result<Vec<KeyRow>, Error> {
        let (beyond, order) = match cursor.map(|cursor| cursor.direction) {
            Some(Direction::Prev) => (">", "ASC"),
            Some(Direction::Next) | None => ("<", "DESC"),
        };
        let query = format!(
            "SELECT {COLUMNS} FROM keys WHERE (created_at, row_id) {beyond} ($1, $2) \
             AND scope <> 'service' ORDER BY created_at {order}, row_id {order} LIMIT $3"
        );
        let (at, id) = cursor.map_or((i64::MAX, Uuid::max()), |cursor| (cursor.at, cursor.id));
        let rows: Vec<Row> = reading!(self.pool, connection => {
            Ok(sqlx::query_as(sqlx::AssertSqlSafe(query.clone()))
                .bind(at)
                .bind(id)
                .bind(i64::from(limit))
                .fetch_all(&mut *connection)
                .await?)
        })?;
        rows.into_iter().map(Row::read).collect()
    }

    /// Whether the key that an operator configured has been revoked, for good.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn is_revoked(&self, id: &str) -> Result<bool, Error> {
        reading!(self.pool, connection => {
            let found: Option<i64> =
                sqlx::query_scalar("SELECT revoked_at FROM revoked_keys WHERE id = $1")
                    .bind(id)
                    .fetch_optional(&mut *connection)
                    .await?;
            Ok(found.is_some())
        })
    }

    /// Revokes a key. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn delete_key(&self, id: &str, now: Timestamp) -> Result<bool, Error> {
        transaction!(self.pool, tx => {
            sqlx::query(
                "INSERT INTO revoked_keys (id, revoked_at) SELECT id, $2 FROM keys \
                 WHERE id = $1 AND row_id = $3 ON CONFLICT DO NOTHING",
            )
            .bind(id)
            .bind(now.unix_millis())
            .bind(KeyRow::BOOTSTRAP)
            .execute(&mut *tx)
            .await?;
            let deleted = sqlx::query("DELETE FROM keys WHERE id = $1 AND scope <> 'service'")
                .bind(id)
                .execute(&mut *tx)
                .await?;
            if deleted.rows_affected() == 0 {
                return Ok(false);
            }
            mark!(tx, &Mark::Key(id.to_owned()));
            note!(tx, self.entry.as_ref());
            Ok(true)
        })
    }

    /// Revokes the keys that were made from an earlier `POSTRIDER_ADMIN_KEY`:
    /// all of [`KeyRow::BOOTSTRAP`] but `id`. Returns their ids.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn delete_earlier_bootstrap_keys(&self, id: &str) -> Result<Vec<String>, Error> {
        transaction!(self.pool, tx => {
            let ids: Vec<String> =
                sqlx::query_scalar("SELECT id FROM keys WHERE row_id = $1 AND id <> $2")
                    .bind(KeyRow::BOOTSTRAP)
                    .bind(id)
                    .fetch_all(&mut *tx)
                    .await?;
            for id in &ids {
                sqlx::query("DELETE FROM keys WHERE id = $1").bind(id).execute(&mut *tx).await?;
                mark!(tx, &Mark::Key(id.clone()));
            }
            Ok(ids)
        })
    }

    /// Revokes the roles' own keys but these. Returns their ids.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn delete_service_keys_but(&self, kept: &[&str]) -> Result<Vec<String>, Error> {
        transaction!(self.pool, tx => {
            let ids: Vec<String> = sqlx::query_scalar("SELECT id FROM keys WHERE scope = 'service'")
                .fetch_all(&mut *tx)
                .await?;
            let gone: Vec<String> =
                ids.into_iter().filter(|id| !kept.contains(&id.as_str())).collect();
            for id in &gone {
                sqlx::query("DELETE FROM keys WHERE id = $1").bind(id).execute(&mut *tx).await?;
                mark!(tx, &Mark::Key(id.clone()));
            }
            Ok(gone)
        })
    }

    /// Notes when keys were used; what is noted already and later stays.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn note_key_uses(&self, uses: &[(String, Timestamp)]) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            for (id, at) in uses {
                sqlx::query(
                    "UPDATE keys SET last_used_at = $2 WHERE id = $1 \
                     AND (last_used_at IS NULL OR last_used_at < $2)",
                )
                .bind(id)
                .bind(at.unix_millis())
                .execute(&mut *tx)
                .await?;
            }
            Ok(())
        })
    }

    /// The ids of all keys.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn all_keys(&self) -> Result<Vec<String>, Error> {
        reading!(self.pool, connection => {
            Ok(sqlx::query_scalar("SELECT id FROM keys").fetch_all(&mut *connection).await?)
        })
    }
}

use std::net::IpAddr;

use domain::audit::{Entry, Origin};
use domain::page::{Cursor, Direction};
use domain::{AccountId, Timestamp};
use uuid::Uuid;

use super::{Registry, unreadable};
use crate::Error;

/// Old entries are removed that many at a time.
const BATCH: i64 = 500;

const COLUMNS: &str = "id, at, account, key_id, via, address, action, target, detail";

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: Uuid,
    at: i64,
    account: Option<String>,
    key_id: String,
    via: String,
    address: Option<String>,
    action: String,
    target: String,
    detail: String,
}

impl Row {
    fn read(self) -> Result<Entry, Error> {
        let bad = || unreadable("audit entry");
        let account = self.account.as_deref().map(AccountId::parse).transpose();
        let address = self.address.map(|text| text.parse::<IpAddr>()).transpose();
        Ok(Entry {
            id: self.id,
            at: Timestamp::from_unix_millis(self.at),
            account: account.map_err(|_| bad())?,
            key_id: self.key_id,
            origin: Origin {
                via: self.via.parse().map_err(|_| bad())?,
                address: address.map_err(|_| bad())?,
            },
            action: self.action.parse().map_err(|_| bad())?,
            target: self.target,
            detail: self.detail,
        })
    }
}

/// Notes who does it, in the transaction that does it, if that is known.
macro_rules! note {
    ($tx:ident, $entry:expr) => {{
        let entry: Option<&domain::audit::Entry> = $entry;
        if let Some(entry) = entry {
            sqlx::query(
                "INSERT INTO audit (id, at, account, key_id, via, address, action, target, \
                 detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind(entry.id)
            .bind(entry.at.unix_millis())
            .bind(entry.account.as_ref().map(|account| account.as_str()))
            .bind(&entry.key_id)
            .bind(entry.origin.via.as_str())
            .bind(entry.origin.address.map(|address| address.to_string()))
            .bind(entry.action.as_str())
            .bind(&entry.target)
            .bind(&entry.detail)
            .execute(&mut *$tx)
            .await?;
        }
    }};
}
pub(super) use note;

impl Registry {
    /// The same tables; the change that is made through this is noted as
    /// `entry`, together with it or not at all.
    #[must_use]
    pub fn noting(&self, entry: Entry) -> Self {
        Self {
            pool: self.pool.clone(),
            entry: Some(entry),
        }
    }

    /// Notes what was done elsewhere.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn note(&self, entry: &Entry) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            note!(tx, Some(entry));
            Ok(())
        })
    }

    /// Entries of an account, or all of them, beyond a cursor, nearest first, at
    /// most `limit`.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn audit_entries(
        &self,
        account: Option<&AccountId>,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Vec<Entry>, Error> {
        let (beyond, order) = match cursor.map(|cursor| cursor.direction) {
            Some(Direction::Prev) => (">", "ASC"),
            Some(Direction::Next) | None => ("<", "DESC"),
        };
        let of_account = if account.is_some() {
            "account = $4 AND"
        } else {
            ""
        };
        let query = format!(
            "SELECT {COLUMNS} FROM audit WHERE {of_account} (at, id) {beyond} ($1, $2) \
             ORDER BY at {order}, id {order} LIMIT $3"
        );
        let (at, id) = cursor.map_or((i64::MAX, Uuid::max()), |cursor| (cursor.at, cursor.id));
        let rows: Vec<Row> = reading!(self.pool, connection => {
            let question = sqlx::query_as(sqlx::AssertSqlSafe(query.clone()))
                .bind(at)
                .bind(id)
                .bind(i64::from(limit));
            let question = match account {
                Some(account) => question.bind(account.as_str().to_owned()),
                None => question,
            };
            Ok(question.fetch_all(&mut *connection).await?)
        })?;
        rows.into_iter().map(Row::read).collect()
    }

    /// Removes some of the entries from before `end`; whether there may be more.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn expire_audit(&self, end: Timestamp) -> Result<bool, Error> {
        transaction!(self.pool, tx => {
            let removed = sqlx::query(
                "DELETE FROM audit WHERE id IN \
                 (SELECT id FROM audit WHERE at < $1 ORDER BY at, id LIMIT $2)",
            )
            .bind(end.unix_millis())
            .bind(BATCH)
            .execute(&mut *tx)
            .await?;
            Ok(i64::try_from(removed.rows_affected()).unwrap_or(0) == BATCH)
        })
    }
}

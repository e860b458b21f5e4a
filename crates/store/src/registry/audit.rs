use std::net::IpAddr;

use domain::audit::{Action, Entry, Origin, Via};
use domain::page::{Cursor, Direction};
use domain::{AccountId, Timestamp};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::{Registry, unreadable};
use crate::{Error, Found};

/// Old entries are removed that many at a time.
const BATCH: i64 = 500;

/// Entries that one page looks at; a page that ends there says so.
const LOOKED_AT: i64 = 1_000;

const COLUMNS: &str = "id, at, account, key_id, via, address, action, target, detail";

/// Which entries; what is empty or `None` means any.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub account: Option<AccountId>,
    pub key_id: String,
    pub via: Option<Via>,
    pub action: Option<Action>,
    /// The whole id or name of what it was done to.
    pub target: String,
    /// Done at or after.
    pub after: Option<Timestamp>,
    /// Done before.
    pub before: Option<Timestamp>,
}

impl AuditFilter {
    /// What an entry must have, beyond account and time: column and value.
    fn wanted(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let words = [
            ("key_id", self.key_id.as_str()),
            ("via", self.via.map_or("", Via::as_str)),
            ("action", self.action.map_or("", Action::as_str)),
            ("target", self.target.as_str()),
        ];
        words.into_iter().filter(|(_, value)| !value.is_empty())
    }
}

/// Adds the account's entries, or all, of the time that is asked for beyond the
/// cursor, nearest first.
macro_rules! near {
    ($query:ident, $filter:expr, $cursor:expr) => {{
        let (filter, cursor): (&AuditFilter, Option<&Cursor>) = ($filter, $cursor);
        let (beyond, order) = match cursor.map(|cursor| cursor.direction) {
            Some(Direction::Prev) => (") > (", "ASC"),
            Some(Direction::Next) | None => (") < (", "DESC"),
        };
        let (at, id) = cursor.map_or((i64::MAX, Uuid::max()), |cursor| (cursor.at, cursor.id));
        $query.push(" FROM audit WHERE (at, id").push(beyond);
        $query.push_bind(at).push(", ").push_bind(id).push(")");
        if let Some(account) = &filter.account {
            $query.push(" AND account = ").push_bind(account.as_str());
        }
        if let Some(after) = filter.after {
            $query.push(" AND at >= ").push_bind(after.unix_millis());
        }
        if let Some(before) = filter.before {
            $query.push(" AND at < ").push_bind(before.unix_millis());
        }
        $query.push(format!(" ORDER BY at {order}, id {order} LIMIT "));
        order
    }};
}

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

    /// Entries beyond a cursor, nearest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn audit_entries(
        &self,
        filter: &AuditFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Found<Entry>, Error> {
        let (rows, ended_at): (Vec<Row>, _) = reading!(self.pool, connection => {
            let mut query =
                QueryBuilder::new(format!("SELECT {COLUMNS} FROM (SELECT {COLUMNS}"));
            let order = near!(query, filter, cursor);
            query.push_bind(LOOKED_AT).push(") AS near WHERE TRUE");
            for (column, value) in filter.wanted() {
                query.push(format!(" AND {column} = ")).push_bind(value.to_owned());
            }
            query.push(format!(" ORDER BY at {order}, id {order} LIMIT "));
            query.push_bind(i64::from(limit));
            let rows: Vec<Row> = query.build_query_as().fetch_all(&mut *connection).await?;
            let full = u32::try_from(rows.len()).is_ok_and(|found| found >= limit);
            if full || filter.wanted().next().is_none() {
                return Ok((rows, None));
            }
            let mut query = QueryBuilder::new("SELECT at, id");
            near!(query, filter, cursor);
            query.push("1 OFFSET ").push_bind(LOOKED_AT - 1);
            let ended_at = query.build_query_as().fetch_optional(&mut *connection).await?;
            Ok((rows, ended_at))
        })?;
        let rows = rows.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        Ok(Found { rows, ended_at })
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

use domain::{AccountId, EndpointId, EventType};
use uuid::Uuid;

use super::{Registry, unreadable};
use crate::Error;

/// Something that must be told to a directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Mark {
    /// An endpoint was created, changed or deleted.
    Endpoint(AccountId, EndpointId),
    /// A key was created or revoked.
    Key(String),
    /// An event type was registered.
    EventType(EventType),
}

impl Mark {
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Endpoint(..) => "endpoint",
            Self::Key(_) => "key",
            Self::EventType(_) => "event_type",
        }
    }

    pub(super) fn key(&self) -> String {
        match self {
            Self::Endpoint(_, id) => id.to_string(),
            Self::Key(id) => id.clone(),
            Self::EventType(name) => name.to_string(),
        }
    }

    pub(super) fn account(&self) -> String {
        match self {
            Self::Endpoint(account, _) => account.to_string(),
            Self::Key(_) | Self::EventType(_) => String::new(),
        }
    }

    fn read(kind: &str, key: &str, account: &str) -> Result<Self, Error> {
        let mark = match kind {
            "endpoint" => AccountId::parse(account)
                .ok()
                .and_then(|account| Some(Self::Endpoint(account, key.parse().ok()?))),
            "key" => Some(Self::Key(key.to_owned())),
            "event_type" => EventType::parse(key).ok().map(Self::EventType),
            _ => None,
        };
        mark.ok_or_else(|| unreadable("outbox mark"))
    }
}

/// Leaves a mark, in a transaction.
macro_rules! mark {
    ($tx:ident, $mark:expr) => {{
        let mark: &$crate::registry::outbox::Mark = $mark;
        sqlx::query(
            "INSERT INTO outbox (kind, key, account, mark) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (kind, key) DO UPDATE SET mark = excluded.mark",
        )
        .bind(mark.kind())
        .bind(mark.key())
        .bind(mark.account())
        .bind(uuid::Uuid::new_v4())
        .execute(&mut *$tx)
        .await?;
    }};
}
pub(super) use mark;

impl Registry {
    /// Up to `limit` marks, each with the value that [`Registry::unmark`] asks
    /// for.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn marks(&self, limit: u32) -> Result<Vec<(Mark, Uuid)>, Error> {
        let rows: Vec<(String, String, String, Uuid)> = reading!(self.pool, connection => {
            Ok(sqlx::query_as("SELECT kind, key, account, mark FROM outbox LIMIT $1")
                .bind(i64::from(limit))
                .fetch_all(&mut *connection)
                .await?)
        })?;
        rows.into_iter()
            .map(|(kind, key, account, value)| Ok((Mark::read(&kind, &key, &account)?, value)))
            .collect()
    }

    /// The value of one mark, if it is there.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn mark(&self, mark: &Mark) -> Result<Option<Uuid>, Error> {
        reading!(self.pool, connection => {
            Ok(sqlx::query_scalar("SELECT mark FROM outbox WHERE kind = $1 AND key = $2")
                .bind(mark.kind())
                .bind(mark.key())
                .fetch_optional(&mut *connection)
                .await?)
        })
    }

    /// Removes a mark unless it was left anew since its value was read.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn unmark(&self, mark: &Mark, value: Uuid) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            sqlx::query("DELETE FROM outbox WHERE kind = $1 AND key = $2 AND mark = $3")
                .bind(mark.kind())
                .bind(mark.key())
                .bind(value)
                .execute(&mut *tx)
                .await?;
            Ok(())
        })
    }

    /// Leaves marks for things that a directory does not hold as it should.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn leave_marks(&self, marks: &[Mark]) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            for one in marks {
                mark!(tx, one);
            }
            Ok(())
        })
    }
}

//! Accounts that have less kept of them than the deployment keeps.

use domain::{AccountId, Timestamp};

use super::{Erased, Expired, History};
use crate::Error;

/// How many days an account's things are kept; `None`: as long as those of the
/// deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, sqlx::FromRow)]
pub struct AccountRetention {
    /// Events with their bodies and tags.
    pub event_days: Option<i64>,
    /// Deliveries, attempts and counts.
    pub record_days: Option<i64>,
}

impl History {
    /// What an account has asked for.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn retention_of(&self, account: &AccountId) -> Result<AccountRetention, Error> {
        let found: Option<AccountRetention> = reading!(self.pool, connection => {
            Ok(sqlx::query_as(
                "SELECT event_days, record_days FROM account_retention WHERE account = $1",
            )
            .bind(account.as_str())
            .fetch_optional(&mut *connection)
            .await?)
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Notes what an account asks for.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn keep_for(
        &self,
        account: &AccountId,
        retention: AccountRetention,
    ) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            sqlx::query(
                "INSERT INTO account_retention (account, event_days, record_days) \
                 VALUES ($1, $2, $3) ON CONFLICT (account) DO UPDATE SET \
                 event_days = excluded.event_days, record_days = excluded.record_days",
            )
            .bind(account.as_str())
            .bind(retention.event_days)
            .bind(retention.record_days)
            .execute(&mut *tx)
            .await?;
            Ok(())
        })
    }

    /// The accounts that have asked for anything, behind one of them.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn retentions(
        &self,
        after: &str,
        limit: i64,
    ) -> Result<Vec<(String, AccountRetention)>, Error> {
        let found: Vec<(String, Option<i64>, Option<i64>)> = reading!(self.pool, connection => {
            Ok(sqlx::query_as(
                "SELECT account, event_days, record_days FROM account_retention \
                 WHERE account > $1 ORDER BY account LIMIT $2",
            )
            .bind(after)
            .bind(limit)
            .fetch_all(&mut *connection)
            .await?)
        })?;
        let row = |(account, event_days, record_days)| {
            let retention = AccountRetention {
                event_days,
                record_days,
            };
            (account, retention)
        };
        Ok(found.into_iter().map(row).collect())
    }

    /// Removes what an account has of before these instants, a few rows at a time.
    ///
    /// # Errors
    ///
    /// An outage; calling again goes on.
    pub async fn expire_account(
        &self,
        account: &AccountId,
        events_before: Option<Timestamp>,
        records_before: Option<Timestamp>,
    ) -> Result<Expired, Error> {
        let mut gone = Erased::default();
        while let Some(before) = events_before {
            match self.erase_events_of(account, before.unix_millis()).await? {
                none if none == Erased::default() => break,
                some => gone += some,
            }
        }
        while let Some(before) = records_before {
            match self.erase_records_of(account, before).await? {
                none if none == Erased::default() => break,
                some => gone += some,
            }
        }
        let rows = gone.events + gone.deliveries + gone.attempts;
        Ok(Expired {
            rows: u64::try_from(rows).unwrap_or(0),
            ..Expired::default()
        })
    }
}

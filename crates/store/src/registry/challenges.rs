//! When endpoints were asked to show that they are their account's.

use std::time::Duration;

use domain::audit::Action;
use domain::{AccountId, EndpointId, Timestamp};

use super::Registry;
use crate::Error;

impl Registry {
    /// Notes that a challenge is sent now to an endpoint that awaits it, unless
    /// the last one is younger than `interval`. Returns whether it may be sent.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn claim_challenge(
        &self,
        account: &AccountId,
        id: EndpointId,
        interval: Duration,
        now: Timestamp,
    ) -> Result<bool, Error> {
        transaction!(self.pool, tx => {
            let claimed = sqlx::query(
                "UPDATE endpoints SET challenged_at = $3 WHERE id = $1 AND account = $2 \
                 AND verification = 'pending' AND (challenged_at IS NULL OR challenged_at <= $4)",
            )
            .bind(id.uuid())
            .bind(account.as_str())
            .bind(now.unix_millis())
            .bind(now.minus(interval).unix_millis())
            .execute(&mut *tx)
            .await?;
            Ok(claimed.rows_affected() > 0)
        })
    }

    /// How many challenges were sent for an account since then, those to
    /// endpoints that are deleted included.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn count_challenges(
        &self,
        account: &AccountId,
        since: Timestamp,
    ) -> Result<u64, Error> {
        let count: i64 = reading!(self.pool, connection => {
            Ok(sqlx::query_scalar(
                "SELECT COUNT(*) FROM audit WHERE account = $1 AND at >= $2 AND action = $3",
            )
            .bind(account.as_str())
            .bind(since.unix_millis())
            .bind(Action::EndpointChallenged.as_str())
            .fetch_one(&mut *connection)
            .await?)
        })?;
        Ok(count.unsigned_abs())
    }
}

use std::time::Duration;

use domain::DeliveryPolicy;
use domain::custom_headers::SealedHeaders;

use super::unreadable;
use crate::Error;

/// The columns of [`PolicyRow`].
pub(super) const COLUMNS: &str = "retry_schedule, timeout_seconds, max_concurrency, \
                                  send_traceparent, headers_master_key_id, headers_sealed";

/// The part of an endpoint's row that says how its deliveries are made.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct PolicyRow {
    retry_schedule: Option<String>,
    timeout_seconds: Option<i64>,
    max_concurrency: Option<i64>,
    send_traceparent: bool,
    headers_master_key_id: Option<String>,
    headers_sealed: Option<Vec<u8>>,
}

impl PolicyRow {
    pub(super) fn read(self) -> Result<DeliveryPolicy, Error> {
        let bad = || unreadable("delivery policy");
        let schedule = self.retry_schedule.map(|text| text.parse());
        let seconds = self.timeout_seconds.map(u64::try_from);
        let limit = self.max_concurrency.map(u32::try_from);
        let headers = match (self.headers_master_key_id, self.headers_sealed) {
            (Some(master_key_id), Some(sealed)) => Some(SealedHeaders {
                master_key_id,
                sealed: sealed.into(),
            }),
            (None, None) => None,
            _ => return Err(bad()),
        };
        Ok(DeliveryPolicy {
            retry_schedule: schedule.transpose().map_err(|_| bad())?,
            timeout: seconds
                .transpose()
                .map_err(|_| bad())?
                .map(Duration::from_secs),
            max_concurrency: limit.transpose().map_err(|_| bad())?,
            headers,
            send_traceparent: self.send_traceparent,
        })
    }
}

/// Writes the policy of an endpoint whose row is there, in a transaction.
macro_rules! store_policy {
    ($tx:ident, $id:expr, $policy:expr) => {{
        let policy: &domain::DeliveryPolicy = $policy;
        let headers = policy.headers.as_ref();
        sqlx::query(
            "UPDATE endpoints SET retry_schedule = $2, timeout_seconds = $3, \
             max_concurrency = $4, send_traceparent = $5, headers_master_key_id = $6, \
             headers_sealed = $7 WHERE id = $1",
        )
        .bind($id.uuid())
        .bind(policy.retry_schedule.as_ref().map(ToString::to_string))
        .bind(policy.timeout_seconds().map(i64::from))
        .bind(policy.max_concurrency.map(i64::from))
        .bind(policy.send_traceparent)
        .bind(headers.map(|headers| headers.master_key_id.clone()))
        .bind(headers.map(|headers| headers.sealed.to_vec()))
        .execute(&mut *$tx)
        .await?;
    }};
}
pub(super) use store_policy;

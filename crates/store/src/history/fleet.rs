//! Many endpoints at a glance: what they did lately, and which are in trouble.

use domain::EndpointId;
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::History;
use crate::Error;

/// Endpoints shown of each kind of trouble.
const SHOWN: i64 = 100;

/// Deliveries but tests of one endpoint whose events were accepted in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct HourOfEndpoint {
    pub endpoint_id: Uuid,
    /// Unix hours.
    pub hour: i64,
    pub succeeded: i64,
    pub failed: i64,
    pub cancelled: i64,
    pub pending: i64,
    /// Pending with a failed attempt; part of `pending`.
    pub retrying: i64,
}

/// An endpoint that fails or is behind.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Troubled {
    pub account: String,
    #[sqlx(flatten)]
    pub health: super::EndpointHealth,
    /// Failed attempts in a row.
    pub failures: i64,
    /// Unix milliseconds: when the event of the oldest pending delivery was
    /// accepted.
    pub oldest_pending_at: Option<i64>,
}

/// How many endpoints are in trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, sqlx::FromRow)]
pub struct Trouble {
    pub failing: i64,
    pub throttled: i64,
    pub paused: i64,
    /// Deliveries that wait although they are due.
    pub waiting: i64,
}

const TROUBLED: &str = "SELECT account, id, generation, last_attempt_at, last_failure, failing_since, throttled, \
     paused, paused_until, failures, (SELECT MIN(accepted_at) FROM deliveries \
     WHERE endpoint_id = history_endpoints.id AND state = 'pending') AS oldest_pending_at \
     FROM history_endpoints";

const COUNTED: &str = "SELECT \
     (SELECT COUNT(*) FROM history_endpoints \
      WHERE failing_since IS NOT NULL AND deleted = FALSE) AS failing, \
     CAST(COALESCE(SUM(CASE WHEN throttled > 0 THEN 1 ELSE 0 END), 0) AS BIGINT) AS throttled, \
     CAST(COALESCE(SUM(CASE WHEN paused > 0 THEN 1 ELSE 0 END), 0) AS BIGINT) AS paused, \
     CAST(COALESCE(SUM(throttled + paused), 0) AS BIGINT) AS waiting \
     FROM history_endpoints WHERE (throttled > 0 OR paused > 0) AND deleted = FALSE";

impl History {
    /// The hours of these endpoints since `first` (Unix hours) in which there
    /// was anything.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn hours(
        &self,
        endpoints: &[EndpointId],
        first: i64,
    ) -> Result<Vec<HourOfEndpoint>, Error> {
        if endpoints.is_empty() {
            return Ok(Vec::new());
        }
        reading!(self.pool, connection => {
            let mut query = QueryBuilder::new(
                "SELECT endpoint_id, hour, succeeded, failed, cancelled, pending, retrying \
                 FROM delivery_counts WHERE hour >= ",
            );
            query.push_bind(first).push(" AND endpoint_id IN (");
            let mut separated = query.separated(", ");
            for id in endpoints {
                separated.push_bind(id.uuid());
            }
            query.push(")");
            Ok(query.build_query_as().fetch_all(&mut *connection).await?)
        })
    }

    /// Counts the endpoints in trouble, and names the worst: those that have
    /// failed for longest, then those that most deliveries wait for. One may be
    /// there twice.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn troubled(&self) -> Result<(Trouble, Vec<Troubled>), Error> {
        reading!(self.pool, connection => {
            let counted = sqlx::query_as(COUNTED).fetch_one(&mut *connection).await?;
            let text = format!(
                "{TROUBLED} WHERE failing_since IS NOT NULL AND deleted = FALSE \
                 ORDER BY failing_since LIMIT {SHOWN}"
            );
            let mut found: Vec<Troubled> = sqlx::query_as(sqlx::AssertSqlSafe(text))
                .fetch_all(&mut *connection)
                .await?;
            let text = format!(
                "{TROUBLED} WHERE (throttled > 0 OR paused > 0) AND deleted = FALSE \
                 ORDER BY throttled + paused DESC LIMIT {SHOWN}"
            );
            let behind: Vec<Troubled> = sqlx::query_as(sqlx::AssertSqlSafe(text))
                .fetch_all(&mut *connection)
                .await?;
            found.extend(behind);
            Ok((counted, found))
        })
    }
}

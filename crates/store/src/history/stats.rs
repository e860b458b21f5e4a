//! Counts and health: no scan, whatever the size of the history.

use domain::{EndpointId, Timestamp};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::{EndpointHealth, History, Stats};
use crate::Error;
use crate::pool::Engine;

const HOUR_MS: i64 = 3_600_000;
const DAY_HOURS: i64 = 24;

/// The days, from the first to before the last, that lie within hours from `first` to
/// before `last`; `i64::MIN` and `i64::MAX` are no bounds. `None`: no day does.
const fn whole_days(first: i64, last: i64) -> Option<(i64, i64)> {
    let first_day = match first {
        i64::MIN => i64::MIN,
        _ => (first - 1).div_euclid(DAY_HOURS) + 1,
    };
    let end_day = match last {
        i64::MAX => i64::MAX,
        _ => last.div_euclid(DAY_HOURS),
    };
    if first_day < end_day {
        Some((first_day, end_day))
    } else {
        None
    }
}

impl History {
    /// Counts an endpoint's deliveries whose events were accepted at or after
    /// `after` and before `before`. Whole hours come from the counts, the ends
    /// of the span from at most two hours of deliveries.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn stats(
        &self,
        endpoint: EndpointId,
        after: Option<Timestamp>,
        before: Option<Timestamp>,
    ) -> Result<Stats, Error> {
        let start = after.map_or(i64::MIN, Timestamp::unix_millis);
        let end = before.map_or(i64::MAX, Timestamp::unix_millis);
        if start >= end {
            return Ok(Stats::default());
        }
        let hour = |ms: i64| ms.div_euclid(HOUR_MS);
        // The first hour that begins within, and the first that ends outside.
        let first = if after.is_none() {
            i64::MIN
        } else {
            hour(start - 1) + 1
        };
        let last = if before.is_none() {
            i64::MAX
        } else {
            hour(end)
        };
        if first >= last {
            return self.count_deliveries(endpoint, start, end).await;
        }
        let mut stats = self.count_hours(endpoint, first, last).await?;
        if after.is_some() && first * HOUR_MS > start {
            stats += self
                .count_deliveries(endpoint, start, first * HOUR_MS)
                .await?;
        }
        if before.is_some() && last * HOUR_MS < end {
            stats += self.count_deliveries(endpoint, last * HOUR_MS, end).await?;
        }
        Ok(stats)
    }

    /// On PostgreSQL whole days come from the sums of days: each hour's row is on a page
    /// of its own there.
    async fn count_hours(
        &self,
        endpoint: EndpointId,
        first: i64,
        last: i64,
    ) -> Result<Stats, Error> {
        let days = match self.pool.0 {
            Engine::Sqlite { .. } => None,
            Engine::Postgres(_) => whole_days(first, last),
        };
        // What is not in whole days, before and behind them.
        let hours = match days {
            None => [(first, last), (last, last)],
            Some((first_day, end_day)) => [
                (first, first_day.saturating_mul(DAY_HOURS)),
                (end_day.saturating_mul(DAY_HOURS), last),
            ],
        };
        reading!(self.pool, connection => {
            let mut query = QueryBuilder::new(
                "SELECT CAST(COALESCE(SUM(total), 0) AS BIGINT) AS total, \
                 CAST(COALESCE(SUM(succeeded), 0) AS BIGINT) AS succeeded, \
                 CAST(COALESCE(SUM(failed), 0) AS BIGINT) AS failed, \
                 CAST(COALESCE(SUM(cancelled), 0) AS BIGINT) AS cancelled, \
                 CAST(COALESCE(SUM(pending), 0) AS BIGINT) AS pending, \
                 CAST(COALESCE(SUM(retrying), 0) AS BIGINT) AS retrying FROM (",
            );
            let hours = hours.map(|hours| ("delivery_counts", "hour", hours));
            let hours = hours.into_iter().filter(|(_, _, (first, end))| first < end);
            let days = days.map(|days| ("delivery_counts_of_days", "day", days));
            let parts = hours.chain(days).enumerate();
            for (place, (table, unit, (first, end))) in parts {
                query.push(if place > 0 { " UNION ALL " } else { "" });
                query.push(format!(
                    "SELECT total, succeeded, failed, cancelled, pending, retrying FROM {table} \
                     WHERE endpoint_id = "
                ));
                query.push_bind(endpoint.uuid());
                query.push(format!(" AND {unit} >= ")).push_bind(first);
                query.push(format!(" AND {unit} < ")).push_bind(end);
            }
            query.push(") AS parts");
            Ok(query.build_query_as().fetch_one(&mut *connection).await?)
        })
    }

    async fn count_deliveries(
        &self,
        endpoint: EndpointId,
        start: i64,
        end: i64,
    ) -> Result<Stats, Error> {
        reading!(self.pool, connection => {
            Ok(sqlx::query_as(
                "SELECT CAST(COUNT(*) AS BIGINT) AS total, \
                 CAST(COALESCE(SUM(CASE WHEN state = 'succeeded' THEN 1 ELSE 0 END), 0) AS BIGINT) AS succeeded, \
                 CAST(COALESCE(SUM(CASE WHEN state = 'failed' THEN 1 ELSE 0 END), 0) AS BIGINT) AS failed, \
                 CAST(COALESCE(SUM(CASE WHEN state = 'cancelled' THEN 1 ELSE 0 END), 0) AS BIGINT) AS cancelled, \
                 CAST(COALESCE(SUM(CASE WHEN state = 'pending' THEN 1 ELSE 0 END), 0) AS BIGINT) AS pending, \
                 CAST(COALESCE(SUM(CASE WHEN state = 'pending' AND attempts > 0 THEN 1 ELSE 0 END), 0) AS BIGINT) AS retrying \
                 FROM deliveries WHERE endpoint_id = $1 AND cause <> 'test' \
                 AND accepted_at >= $2 AND accepted_at < $3",
            )
            .bind(endpoint.uuid())
            .bind(start)
            .bind(end)
            .fetch_one(&mut *connection)
            .await?)
        })
    }

    /// How endpoints are doing; those that nothing is known of are left out.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn health(&self, endpoints: &[EndpointId]) -> Result<Vec<EndpointHealth>, Error> {
        let ids: Vec<Uuid> = endpoints.iter().map(|id| id.uuid()).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        reading!(self.pool, connection => {
            let mut query = QueryBuilder::new(
                "SELECT id, generation, last_attempt_at, last_failure, failing_since, throttled, \
                 paused, paused_until FROM history_endpoints \
                 WHERE (last_attempt_at IS NOT NULL OR throttled > 0 OR paused > 0) AND id IN (",
            );
            let mut separated = query.separated(", ");
            for id in &ids {
                separated.push_bind(*id);
            }
            query.push(")");
            Ok(query.build_query_as().fetch_all(&mut *connection).await?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_lie_within_hours() {
        assert_eq!(whole_days(24, 72), Some((1, 3)));
        assert_eq!(whole_days(25, 72), Some((2, 3)));
        assert_eq!(whole_days(25, 71), None);
        assert_eq!(whole_days(0, 23), None);
        assert_eq!(whole_days(0, 24), Some((0, 1)));
        assert_eq!(whole_days(i64::MIN, 71), Some((i64::MIN, 2)));
        assert_eq!(whole_days(25, i64::MAX), Some((2, i64::MAX)));
        assert_eq!(whole_days(i64::MIN, i64::MAX), Some((i64::MIN, i64::MAX)));
    }
}

//! What a worker reads and writes of a replay. Whoever works on one has claimed
//! it for a while: what is written without the claim is not written.

use domain::{AccountId, ErasureMark, ReplayId, ReplayState, ReplayStatus, Timestamp};
use sqlx::{AssertSqlSafe, QueryBuilder};
use uuid::Uuid;

use super::{COLUMNS, ReplayRow};
use crate::Error;
use crate::history::History;
use crate::history::claims::Claimable;

const CLAIMABLE: Claimable = Claimable {
    table: "replays",
    columns: COLUMNS,
};

/// Replays that are looked at together.
const MAX_OPEN: i64 = 64;

/// A delivery whose end a replay waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    pub event_id: Uuid,
    /// Unix milliseconds.
    pub accepted_at: i64,
    pub delivery_id: Uuid,
}

/// Where a tracked delivery stands.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Unfinished {
    pub event_id: Uuid,
    /// `None`: it is not recorded yet.
    pub state: Option<String>,
    pub reason: Option<String>,
    pub attempts: Option<i64>,
    /// Whether its event is still kept.
    pub is_kept: bool,
}

/// What a worker has done.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Deliveries that are under way from now on.
    pub tracked: Vec<Tracked>,
    /// Events whose tracked delivery has ended.
    pub finished: Vec<Uuid>,
    pub sent: i64,
    pub succeeded: i64,
    pub failed: i64,
    /// Events that are erased since they were counted.
    pub erased: i64,
    /// The last event that was dealt with, if there was one.
    pub cursor: Option<(i64, Uuid)>,
    /// When all of it has ended.
    pub ended_at: Option<Timestamp>,
}

/// What a replay has counted.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct Counts {
    account: String,
    status: String,
    state: String,
    created_at: i64,
    matched: i64,
    succeeded: i64,
    failed: i64,
}

impl Counts {
    fn mark_of_account(&self) -> Result<Uuid, Error> {
        let account = AccountId::parse(&self.account);
        let account = account.map_err(|problem| Error::Refused(problem.detail))?;
        Ok(ErasureMark::of_account(&account))
    }

    /// What it says when it has ended. Of failures, those that were counted at first
    /// and not met again have succeeded meanwhile, unless the account was erased;
    /// what has failed meanwhile was not counted at first.
    fn at_end(self, account_erased: bool) -> Self {
        let met = self.succeeded + self.failed;
        if self.state != ReplayState::Running.as_str() {
            return Self {
                matched: self.matched.max(met),
                ..self
            };
        }
        let state = ReplayState::Done.as_str().to_owned();
        if self.status == ReplayStatus::Failed.as_str() && self.matched > met && !account_erased {
            return Self {
                state,
                succeeded: self.matched - self.failed,
                ..self
            };
        }
        Self {
            state,
            matched: met,
            ..self
        }
    }
}

impl History {
    /// Replays that have something to send or under way, those first that nobody
    /// has worked on for longest. Of an endpoint one sends at a time, the first that
    /// was started: the others are left out until it has sent all. None is ever
    /// started before one that is there, so what is told stays true.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn open_replays(&self) -> Result<Vec<ReplayId>, Error> {
        let ids: Vec<Uuid> = reading!(self.pool, connection => {
            Ok(sqlx::query_scalar(
                "SELECT id FROM (SELECT id, state, claimed_until, \
                 COUNT(CASE WHEN cursor_at < before_at THEN 1 END) OVER (PARTITION BY endpoint_id \
                 ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before_it \
                 FROM replays WHERE ended_at IS NULL) AS turns \
                 WHERE state <> $1 OR before_it = 0 ORDER BY claimed_until, id LIMIT $2",
            )
            .bind(ReplayState::Running.as_str())
            .bind(MAX_OPEN)
            .fetch_all(&mut *connection)
            .await?)
        })?;
        Ok(ids.into_iter().map(ReplayId::from_uuid).collect())
    }

    /// Claims an open replay for `worker`, or renews the claim; `None` if another
    /// one has it or it has ended.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn claim_replay(
        &self,
        id: ReplayId,
        worker: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<ReplayRow>, Error> {
        self.claim(CLAIMABLE, id.uuid(), worker, now, until).await
    }

    /// Gives back what `worker` has claimed.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn release_replays(&self, worker: Uuid) -> Result<(), Error> {
        self.release(CLAIMABLE, worker).await
    }

    /// Where the deliveries stand that a replay waits for.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn unfinished(&self, id: ReplayId) -> Result<Vec<Unfinished>, Error> {
        reading!(self.pool, connection => {
            Ok(sqlx::query_as(
                "SELECT r.event_id, d.state, d.reason, d.attempts, e.id IS NOT NULL AS is_kept \
                 FROM replay_deliveries AS r \
                 LEFT JOIN deliveries AS d ON d.event_id = r.event_id AND d.id = r.delivery_id \
                 AND d.accepted_at = r.accepted_at \
                 LEFT JOIN events AS e ON e.id = r.event_id AND e.accepted_at = r.accepted_at \
                 WHERE r.replay_id = $1",
            )
            .bind(id.uuid())
            .fetch_all(&mut *connection)
            .await?)
        })
    }

    /// Writes down what `worker` has done, all of it or, without the claim,
    /// nothing; tells which.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn save_progress(
        &self,
        id: ReplayId,
        worker: Uuid,
        progress: &Progress,
    ) -> Result<bool, Error> {
        let (at, event) = progress.cursor.unzip();
        let unhurried = self.unhurried();
        transaction!(self.pool, tx => {
            let counts: Option<Counts> = sqlx::query_as(AssertSqlSafe(format!(
                "UPDATE replays SET sent = sent + $3, succeeded = succeeded + $4, \
                 failed = failed + $5, \
                 matched = CASE WHEN matched > $6 THEN matched - $6 ELSE 0 END, \
                 cursor_at = COALESCE($7, cursor_at), cursor_event = COALESCE($8, cursor_event) \
                 WHERE id = $1 AND claimed_by = $2 AND ended_at IS NULL {unhurried} \
                 RETURNING account, status, state, created_at, matched, succeeded, failed",
            )))
            .bind(id.uuid())
            .bind(worker)
            .bind(progress.sent)
            .bind(progress.succeeded)
            .bind(progress.failed)
            .bind(progress.erased)
            .bind(at)
            .bind(event)
            .fetch_optional(&mut *tx)
            .await?;
            let Some(counts) = counts else {
                return Ok(false);
            };
            if !progress.finished.is_empty() {
                let mut query =
                    QueryBuilder::new("DELETE FROM replay_deliveries WHERE replay_id = ");
                query.push_bind(id.uuid()).push(" AND event_id IN (");
                let mut events = query.separated(", ");
                for event in &progress.finished {
                    events.push_bind(*event);
                }
                query.push(")");
                query.build().execute(&mut *tx).await?;
            }
            if !progress.tracked.is_empty() {
                let mut query = QueryBuilder::new(
                    "INSERT INTO replay_deliveries (replay_id, event_id, delivery_id, accepted_at) ",
                );
                query.push_values(&progress.tracked, |mut row, tracked| {
                    row.push_bind(id.uuid())
                        .push_bind(tracked.event_id)
                        .push_bind(tracked.delivery_id)
                        .push_bind(tracked.accepted_at);
                });
                query.push(" ON CONFLICT (replay_id, event_id) DO NOTHING");
                query.build().execute(&mut *tx).await?;
            }
            if let Some(ended_at) = progress.ended_at {
                let account_erased: bool = sqlx::query_scalar(
                    "SELECT EXISTS (SELECT 1 FROM erased WHERE id = $1 AND marked_at >= $2)",
                )
                .bind(counts.mark_of_account()?)
                .bind(counts.created_at)
                .fetch_one(&mut *tx)
                .await?;
                let end = counts.at_end(account_erased);
                sqlx::query(
                    "UPDATE replays SET ended_at = $2, state = $3, matched = $4, succeeded = $5 \
                     WHERE id = $1",
                )
                .bind(id.uuid())
                .bind(ended_at.unix_millis())
                .bind(end.state)
                .bind(end.matched)
                .bind(end.succeeded)
                .execute(&mut *tx)
                .await?;
            }
            Ok(true)
        })
    }

    /// Removes a replay whose endpoint is deleted.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn remove_replay(&self, id: ReplayId) -> Result<(), Error> {
        const REMOVE: [&str; 2] = [
            "DELETE FROM replay_deliveries WHERE replay_id = $1",
            "DELETE FROM replays WHERE id = $1",
        ];
        transaction!(self.pool, tx => {
            for statement in REMOVE {
                sqlx::query(statement).bind(id.uuid()).execute(&mut *tx).await?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(status: ReplayStatus, state: ReplayState, counts: [i64; 3]) -> Counts {
        let [matched, succeeded, failed] = counts;
        Counts {
            account: "acme".to_owned(),
            status: status.as_str().to_owned(),
            state: state.as_str().to_owned(),
            created_at: 0,
            matched,
            succeeded,
            failed,
        }
    }

    #[test]
    fn failures_that_are_not_met_again_have_succeeded_meanwhile() {
        let end = |erased| {
            let end = counts(ReplayStatus::Failed, ReplayState::Running, [10, 6, 1]).at_end(erased);
            (end.state, end.matched, end.succeeded)
        };
        assert_eq!(end(false), ("done".to_owned(), 10, 9));
        assert_eq!(end(true), ("done".to_owned(), 7, 6), "they are erased");
    }

    #[test]
    fn an_end_agrees_with_what_was_met() {
        let end = |status, state, met| {
            let end = counts(status, state, met).at_end(false);
            (end.matched, end.succeeded)
        };
        let (failed, all) = (ReplayStatus::Failed, ReplayStatus::All);
        let (running, cancelled) = (ReplayState::Running, ReplayState::Cancelled);
        assert_eq!(end(failed, running, [3, 4, 1]), (5, 4), "failed meanwhile");
        assert_eq!(end(all, running, [10, 6, 1]), (7, 6));
        assert_eq!(end(failed, cancelled, [10, 6, 1]), (10, 6));
        assert_eq!(end(failed, cancelled, [3, 4, 1]), (5, 4));
    }
}

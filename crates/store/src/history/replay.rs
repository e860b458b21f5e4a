//! Replays: started, looked up, cancelled. [`work`] and [`candidates`] are what a
//! worker does.

mod candidates;
mod select;
mod work;

use domain::{AccountId, EndpointId, ReplayId, ReplayState, ReplayStatus, Timestamp};
use sqlx::QueryBuilder;
use uuid::Uuid;

use self::select::{Selection, which};
use super::History;
use crate::Error;

pub use candidates::{Body, Candidate, Known};
pub use work::{Progress, Tracked, Unfinished};

const COLUMNS: &str = "id, account, endpoint_id, status, event_types, after_at, before_at, state, \
                       created_at, ended_at, matched, sent, succeeded, failed, cursor_at, \
                       cursor_event";

/// Events that are counted ahead: whoever asks waits for it. More are told as
/// they come.
const MAX_MATCHED: i64 = 100_000;

/// A replay to be.
#[derive(Debug, Clone)]
pub struct NewReplay {
    pub id: ReplayId,
    pub account: AccountId,
    pub endpoint: EndpointId,
    pub status: ReplayStatus,
    /// Empty: every one.
    pub event_types: Vec<String>,
    /// Accepted at or after.
    pub after: Timestamp,
    /// Accepted before.
    pub before: Timestamp,
    /// Counts only.
    pub dry_run: bool,
    pub created_at: Timestamp,
}

/// A replay. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ReplayRow {
    pub id: Uuid,
    pub account: String,
    pub endpoint_id: Uuid,
    /// A [`ReplayStatus`].
    pub status: String,
    /// Separated by spaces; empty: every one.
    pub event_types: String,
    pub after_at: i64,
    pub before_at: i64,
    /// A [`ReplayState`].
    pub state: String,
    pub created_at: i64,
    /// `None`: something is to be sent, or under way.
    pub ended_at: Option<i64>,
    pub matched: i64,
    pub sent: i64,
    pub succeeded: i64,
    pub failed: i64,
    /// The last event that was dealt with; at [`Self::before_at`], all of them.
    pub cursor_at: i64,
    pub cursor_event: Uuid,
}

impl ReplayRow {
    /// Where the cursor stands when nothing more is to be sent.
    #[must_use]
    pub const fn end(&self) -> (i64, Uuid) {
        (self.before_at, Uuid::nil())
    }

    /// Whether nothing more is to be sent, as it is written down.
    #[must_use]
    pub const fn has_sent_all(&self) -> bool {
        self.cursor_at >= self.before_at
    }
}

/// The id, or the next one behind `last`.
fn behind(id: Uuid, last: Uuid) -> Uuid {
    id.max(Uuid::from_u128(last.as_u128().saturating_add(1)))
}

impl History {
    /// Counts what a replay matches, 100,000 at most, and keeps it for a worker unless that is
    /// all. Where others of the endpoint are open its id is behind theirs, whatever
    /// clock it was made by.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn start_replay(&self, new: &NewReplay) -> Result<ReplayRow, Error> {
        let (state, ended_at) = if new.dry_run {
            (ReplayState::DryRun, Some(new.created_at.unix_millis()))
        } else {
            (ReplayState::Running, None)
        };
        let mut row = ReplayRow {
            id: new.id.uuid(),
            account: new.account.to_string(),
            endpoint_id: new.endpoint.uuid(),
            status: new.status.as_str().to_owned(),
            event_types: new.event_types.join(" "),
            after_at: new.after.unix_millis(),
            before_at: new.before.unix_millis(),
            state: state.as_str().to_owned(),
            created_at: new.created_at.unix_millis(),
            ended_at,
            matched: 0,
            sent: 0,
            succeeded: 0,
            failed: 0,
            cursor_at: new.after.unix_millis(),
            cursor_event: Uuid::nil(),
        };
        row.matched = self.count_matching(&row).await?;
        row.id = transaction!(self.pool, tx => {
            // One at a time, of an endpoint.
            sqlx::query("UPDATE history_endpoints SET account = account WHERE id = $1")
                .bind(row.endpoint_id)
                .execute(&mut *tx)
                .await?;
            let last: Option<Uuid> = sqlx::query_scalar(
                "SELECT id FROM replays WHERE ended_at IS NULL AND endpoint_id = $1 \
                 ORDER BY id DESC LIMIT 1",
            )
            .bind(row.endpoint_id)
            .fetch_optional(&mut *tx)
            .await?;
            let id = last.map_or(row.id, |last| behind(row.id, last));
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "INSERT INTO replays ({COLUMNS}, claimed_by, claimed_until) VALUES \
                 ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, 0, 0, $12, $13, $13, 0)"
            )))
            .bind(id)
            .bind(&row.account)
            .bind(row.endpoint_id)
            .bind(&row.status)
            .bind(&row.event_types)
            .bind(row.after_at)
            .bind(row.before_at)
            .bind(&row.state)
            .bind(row.created_at)
            .bind(row.ended_at)
            .bind(row.matched)
            .bind(row.cursor_at)
            .bind(row.cursor_event)
            .execute(&mut *tx)
            .await?;
            Ok(id)
        })?;
        Ok(row)
    }

    async fn count_matching(&self, row: &ReplayRow) -> Result<i64, Error> {
        let selection = Selection::of(row);
        reading!(self.pool, connection => {
            let mut query = QueryBuilder::new(
                "SELECT COUNT(*) FROM (SELECT DISTINCT d.accepted_at, d.event_id ",
            );
            which!(query, selection);
            // Not what is erased; a subquery of this form goes along the key.
            query.push(
                " AND COALESCE((SELECT length(e.body) FROM events AS e \
                 WHERE e.id = d.event_id AND e.accepted_at = d.accepted_at), 1) > 0",
            );
            if selection.failed {
                query.push(
                    " AND NOT EXISTS (SELECT 1 FROM deliveries AS other \
                     WHERE other.event_id = d.event_id AND other.accepted_at = d.accepted_at \
                     AND other.endpoint_id = d.endpoint_id AND other.state = 'succeeded')",
                );
            }
            query.push(" LIMIT ").push_bind(MAX_MATCHED).push(") AS matching");
            Ok(query.build_query_scalar().fetch_one(&mut *connection).await?)
        })
    }

    /// A replay of an account.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn replay(
        &self,
        account: &AccountId,
        id: ReplayId,
    ) -> Result<Option<ReplayRow>, Error> {
        reading!(self.pool, connection => {
            Ok(sqlx::query_as(sqlx::AssertSqlSafe(format!(
                "SELECT {COLUMNS} FROM replays WHERE id = $1 AND account = $2"
            )))
            .bind(id.uuid())
            .bind(account.as_str())
            .fetch_optional(&mut *connection)
            .await?)
        })
    }

    /// Lets a running replay begin nothing more. It ends when what is under way
    /// has.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn cancel_replay(&self, account: &AccountId, id: ReplayId) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            sqlx::query(
                "UPDATE replays SET state = 'cancelled' \
                 WHERE id = $1 AND account = $2 AND state = 'running'",
            )
            .bind(id.uuid())
            .bind(account.as_str())
            .execute(&mut *tx)
            .await?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_behind_those_that_are_there() {
        let (early, late) = (ReplayId::new().uuid(), ReplayId::new().uuid());
        assert_eq!(behind(late, early), late);
        let next = behind(early, late);
        assert!(next > late);
        assert_eq!(next.get_version_num(), 7);
        assert!(behind(late, late) > late);
    }
}

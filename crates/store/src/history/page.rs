//! Pages that cost the same wherever they lie.
//!
//! Each list goes along one index, the one that the filters choose. What the
//! index does not tell apart is looked at row by row, so many rows at most; a
//! page that ends there says so, and the next one goes on.

use std::sync::Arc;

use domain::Timestamp;
use domain::page::{Cursor, Direction};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use sqlx::{Database, Encode, QueryBuilder, Type};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::History;
use super::days::Day;
use super::span::Span;
use crate::Error;
use crate::pool::Engine;

/// Rows of an index that one page looks at.
pub(super) const LOOKED_AT: i64 = 1_000;

/// Rows that one statement looks up by their keys.
const LOOKED_UP: usize = 12;

/// Statements of one question that are carried out at once, and those of all questions
/// together: recording has the same connections, sixteen of them.
const OF_ONE_QUESTION: usize = 6;
const OF_ALL_QUESTIONS: usize = 8;

/// Whose turn it is to ask over one connection more.
#[derive(Debug, Clone)]
pub(super) struct Beside(Arc<Semaphore>);

impl Default for Beside {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(OF_ALL_QUESTIONS)))
    }
}

impl Beside {
    /// What all of these answer, in their order.
    ///
    /// # Errors
    ///
    /// The first of theirs.
    pub(super) async fn all<T, F>(&self, asked: Vec<F>) -> Result<Vec<T>, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let in_turn: Vec<_> = asked.into_iter().map(|one| self.one(one)).collect();
        let answers = stream::iter(in_turn).buffered(OF_ONE_QUESTION);
        answers.try_collect().await
    }

    async fn one<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        // It is never closed.
        let _turn = self.0.acquire().await;
        asked.await
    }
}

/// An event's id and instant, by which rows of it are found.
pub(super) type EventKey = (Uuid, i64);

/// Keys of rows that one statement looks up.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventKeys<'keys> {
    keys: &'keys [EventKey],
    /// Whether the rows of each day are in a table of their own.
    has_days: bool,
}

impl EventKeys<'_> {
    /// Adds what `select` tells of the rows whose column `id` is the id of one of these.
    ///
    /// Each day is asked on its own, by literal bounds: then PostgreSQL plans for the
    /// tables of these days alone. A plan for all days is worth to be kept, and yet each
    /// connection begins without, and making it takes longer than some hundred answers.
    pub(super) fn look_up<DB: Database>(
        self,
        query: &mut QueryBuilder<DB>,
        select: &'static str,
        id: &'static str,
    ) where
        Uuid: for<'q> Encode<'q, DB> + Type<DB>,
    {
        let day = |at: i64| Day::of(Timestamp::from_unix_millis(at));
        let together =
            |one: &EventKey, next: &EventKey| !self.has_days || day(one.1) == day(next.1);
        let mut union = "";
        for keys in self.keys.chunk_by(together) {
            query.push(union).push(select);
            query.push(" WHERE ").push(id).push(" IN (");
            let mut ids = query.separated(", ");
            for (id, _) in keys {
                ids.push_bind(*id);
            }
            query.push(")");
            if let Some(span) = Span::of(keys.iter().map(|(_, at)| *at)) {
                query.push(span.literal("accepted_at"));
            }
            union = " UNION ALL ";
        }
    }
}

/// What was found beyond a cursor, nearest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<T> {
    pub rows: Vec<T>,
    /// The instant in Unix milliseconds and the id of the row at which looking
    /// ended, though there may be more.
    pub ended_at: Option<(i64, Uuid)>,
}

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            ended_at: None,
        }
    }
}

impl<T> Found<T> {
    /// Adds what was found behind it, to at most `limit` rows; gives whether that is
    /// the end of the page.
    pub(super) fn is_ended_by(&mut self, more: Self, limit: usize) -> bool {
        let lacking = limit.saturating_sub(self.rows.len());
        self.rows.extend(more.rows.into_iter().take(lacking));
        let is_full = self.rows.len() >= limit;
        self.ended_at = more.ended_at.filter(|_| !is_full);
        is_full || self.ended_at.is_some()
    }
}

/// Adds what lies in a part of a span and beyond the cursor, in its order. Divided
/// tables are pruned by the instant alone.
macro_rules! span {
    ($query:ident, $time:literal, $id:literal, $part:expr, $cursor:expr) => {{
        let part: $crate::history::span::Span = $part;
        let cursor: Option<&domain::page::Cursor> = $cursor;
        let backwards = $crate::history::page::is_backwards(cursor);
        if part.is_short() {
            $query.push(part.literal($time));
        } else {
            $query
                .push(concat!(" AND ", $time, " >= "))
                .push_bind(part.first);
            $query
                .push(concat!(" AND ", $time, " <= "))
                .push_bind(part.last);
        }
        if let Some(cursor) = cursor {
            let beyond = if backwards { ") > (" } else { ") < (" };
            $query
                .push(concat!(" AND (", $time, ", ", $id))
                .push(beyond);
            $query
                .push_bind(cursor.at)
                .push(", ")
                .push_bind(cursor.id)
                .push(")");
        }
        order!($query, $time, $id, backwards);
    }};
}

/// Whether a list goes from a cursor towards what is newer.
pub(super) fn is_backwards(cursor: Option<&Cursor>) -> bool {
    cursor.is_some_and(|cursor| cursor.direction == Direction::Prev)
}

/// As many rows, in a text.
pub(super) fn at_most(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

impl History {
    /// Keys of rows to look up, in groups to be asked for at once: each row may be a read
    /// of the disk or several. SQLite reads what it has at hand, in one go.
    pub(super) fn at_once<'keys>(
        &self,
        keys: &'keys [EventKey],
    ) -> impl Iterator<Item = EventKeys<'keys>> {
        let (together, has_days) = match self.pool.0 {
            Engine::Postgres(_) => (LOOKED_UP, true),
            Engine::Sqlite { .. } => (keys.len().max(1), false),
        };
        let groups = keys.chunks(together);
        groups.map(move |keys| EventKeys { keys, has_days })
    }

    /// Rows of an index that a page looks at first. SQLite reads all that it may,
    /// and PostgreSQL until the page is full.
    pub(super) const fn first_look(&self) -> i64 {
        match self.pool.0 {
            Engine::Sqlite { .. } => LOOKED_AT / 10,
            Engine::Postgres(_) => LOOKED_AT,
        }
    }
}

/// Adds the order of a list.
macro_rules! order {
    ($query:ident, $time:literal, $id:literal, $backwards:expr) => {{
        let order = if $backwards { " ASC" } else { " DESC" };
        $query.push(concat!(" ORDER BY ", $time)).push(order);
        $query.push(concat!(", ", $id)).push(order);
    }};
}

/// Adds a condition that no index is to be chosen for.
macro_rules! beside {
    ($query:ident, $column:literal, $value:expr) => {
        $query
            .push(concat!(" AND (", $column, " = "))
            .push_bind($value)
            .push(") IS TRUE")
    };
}

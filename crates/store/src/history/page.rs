//! Pages that cost the same wherever they lie.
//!
//! Each list goes along one index, the one that the filters choose. What the
//! index does not tell apart is looked at row by row, so many rows at most; a
//! page that ends there says so, and the next one goes on.

use std::time::SystemTime;

use domain::Timestamp;
use domain::page::{Cursor, Direction};
use uuid::Uuid;

use super::History;
use super::span::Span;
use crate::pool::Engine;

/// Rows of an index that one page looks at.
pub(super) const LOOKED_AT: i64 = 2_000;

/// What was found beyond a cursor, nearest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<T> {
    pub rows: Vec<T>,
    /// The instant in Unix milliseconds and the id of the row at which looking
    /// ended, though there may be more.
    pub ended_at: Option<(i64, Uuid)>,
}

/// Adds what lies in a part of a span and beyond the cursor, in its order, and gives
/// whether the text is worth to be kept. Divided tables are pruned by the instant
/// alone.
macro_rules! span {
    ($query:ident, $time:literal, $id:literal, $part:expr, $cursor:expr) => {{
        let part: $crate::history::span::Span = $part;
        let cursor: Option<&domain::page::Cursor> = $cursor;
        let backwards = $crate::history::page::is_backwards(cursor);
        let kept = between!($query, $time, part);
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
        kept
    }};
}

/// Adds that an instant lies in a span, and gives whether the text is worth to be
/// kept.
macro_rules! between {
    ($query:ident, $time:literal, $span:expr) => {{
        let span: $crate::history::span::Span = $span;
        let literal = span.literal_if_short($time);
        match &literal {
            Some(literal) => $query.push(literal),
            None => $query
                .push(concat!(" AND ", $time, " >= "))
                .push_bind(span.first)
                .push(concat!(" AND ", $time, " <= "))
                .push_bind(span.last),
        };
        literal.is_none()
    }};
}

/// Whether a list goes from a cursor towards what is newer.
pub(super) fn is_backwards(cursor: Option<&Cursor>) -> bool {
    cursor.is_some_and(|cursor| cursor.direction == Direction::Prev)
}

/// How many rows a page lacks.
pub(super) fn missing<T>(limit: usize, found: &[T]) -> i64 {
    i64::try_from(limit.saturating_sub(found.len())).unwrap_or(i64::MAX)
}

impl History {
    /// Where to look for a list in `span`, one part after the other, until its page
    /// is full. There is one with SQLite, and one if the index is not `exact`: so
    /// many rows are looked at in all.
    pub(super) fn parts(&self, span: Span, cursor: Option<&Cursor>, exact: bool) -> Vec<Span> {
        match self.pool.0 {
            Engine::Postgres(_) if exact => {
                let now = Timestamp::from(SystemTime::now());
                span.parts(is_backwards(cursor), now.unix_millis())
            }
            _ => vec![span],
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

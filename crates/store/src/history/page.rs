//! Pages that cost the same wherever they lie.
//!
//! Each list goes along one index, the one that the filters choose. What the
//! index does not tell apart is looked at row by row, so many rows at most; a
//! page that ends there says so, and the next one goes on.

use uuid::Uuid;

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

/// Adds what lies in a span and beyond the cursor. Divided tables are pruned by
/// the instant alone.
macro_rules! span {
    ($query:ident, $time:literal, $id:literal, $span:expr, $cursor:expr) => {{
        let span: $crate::history::span::Span = $span;
        let cursor: Option<&domain::page::Cursor> = $cursor;
        let backwards =
            cursor.is_some_and(|cursor| cursor.direction == domain::page::Direction::Prev);
        let at = cursor.map(|cursor| cursor.at);
        let (first, last) = if backwards {
            (span.first.max(at.unwrap_or(i64::MIN)), span.last)
        } else {
            (span.first, span.last.min(at.unwrap_or(i64::MAX)))
        };
        if first > i64::MIN {
            $query
                .push(concat!(" AND ", $time, " >= "))
                .push_bind(first);
        }
        if last < i64::MAX {
            $query.push(concat!(" AND ", $time, " <= ")).push_bind(last);
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

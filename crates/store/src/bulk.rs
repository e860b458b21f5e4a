//! Many rows in one statement, the same call on both engines.
//!
//! PostgreSQL gets one array per column, whatever their length. SQLite gets
//! `VALUES` with a few fixed numbers of rows, so that its few texts stay
//! prepared; what counts there is the number of statements, because the driver
//! hands each to another thread.

mod postgres;
mod sqlite;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use sqlx::FromRow;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::Error;

/// A connection that takes many rows at once.
pub(crate) trait Bulk: Send {
    /// Writes rows.
    fn put(
        &mut self,
        insert: &'static Insert,
        rows: Rows<'_>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Writes rows that are probably not there: what PostgreSQL does so as not to
    /// stumble over those that are takes as long again. It answers
    /// [`Error::Exists`] if one is; SQLite does as [`put`](Self::put).
    fn add(
        &mut self,
        insert: &'static Insert,
        rows: Rows<'_>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Reads the rows with these keys.
    fn find<T: Found, const IDS: usize>(
        &mut self,
        lookup: &'static Lookup,
        keys: &[Key<IDS>],
    ) -> impl Future<Output = Result<Vec<T>, Error>> + Send;
}

/// What both engines' rows can be read as.
pub(crate) trait Found:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Found for T where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

/// What one row is found by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<const IDS: usize> {
    pub(crate) ids: [Uuid; IDS],
    /// By which its table is divided, in Unix milliseconds; `None`: it is not.
    pub(crate) at: Option<i64>,
}

/// A statement that inserts rows; always the same columns of the same kinds.
#[derive(Debug)]
pub(crate) struct Insert {
    /// The table and its columns.
    into: &'static str,
    /// What to do about rows that are there, on each engine.
    sqlite_conflict: &'static str,
    postgres_conflict: &'static str,
    postgres: OnceLock<Arc<str>>,
    /// Without the conflict.
    postgres_new: OnceLock<Arc<str>>,
    sqlite: OnceLock<[Arc<str>; sqlite::SIZES.len()]>,
}

impl Insert {
    pub(crate) const fn new(into: &'static str, conflict: &'static str) -> Self {
        Self::by_engine(into, conflict, conflict)
    }

    /// One whose key has the instant in it on PostgreSQL, by which the table is
    /// divided.
    pub(crate) const fn by_engine(
        into: &'static str,
        sqlite_conflict: &'static str,
        postgres_conflict: &'static str,
    ) -> Self {
        Self {
            into,
            sqlite_conflict,
            postgres_conflict,
            postgres: OnceLock::new(),
            postgres_new: OnceLock::new(),
            sqlite: OnceLock::new(),
        }
    }
}

/// A question about rows by their keys, of one or more UUIDs each.
#[derive(Debug)]
pub(crate) struct Lookup {
    /// The keys are `$1`, their bytes in one blob.
    pub(crate) sqlite: &'static str,
    /// The first UUIDs of the keys are the array `$1`, the second `$2`, …; of a
    /// divided table their instants are the next, then come the first and the
    /// last of those, which tell the planner where to look.
    pub(crate) postgres: &'static str,
}

/// Rows to insert, column by column in the order of the [`Insert`].
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    count: usize,
    columns: Vec<Column<'a>>,
}

/// The values of a column, one for each row.
#[derive(Debug)]
enum Column<'a> {
    Ids(Vec<Uuid>),
    OptionalIds(Vec<Option<Uuid>>),
    Texts(Vec<Cow<'a, str>>),
    OptionalTexts(Vec<Option<Cow<'a, str>>>),
    Numbers(Vec<i64>),
    OptionalNumbers(Vec<Option<i64>>),
    Flags(Vec<bool>),
    Bytes(Vec<&'a [u8]>),
}

impl<'a> Rows<'a> {
    /// `count` rows without columns yet.
    pub(crate) const fn new(count: usize) -> Self {
        Self {
            count,
            columns: Vec::new(),
        }
    }

    pub(crate) fn ids(self, values: impl Iterator<Item = Uuid>) -> Self {
        self.column(Column::Ids(values.collect()))
    }

    pub(crate) fn optional_ids(self, values: impl Iterator<Item = Option<Uuid>>) -> Self {
        self.column(Column::OptionalIds(values.collect()))
    }

    pub(crate) fn texts<T: Into<Cow<'a, str>>>(self, values: impl Iterator<Item = T>) -> Self {
        self.column(Column::Texts(values.map(Into::into).collect()))
    }

    pub(crate) fn optional_texts(self, values: impl Iterator<Item = Option<Cow<'a, str>>>) -> Self {
        self.column(Column::OptionalTexts(values.collect()))
    }

    pub(crate) fn numbers(self, values: impl Iterator<Item = i64>) -> Self {
        self.column(Column::Numbers(values.collect()))
    }

    pub(crate) fn optional_numbers(self, values: impl Iterator<Item = Option<i64>>) -> Self {
        self.column(Column::OptionalNumbers(values.collect()))
    }

    pub(crate) fn flags(self, values: impl Iterator<Item = bool>) -> Self {
        self.column(Column::Flags(values.collect()))
    }

    pub(crate) fn bytes(self, values: impl Iterator<Item = &'a [u8]>) -> Self {
        self.column(Column::Bytes(values.collect()))
    }

    fn column(mut self, column: Column<'a>) -> Self {
        self.columns.push(column);
        self
    }
}

//! SQLite's way.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};

use super::{Bulk, Column, Found, Insert, Key, Lookup, Rows};
use crate::Error;

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// Rows of a statement. With 20 columns the largest has 1,280 parameters, of
/// SQLite's 32,766.
pub(super) const SIZES: [usize; 4] = [64, 16, 4, 1];

impl Bulk for SqliteConnection {
    async fn put(&mut self, insert: &'static Insert, mut rows: Rows<'_>) -> Result<(), Error> {
        let texts = insert
            .sqlite
            .get_or_init(|| SIZES.map(|size| text(insert, rows.columns.len(), size)));
        let mut shared = vec![Shared::default(); rows.columns.len()];
        let mut next = 0;
        while next < rows.count {
            let (size, text) = SIZES
                .iter()
                .zip(texts)
                .find(|(size, _)| **size <= rows.count - next)
                .expect("a single row always fits");
            let mut query = sqlx::query(AssertSqlSafe(Arc::clone(text)));
            for row in next..next + size {
                for (column, shared) in rows.columns.iter_mut().zip(&mut shared) {
                    query = column.bind_one(row, shared, query);
                }
            }
            query.execute(&mut *self).await?;
            next += size;
        }
        Ok(())
    }

    async fn add(&mut self, insert: &'static Insert, rows: Rows<'_>) -> Result<(), Error> {
        self.put(insert, rows).await
    }

    async fn find<T: Found, const IDS: usize>(
        &mut self,
        lookup: &'static Lookup,
        keys: &[Key<IDS>],
    ) -> Result<Vec<T>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        // One parameter, however many keys: there is one text to prepare.
        let mut packed = Vec::with_capacity(keys.len() * IDS * 16);
        for id in keys.iter().flat_map(|key| &key.ids) {
            packed.extend_from_slice(id.as_bytes());
        }
        Ok(sqlx::query_as(lookup.sqlite)
            .bind(packed)
            .fetch_all(&mut *self)
            .await?)
    }
}

/// The last text of a column. Most rows of a batch have the account, the type and the
/// state of the row before, and each text of its own costs two allocations here and
/// their release in the driver's thread.
#[derive(Debug, Clone, Default)]
struct Shared(Option<Arc<str>>);

impl Shared {
    fn text(&mut self, text: &str) -> Arc<str> {
        match &self.0 {
            Some(last) if **last == *text => Arc::clone(last),
            _ => Arc::clone(self.0.insert(text.into())),
        }
    }
}

impl Column<'_> {
    fn bind_one<'q>(&mut self, row: usize, shared: &mut Shared, query: Query<'q>) -> Query<'q> {
        match self {
            Self::Ids(values) => query.bind(values[row]),
            Self::OptionalIds(values) => query.bind(values[row]),
            // Each is bound once: what is owned need not be copied.
            Self::Texts(values) => match std::mem::take(&mut values[row]) {
                Cow::Owned(text) => query.bind(text),
                Cow::Borrowed(text) => query.bind(shared.text(text)),
            },
            Self::OptionalTexts(values) => {
                query.bind(values[row].take().map(std::borrow::Cow::into_owned))
            }
            Self::Numbers(values) => query.bind(values[row]),
            Self::OptionalNumbers(values) => query.bind(values[row]),
            Self::Flags(values) => query.bind(values[row]),
            Self::Bytes(values) => query.bind(values[row].to_vec()),
        }
    }
}

/// Nameless parameters: SQLite looks the others up one by one. `OR FAIL`, because
/// a statement that could be undone alone copies every page before it changes
/// it: what fails undoes the transaction here.
fn text(insert: &Insert, columns: usize, rows: usize) -> Arc<str> {
    let row = format!("({})", vec!["?"; columns].join(", "));
    let values = vec![row; rows].join(", ");
    let mut text = format!("INSERT OR FAIL INTO {} VALUES {values}", insert.into);
    let _ = write!(text, " {}", insert.sqlite_conflict);
    text.into()
}

//! PostgreSQL's way.

use std::sync::{Arc, OnceLock};

use sqlx::postgres::PgArguments;
use sqlx::{AssertSqlSafe, PgConnection, Postgres};
use uuid::Uuid;

use super::{Bulk, Column, Found, Insert, Key, Lookup, Rows};
use crate::Error;

type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

impl Bulk for PgConnection {
    async fn put(&mut self, insert: &'static Insert, rows: Rows<'_>) -> Result<(), Error> {
        let conflict = insert.postgres_conflict;
        write(self, &insert.postgres, insert.into, rows, conflict).await
    }

    async fn add(&mut self, insert: &'static Insert, rows: Rows<'_>) -> Result<(), Error> {
        write(self, &insert.postgres_new, insert.into, rows, "").await
    }

    async fn find<T: Found, const IDS: usize>(
        &mut self,
        lookup: &'static Lookup,
        keys: &[Key<IDS>],
    ) -> Result<Vec<T>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = sqlx::query_as(lookup.postgres);
        for place in 0..IDS {
            query = query.bind(keys.iter().map(|key| key.ids[place]).collect::<Vec<Uuid>>());
        }
        let instants: Vec<i64> = keys.iter().filter_map(|key| key.at).collect();
        if let (Some(first), Some(last)) = (instants.iter().min(), instants.iter().max()) {
            let (first, last) = (*first, *last);
            query = query.bind(instants).bind(first).bind(last);
        }
        Ok(query.fetch_all(&mut *self).await?)
    }
}

impl<'a> Column<'a> {
    fn bind_all(self, query: Query<'a>) -> Query<'a> {
        match self {
            Self::Ids(values) => query.bind(values),
            Self::OptionalIds(values) => query.bind(values),
            Self::Texts(values) => query.bind(values),
            Self::OptionalTexts(values) => query.bind(values),
            Self::Numbers(values) => query.bind(values),
            Self::OptionalNumbers(values) => query.bind(values),
            Self::Flags(values) => query.bind(values),
            Self::Bytes(values) => query.bind(values),
        }
    }

    const fn array(&self) -> &'static str {
        match self {
            Self::Ids(_) | Self::OptionalIds(_) => "uuid[]",
            Self::Texts(_) | Self::OptionalTexts(_) => "text[]",
            Self::Numbers(_) | Self::OptionalNumbers(_) => "bigint[]",
            Self::Flags(_) => "boolean[]",
            Self::Bytes(_) => "bytea[]",
        }
    }
}

async fn write(
    connection: &mut PgConnection,
    text: &OnceLock<Arc<str>>,
    into: &str,
    rows: Rows<'_>,
    conflict: &str,
) -> Result<(), Error> {
    if rows.count == 0 {
        return Ok(());
    }
    let text = text.get_or_init(|| {
        let arrays = rows.columns.iter().enumerate();
        let arrays = arrays.map(|(place, column)| format!("${}::{}", place + 1, column.array()));
        let arrays = arrays.collect::<Vec<_>>().join(", ");
        format!("INSERT INTO {into} SELECT * FROM UNNEST({arrays}) {conflict}").into()
    });
    let mut query = sqlx::query(AssertSqlSafe(Arc::clone(text)));
    for column in rows.columns {
        query = column.bind_all(query);
    }
    query.execute(connection).await?;
    Ok(())
}

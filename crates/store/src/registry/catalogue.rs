use domain::page::{Cursor, Direction};
use domain::{EventType, Timestamp};
use uuid::Uuid;

use super::audit::note;
use super::outbox::{Mark, mark};
use super::{Registry, unreadable};
use crate::Error;

/// A registered event type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTypeRow {
    /// Orders those that were registered in the same millisecond.
    pub id: Uuid,
    pub name: EventType,
    pub description: String,
    /// JSON text.
    pub schema: String,
    /// JSON text.
    pub example: String,
    pub created_at: Timestamp,
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    description: String,
    schema: String,
    example: String,
    created_at: i64,
}

impl Row {
    fn read(self) -> Result<EventTypeRow, Error> {
        Ok(EventTypeRow {
            id: self.id,
            name: EventType::parse(&self.name).map_err(|_| unreadable("event type"))?,
            description: self.description,
            schema: self.schema,
            example: self.example,
            created_at: Timestamp::from_unix_millis(self.created_at),
        })
    }
}

impl Registry {
    /// Registers an event type.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`], or an outage.
    pub async fn create_event_type(&self, row: &EventTypeRow) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            sqlx::query(
                "INSERT INTO event_types (id, name, description, schema, example, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(row.id)
            .bind(row.name.as_str())
            .bind(&row.description)
            .bind(&row.schema)
            .bind(&row.example)
            .bind(row.created_at.unix_millis())
            .execute(&mut *tx)
            .await?;
            mark!(tx, &Mark::EventType(row.name.clone()));
            note!(tx, self.entry.as_ref());
            Ok(())
        })
    }

    /// One event type.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn event_type(&self, name: &EventType) -> Result<Option<EventTypeRow>, Error> {
        let row: Option<Row> = reading!(self.pool, connection => {
            Ok(sqlx::query_as(
                "SELECT id, name, description, schema, example, created_at FROM event_types \
                 WHERE name = $1",
            )
            .bind(name.as_str())
            .fetch_optional(&mut *connection)
            .await?)
        })?;
        row.map(Row::read).transpose()
    }

    /// Event types beyond a cursor, nearest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn event_types(
        &self,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Vec<EventTypeRow>, Error> {
        let (beyond, order) = match cursor.map(|cursor| cursor.direction) {
            Some(Direction::Prev) => (">", "ASC"),
            Some(Direction::Next) | None => ("<", "DESC"),
        };
        let query = format!(
            "SELECT id, name, description, schema, example, created_at FROM event_types \
             WHERE (created_at, id) {beyond} ($1, $2) \
             ORDER BY created_at {order}, id {order} LIMIT $3"
        );
        let (at, id) = cursor.map_or((i64::MAX, Uuid::max()), |cursor| (cursor.at, cursor.id));
        let rows: Vec<Row> = reading!(self.pool, connection => {
            Ok(sqlx::query_as(sqlx::AssertSqlSafe(query.clone()))
                .bind(at)
                .bind(id)
                .bind(i64::from(limit))
                .fetch_all(&mut *connection)
                .await?)
        })?;
        rows.into_iter().map(Row::read).collect()
    }

    /// The names of all event types.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn all_event_types(&self) -> Result<Vec<EventType>, Error> {
        let names: Vec<String> = reading!(self.pool, connection => {
            Ok(sqlx::query_scalar("SELECT name FROM event_types")
                .fetch_all(&mut *connection)
                .await?)
        })?;
        let names = names.iter().map(|name| EventType::parse(name));
        names
            .collect::<Result<_, _>>()
            .map_err(|_| unreadable("event type"))
    }
}

//! What an erasure is about.

use std::collections::HashSet;

use domain::{AccountId, DeliveryId, EndpointId, EventId, Timestamp};
use uuid::Uuid;

use crate::Error;
use crate::bulk::Key;
use crate::history::{History, read};

/// An attempt that a message asks for.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    pub event: EventId,
    pub delivery: DeliveryId,
    pub accepted_at: Timestamp,
    pub number: u32,
}

impl History {
    /// When an event of an account was accepted, if anything of it is recorded.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn accepted_at(
        &self,
        account: &AccountId,
        event: EventId,
    ) -> Result<Option<Timestamp>, Error> {
        const WHERE: [&str; 2] = [
            "SELECT accepted_at FROM events WHERE id = $1 AND account = $2",
            // It may be kept longer than its event.
            "SELECT accepted_at FROM deliveries WHERE event_id = $1 AND account = $2 LIMIT 1",
        ];
        for question in WHERE {
            let found: Option<i64> = reading!(self.pool, connection => {
                Ok(sqlx::query_scalar(question)
                    .bind(event.uuid())
                    .bind(account.as_str())
                    .fetch_optional(&mut *connection)
                    .await?)
            })?;
            if found.is_some() {
                return Ok(found.map(Timestamp::from_unix_millis));
            }
        }
        Ok(None)
    }

    /// The first events of an account that have a tag, of those accepted before an
    /// instant.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn tagged(
        &self,
        account: &AccountId,
        tag: (&str, &str),
        after: (Timestamp, Uuid),
        before: Timestamp,
        limit: i64,
    ) -> Result<Vec<(Timestamp, EventId)>, Error> {
        let found: Vec<(i64, Uuid)> = reading!(self.pool, connection => {
            Ok(sqlx::query_as(
                "SELECT accepted_at, event_id FROM event_tags WHERE account = $1 AND name = $2 \
                 AND value = $3 AND accepted_at >= $4 AND (accepted_at, event_id) > ($4, $5) \
                 AND accepted_at < $6 ORDER BY accepted_at, event_id LIMIT $7",
            )
            .bind(account.as_str())
            .bind(tag.0)
            .bind(tag.1)
            .bind(after.0.unix_millis())
            .bind(after.1)
            .bind(before.unix_millis())
            .bind(limit)
            .fetch_all(&mut *connection)
            .await?)
        })?;
        let event = |(at, id)| (Timestamp::from_unix_millis(at), EventId::from_uuid(id));
        Ok(found.into_iter().map(event).collect())
    }

    /// Which of these endpoints are deleted.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn deleted_among(
        &self,
        endpoints: &HashSet<EndpointId>,
    ) -> Result<HashSet<EndpointId>, Error> {
        if endpoints.is_empty() {
            return Ok(HashSet::new());
        }
        let found: Vec<Uuid> = reading!(self.pool, connection => {
            let mut query = sqlx::QueryBuilder::new(
                "SELECT id FROM history_endpoints WHERE deleted = TRUE AND id IN (",
            );
            let mut ids = query.separated(", ");
            for endpoint in endpoints {
                ids.push_bind(endpoint.uuid());
            }
            query.push(")");
            Ok(query.build_query_scalar().fetch_all(&mut *connection).await?)
        })?;
        Ok(found.into_iter().map(EndpointId::from_uuid).collect())
    }

    /// Those of the attempts that are recorded to be made, or need not be: their
    /// delivery has ended.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn settled_among(&self, pending: &[Pending]) -> Result<HashSet<DeliveryId>, Error> {
        let key = |one: &Pending| Key {
            ids: [one.event.uuid(), one.delivery.uuid()],
            at: Some(one.accepted_at.unix_millis()),
        };
        let keys: Vec<Key<2>> = pending.iter().map(key).collect();
        let rows = reading!(self.pool, connection => {
            read::standings(&mut *connection, &keys).await
        })?;
        let settled = pending.iter().filter(|one| {
            let row = rows.get(&one.delivery.uuid());
            row.is_some_and(|row| row.has_passed(i64::from(one.number)))
        });
        Ok(settled.map(|one| one.delivery).collect())
    }
}

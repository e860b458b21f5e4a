use domain::vault::Sealed;
use domain::{AccountId, EndpointId, Timestamp};
use uuid::Uuid;

use super::audit::note;
use super::outbox::{Mark, mark};
use super::{Registry, unreadable};
use crate::Error;

/// Something sealed, and where it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRow {
    pub account: AccountId,
    pub endpoint: EndpointId,
    /// The number of a signing secret; `None`: the endpoint's own headers.
    pub number: Option<i64>,
    pub sealed: Sealed,
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    account: String,
    id: Uuid,
    number: Option<i64>,
    master_key_id: String,
    sealed: Vec<u8>,
}

impl Row {
    fn read(self) -> Result<SealedRow, Error> {
        Ok(SealedRow {
            account: AccountId::parse(&self.account).map_err(|_| unreadable("secret"))?,
            endpoint: EndpointId::from_uuid(self.id),
            number: self.number,
            sealed: Sealed {
                master_key_id: self.master_key_id,
                bytes: self.sealed.into(),
            },
        })
    }
}

impl Registry {
    /// The master keys that have sealed, the one that seals first.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn master_keys(&self) -> Result<Vec<String>, Error> {
        reading!(self.pool, connection => {
            Ok(sqlx::query_scalar("SELECT id FROM master_keys ORDER BY activated_at DESC, id")
                .fetch_all(&mut *connection)
                .await?)
        })
    }

    /// Lets the master key of this id seal from now on. Without `always` only if
    /// none does yet.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn activate_master_key(
        &self,
        id: &str,
        now: Timestamp,
        always: bool,
    ) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            let only_first = "INSERT INTO master_keys (id, activated_at) \
                SELECT $1, $2 WHERE NOT EXISTS (SELECT 1 FROM master_keys) \
                ON CONFLICT (id) DO NOTHING";
            let each_time = "INSERT INTO master_keys (id, activated_at) VALUES ($1, $2) \
                ON CONFLICT (id) DO UPDATE SET activated_at = excluded.activated_at";
            sqlx::query(if always { each_time } else { only_first })
                .bind(id)
                .bind(now.unix_millis())
                .execute(&mut *tx)
                .await?;
            note!(tx, self.entry.as_ref());
            Ok(())
        })
    }

    /// How many secrets and headers are sealed under each master key.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn sealed_under(&self) -> Result<Vec<(String, i64)>, Error> {
        reading!(self.pool, connection => {
            Ok(sqlx::query_as(
                "SELECT master_key_id, CAST(SUM(sealed) AS BIGINT) FROM (\
                 SELECT master_key_id, COUNT(*) AS sealed FROM endpoint_secrets \
                 GROUP BY master_key_id UNION ALL \
                 SELECT headers_master_key_id, COUNT(*) FROM endpoints \
                 WHERE headers_master_key_id IS NOT NULL GROUP BY headers_master_key_id) AS each \
                 GROUP BY master_key_id",
            )
            .fetch_all(&mut *connection)
            .await?)
        })
    }

    /// Some of what is sealed under a master key.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn sealed_by(&self, id: &str, limit: u32) -> Result<Vec<SealedRow>, Error> {
        let rows: Vec<Row> = reading!(self.pool, connection => {
            let mut rows: Vec<Row> = sqlx::query_as(
                "SELECT e.account, s.endpoint_id AS id, CAST(s.number AS BIGINT) AS number, \
                 s.master_key_id, s.sealed FROM endpoint_secrets s \
                 JOIN endpoints e ON e.id = s.endpoint_id WHERE s.master_key_id = $1 LIMIT $2",
            )
            .bind(id)
            .bind(i64::from(limit))
            .fetch_all(&mut *connection)
            .await?;
            if rows.is_empty() {
                rows = sqlx::query_as(
                    "SELECT account, id, CAST(NULL AS BIGINT) AS number, \
                     headers_master_key_id AS master_key_id, headers_sealed AS sealed \
                     FROM endpoints WHERE headers_master_key_id = $1 LIMIT $2",
                )
                .bind(id)
                .bind(i64::from(limit))
                .fetch_all(&mut *connection)
                .await?;
            }
            Ok(rows)
        })?;
        rows.into_iter().map(Row::read).collect()
    }

    /// Replaces what is still sealed as it was. The endpoint keeps its version:
    /// what is in it has not changed.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn seal_anew(&self, rows: &[(SealedRow, Sealed)]) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            for (old, new) in rows {
                let changed = match old.number {
                    Some(number) => sqlx::query(
                        "UPDATE endpoint_secrets SET master_key_id = $1, sealed = $2 \
                         WHERE endpoint_id = $3 AND master_key_id = $4 AND number = $5",
                    )
                    .bind(&new.master_key_id)
                    .bind(new.bytes.to_vec())
                    .bind(old.endpoint.uuid())
                    .bind(&old.sealed.master_key_id)
                    .bind(number)
                    .execute(&mut *tx)
                    .await?
                    .rows_affected(),
                    // Other headers may have been set meanwhile.
                    None => sqlx::query(
                        "UPDATE endpoints SET headers_master_key_id = $1, headers_sealed = $2 \
                         WHERE id = $3 AND headers_master_key_id = $4 AND headers_sealed = $5",
                    )
                    .bind(&new.master_key_id)
                    .bind(new.bytes.to_vec())
                    .bind(old.endpoint.uuid())
                    .bind(&old.sealed.master_key_id)
                    .bind(old.sealed.bytes.to_vec())
                    .execute(&mut *tx)
                    .await?
                    .rows_affected(),
                };
                if changed > 0 {
                    mark!(tx, &Mark::Endpoint(old.account.clone(), old.endpoint));
                }
            }
            Ok(())
        })
    }
}

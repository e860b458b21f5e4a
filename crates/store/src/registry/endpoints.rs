use domain::delivery_policy::DeliveryPolicyChange;
use domain::page::{Cursor, Direction};
use domain::vault::SealedSecret;
use domain::{AccountId, DeliveryPolicy, Endpoint, EndpointId, EventType, Timestamp, Verification};
use uuid::Uuid;

use super::audit::note;
use super::outbox::{Mark, mark};
use super::policy::{self, PolicyRow, store_policy};
use super::{Registry, unreadable};
use crate::Error;

/// An endpoint as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRow {
    pub endpoint: Endpoint,
    pub description: String,
    pub updated_at: Timestamp,
}

/// An account that has endpoints, counted.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct AccountRow {
    pub account: String,
    pub endpoints: i64,
    pub disabled: i64,
}

/// An endpoint to be.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    pub id: EndpointId,
    pub account: AccountId,
    pub url: String,
    pub description: String,
    pub event_types: Vec<EventType>,
    pub verification: Verification,
    pub rate_limit: Option<u32>,
    pub policy: DeliveryPolicy,
    pub secret: SealedSecret,
    pub created_at: Timestamp,
}

/// What is to change; `None` is left as it is.
#[derive(Debug, Clone, Default)]
pub struct EndpointUpdate {
    /// With what holds of it if it is another than before.
    pub url: Option<(String, Verification)>,
    /// This URL has echoed a challenge; another one has not.
    pub verified_url: Option<String>,
    pub description: Option<String>,
    pub event_types: Option<Vec<EventType>>,
    pub rate_limit: Option<Option<u32>>,
    pub policy: DeliveryPolicyChange,
    /// The reason, or `None` for enabled.
    pub disabled: Option<Option<String>>,
    /// A new secret, and until when the old one stays valid beside it.
    pub secret: Option<(SealedSecret, Option<Timestamp>)>,
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: Uuid,
    account: String,
    version: i64,
    generation: i64,
    url: String,
    description: String,
    event_types: String,
    verification: String,
    rate_limit: Option<i64>,
    disabled: bool,
    disabled_reason: String,
    created_at: i64,
    updated_at: i64,
    #[sqlx(flatten)]
    policy: PolicyRow,
}

#[derive(Debug, sqlx::FromRow)]
struct SecretRow {
    master_key_id: String,
    sealed: Vec<u8>,
    valid_until: Option<i64>,
}

const COLUMNS: &str = "id, account, version, generation, url, description, event_types, \
                       verification, rate_limit, disabled, disabled_reason, created_at, updated_at";

impl Row {
    fn read(self, secrets: Vec<SealedSecret>) -> Result<EndpointRow, Error> {
        let bad = |_| unreadable("endpoint");
        let types = self.event_types.split_whitespace().map(EventType::parse);
        let number = |value: i64| u64::try_from(value).map_err(|_| unreadable("endpoint"));
        Ok(EndpointRow {
            endpoint: Endpoint {
                id: EndpointId::from_uuid(self.id),
                account: AccountId::parse(&self.account).map_err(bad)?,
                version: number(self.version)?,
                url: self.url,
                event_types: types.collect::<Result<_, _>>().map_err(bad)?,
                disabled: self.disabled,
                disabled_reason: self.disabled_reason,
                generation: number(self.generation)?,
                verification: self
                    .verification
                    .parse()
                    .map_err(|_| unreadable("endpoint"))?,
                rate_limit: self.rate_limit.and_then(|limit| u32::try_from(limit).ok()),
                policy: self.policy.read()?,
                created_at: Timestamp::from_unix_millis(self.created_at),
                secrets,
            },
            description: self.description,
            updated_at: Timestamp::from_unix_millis(self.updated_at),
        })
    }
}

impl SecretRow {
    fn read(self) -> SealedSecret {
        SealedSecret {
            master_key_id: self.master_key_id,
            sealed: self.sealed.into(),
            valid_until: self.valid_until.map(Timestamp::from_unix_millis),
        }
    }
}

fn join(types: &[EventType]) -> String {
    types
        .iter()
        .map(EventType::as_str)
        .collect::<Vec<_>>()
        .join(" ")
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Reads one endpoint with its secrets.
macro_rules! load {
    ($connection:ident, $id:expr) => {{
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS}, {} FROM endpoints WHERE id = $1",
            policy::COLUMNS
        )))
        .bind($id.uuid())
        .fetch_optional(&mut *$connection)
        .await?;
        let secrets: Vec<SecretRow> = sqlx::query_as(
            "SELECT master_key_id, sealed, valid_until FROM endpoint_secrets \
             WHERE endpoint_id = $1 ORDER BY number DESC",
        )
        .bind($id.uuid())
        .fetch_all(&mut *$connection)
        .await?;
        let secrets = secrets.into_iter().map(SecretRow::read).collect();
        row.map(|row| row.read(secrets)).transpose()?
    }};
}

impl Registry {
    /// Stores a new endpoint.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn create_endpoint(&self, new: &NewEndpoint) -> Result<EndpointRow, Error> {
        transaction!(self.pool, tx => {
            sqlx::query(
                "INSERT INTO endpoints (id, account, version, generation, url, description, \
                 event_types, rate_limit, disabled, disabled_reason, created_at, updated_at, \
                 verification, challenged_at) \
                 VALUES ($1, $2, 1, 0, $3, $4, $5, $6, FALSE, '', $7, $7, $8, $9)",
            )
            .bind(new.id.uuid())
            .bind(new.account.as_str())
            .bind(&new.url)
            .bind(&new.description)
            .bind(join(&new.event_types))
            .bind(new.rate_limit.map(i64::from))
            .bind(new.created_at.unix_millis())
            .bind(new.verification.as_str())
            .bind(challenged_at(new.verification, new.created_at))
            .execute(&mut *tx)
            .await?;
            store_policy!(tx, new.id, &new.policy);
            sqlx::query(
                "INSERT INTO endpoint_secrets (endpoint_id, number, master_key_id, sealed) \
                 VALUES ($1, 1, $2, $3)",
            )
            .bind(new.id.uuid())
            .bind(&new.secret.master_key_id)
            .bind(new.secret.sealed.to_vec())
            .execute(&mut *tx)
            .await?;
            mark!(tx, &Mark::Endpoint(new.account.clone(), new.id));
            note!(tx, self.entry.as_ref());
            load!(tx, new.id).ok_or_else(|| unreadable("endpoint"))
        })
    }

    /// One endpoint of an account.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn endpoint(
        &self,
        account: &AccountId,
        id: EndpointId,
    ) -> Result<Option<EndpointRow>, Error> {
        let row = reading!(self.pool, connection => { Ok(load!(connection, id)) })?;
        Ok(row.filter(|row| row.endpoint.account == *account))
    }

    /// Endpoints of an account beyond a cursor, nearest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn endpoints(
        &self,
        account: &AccountId,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Vec<EndpointRow>, Error> {
        let (beyond, order) = match cursor.map(|cursor| cursor.direction) {
            Some(Direction::Prev) => (">", "ASC"),
            Some(Direction::Next) | None => ("<", "DESC"),
        };
        let query = format!(
            "SELECT {COLUMNS}, {} FROM endpoints WHERE account = $1 \
             AND (created_at, id) {beyond} ($2, $3) \
             ORDER BY created_at {order}, id {order} LIMIT $4",
            policy::COLUMNS
        );
        let (at, id) = cursor.map_or((i64::MAX, Uuid::max()), |cursor| (cursor.at, cursor.id));
        let rows: Vec<Row> = reading!(self.pool, connection => {
            Ok(sqlx::query_as(sqlx::AssertSqlSafe(query.clone()))
                .bind(account.as_str())
                .bind(at)
                .bind(id)
                .bind(i64::from(limit))
                .fetch_all(&mut *connection)
                .await?)
        })?;
        // A list shows no signing secrets, so none are read.
        rows.into_iter().map(|row| row.read(Vec::new())).collect()
    }

    /// Changes an endpoint whose version is still `if_version`, if that is
    /// given. Returns it as it is afterwards; `None` if there is no such
    /// endpoint or version, or what is verified is not what awaits it.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn update_endpoint(
        &self,
        account: &AccountId,
        id: EndpointId,
        update: &EndpointUpdate,
        if_version: Option<u64>,
        now: Timestamp,
    ) -> Result<Option<EndpointRow>, Error> {
        transaction!(self.pool, tx => {
            // PostgreSQL lets others read meanwhile; lock what is decided on.
            let locked = sqlx::query("UPDATE endpoints SET version = version + 1, updated_at = $2 WHERE id = $1 AND account = $3")
                .bind(id.uuid())
                .bind(now.unix_millis())
                .bind(account.as_str())
                .execute(&mut *tx)
                .await?;
            if locked.rows_affected() == 0 {
                return Ok(None);
            }
            let old = load!(tx, id).ok_or_else(|| unreadable("endpoint"))?;
            if if_version.is_some_and(|version| version + 1 != old.endpoint.version) {
                // Rolled back by the error; see below.
                return Err(Error::Exists);
            }
            if update.verified_url.as_ref().is_some_and(|url| {
                *url != old.endpoint.url || !old.endpoint.awaits_verification()
            }) {
                return Err(Error::Exists);
            }
            let old_url = old.endpoint.url.clone();
            let new = apply(old, update);
            sqlx::query(
                "UPDATE endpoints SET generation = $2, url = $3, description = $4, \
                 event_types = $5, rate_limit = $6, disabled = $7, disabled_reason = $8, \
                 verification = $9, challenged_at = COALESCE($10, challenged_at) WHERE id = $1",
            )
            .bind(id.uuid())
            .bind(signed(new.endpoint.generation))
            .bind(&new.endpoint.url)
            .bind(&new.description)
            .bind(join(&new.endpoint.event_types))
            .bind(new.endpoint.rate_limit.map(i64::from))
            .bind(new.endpoint.disabled)
            .bind(&new.endpoint.disabled_reason)
            .bind(new.endpoint.verification.as_str())
            .bind(match new.endpoint.url == old_url {
                true => None,
                false => challenged_at(new.endpoint.verification, now),
            })
            .execute(&mut *tx)
            .await?;
            store_policy!(tx, id, &new.endpoint.policy);
            if let Some((secret, old_valid_until)) = &update.secret {
                // Only one old secret is ever kept.
                match old_valid_until {
                    None => {
                        sqlx::query("DELETE FROM endpoint_secrets WHERE endpoint_id = $1")
                            .bind(id.uuid())
                            .execute(&mut *tx)
                            .await?;
                    }
                    Some(until) => {
                        sqlx::query("DELETE FROM endpoint_secrets WHERE endpoint_id = $1 AND valid_until IS NOT NULL")
                            .bind(id.uuid())
                            .execute(&mut *tx)
                            .await?;
                        sqlx::query("UPDATE endpoint_secrets SET valid_until = $2 WHERE endpoint_id = $1")
                            .bind(id.uuid())
                            .bind(until.unix_millis())
                            .execute(&mut *tx)
                            .await?;
                    }
                }
                sqlx::query(
                    "INSERT INTO endpoint_secrets (endpoint_id, number, master_key_id, sealed) \
                     VALUES ($1, $2, $3, $4)",
                )
                .bind(id.uuid())
                .bind(signed(new.endpoint.version))
                .bind(&secret.master_key_id)
                .bind(secret.sealed.to_vec())
                .execute(&mut *tx)
                .await?;
            }
            mark!(tx, &Mark::Endpoint(account.clone(), id));
            note!(tx, self.entry.as_ref());
            Ok(load!(tx, id))
        })
        .or_else(|error| match error {
            Error::Exists => Ok(None),
            other => Err(other),
        })
    }

    /// Deletes an endpoint. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn delete_endpoint(
        &self,
        account: &AccountId,
        id: EndpointId,
    ) -> Result<bool, Error> {
        transaction!(self.pool, tx => {
            let deleted = sqlx::query("DELETE FROM endpoints WHERE id = $1 AND account = $2")
                .bind(id.uuid())
                .bind(account.as_str())
                .execute(&mut *tx)
                .await?;
            if deleted.rows_affected() == 0 {
                return Ok(false);
            }
            mark!(tx, &Mark::Endpoint(account.clone(), id));
            note!(tx, self.entry.as_ref());
            Ok(true)
        })
    }

    /// How many endpoints an account has.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn count_endpoints(&self, account: &AccountId) -> Result<u64, Error> {
        let count: i64 = reading!(self.pool, connection => {
            Ok(sqlx::query_scalar("SELECT COUNT(*) FROM endpoints WHERE account = $1")
                .bind(account.as_str())
                .fetch_one(&mut *connection)
                .await?)
        })?;
        Ok(count.unsigned_abs())
    }

    /// Accounts that have endpoints, in the order of their names after `after`,
    /// at most `limit`.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn accounts(&self, after: &str, limit: u32) -> Result<Vec<AccountRow>, Error> {
        reading!(self.pool, connection => {
            Ok(sqlx::query_as(
                "SELECT account, COUNT(*) AS endpoints, \
                 CAST(SUM(CASE WHEN disabled THEN 1 ELSE 0 END) AS BIGINT) AS disabled \
                 FROM endpoints WHERE account > $1 GROUP BY account ORDER BY account LIMIT $2",
            )
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&mut *connection)
            .await?)
        })
    }

    /// The accounts and ids of all endpoints, for a comparison with the
    /// directory.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn all_endpoints(&self) -> Result<Vec<(AccountId, EndpointId, u64)>, Error> {
        let rows: Vec<(String, Uuid, i64)> = reading!(self.pool, connection => {
            Ok(sqlx::query_as("SELECT account, id, version FROM endpoints")
                .fetch_all(&mut *connection)
                .await?)
        })?;
        rows.into_iter()
            .map(|(account, id, version)| {
                let account = AccountId::parse(&account).map_err(|_| unreadable("endpoint"))?;
                Ok((
                    account,
                    EndpointId::from_uuid(id),
                    u64::try_from(version).unwrap_or(0),
                ))
            })
            .collect()
    }
}

/// Who begins as pending is sent a challenge at once.
fn challenged_at(verification: Verification, now: Timestamp) -> Option<i64> {
    (verification == Verification::Pending).then(|| now.unix_millis())
}

fn apply(mut row: EndpointRow, update: &EndpointUpdate) -> EndpointRow {
    let endpoint = &mut row.endpoint;
    if let Some((url, verification)) = &update.url
        && endpoint.url != *url
    {
        endpoint.url.clone_from(url);
        endpoint.verification = *verification;
    }
    if update.verified_url.is_some() {
        endpoint.verification = Verification::Verified;
    }
    if let Some(types) = &update.event_types {
        endpoint.event_types.clone_from(types);
    }
    if let Some(limit) = update.rate_limit {
        endpoint.rate_limit = limit;
    }
    endpoint.policy.apply(&update.policy);
    if let Some(disabled) = &update.disabled {
        // What waits is cancelled once per time that it is disabled.
        if disabled.is_some() && !endpoint.disabled {
            endpoint.generation += 1;
        }
        endpoint.disabled = disabled.is_some();
        endpoint.disabled_reason = disabled.clone().unwrap_or_default();
    }
    if let Some(description) = &update.description {
        row.description.clone_from(description);
    }
    row
}

//! A key written into the database, for a deployment that has none yet.
//! Control tells everybody of it within a second.

use std::time::SystemTime;

use anyhow::{Context as _, Result};
use domain::audit::{Action, Entry, Origin, Via};
use domain::key::{self, ApiKey, KeyRecord, Scope};
use domain::{AccountId, Timestamp};
use serde_json::json;
use store::{KeyRow, Registry};
use uuid::Uuid;

use super::Create;
use crate::client::{Misuse, output};
use crate::config::{Config, Error, Setting};
use crate::database;

/// Makes a key and prints it.
///
/// # Errors
///
/// When a value cannot be used, or the database does not take it.
pub(super) async fn create(create: Create, config: &Config) -> Result<()> {
    let url = config.database_url.as_ref().ok_or(Error::Missing {
        setting: Setting::DatabaseUrl,
        what: "key create --database",
    })?;
    let (token, row) = row(&create)?;
    let pool = database::open(url).await?;
    let now = row.created_at;
    let mut entry = Entry::of_itself(Action::KeyCreated, &row.record.id, now);
    entry.origin = Origin {
        via: Via::Command,
        address: None,
    };
    entry.account.clone_from(&row.record.account);
    let registry = Registry::new(pool).noting(entry.detail(create.scope.clone()));
    registry
        .put_key(&row)
        .await
        .context("the database does not take the key (has `postrider migrate` been run?)")?;
    if create.connection.json {
        output::json(&json!({"id": row.record.id, "key": token}))
    } else {
        output::line(&token)
    }
}

fn row(create: &Create) -> Result<(String, KeyRow)> {
    let now = Timestamp::from(SystemTime::now());
    let scope: Scope = create.scope.parse()?;
    if let Err(violation) = domain::endpoint::check_description(&create.description) {
        return Err(Misuse::new(format!("--description: {}", violation.message)).into());
    }
    let account = create
        .account
        .as_deref()
        .map(AccountId::parse)
        .transpose()?;
    let mut random = [0; 32];
    getrandom::fill(&mut random).context("the system has no randomness")?;
    let (id, token) = ApiKey::generate(scope, random);
    let record = KeyRecord {
        id,
        version: 1,
        hash: key::hash(&token),
        scope,
        account,
        expires_at: create.expires_at,
    };
    let row = KeyRow {
        record,
        row_id: Uuid::now_v7(),
        description: create.description.clone(),
        created_at: now,
        last_used_at: None,
    };
    Ok((token, row))
}

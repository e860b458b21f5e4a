//! Opening and migrating the database.

use std::time::Duration;

use anyhow::{Context as _, Result};
use secrecy::{ExposeSecret as _, SecretString};

use crate::config;

const MIGRATE_LIMIT: Duration = Duration::from_secs(600);

/// Prepares connections; the database need not be reachable yet.
///
/// # Errors
///
/// When the address cannot be used at all.
pub(crate) async fn open(url: &SecretString) -> Result<store::Pool> {
    match store::Pool::open(url.expose_secret()).await {
        Err(error @ store::Error::Configuration(_)) => {
            Err(config::Error::Refused(error.to_string()).into())
        }
        opened => opened.context("cannot open the database"),
    }
}

/// Brings the tables up to this version, at most for 10 minutes.
///
/// # Errors
///
/// When the database is not reachable, or a later version has made its tables.
pub(crate) async fn migrate(pool: &store::Pool) -> Result<()> {
    tokio::time::timeout(MIGRATE_LIMIT, pool.migrate())
        .await
        .context("migrating the database takes longer than 10 minutes")?
        .context("cannot migrate the database")
}

//! Endpoints, secrets, keys and event types. Every change leaves a mark in the
//! outbox in the same transaction; control tells the directories and removes
//! the mark. Who made the change is noted in the same transaction too.

mod audit;
mod catalogue;
mod challenges;
mod endpoints;
mod keys;
mod master_keys;
mod outbox;
mod policy;

pub use audit::AuditFilter;
pub use catalogue::EventTypeRow;
pub use endpoints::{AccountRow, EndpointRow, EndpointUpdate, NewEndpoint};
pub use keys::KeyRow;
pub use master_keys::SealedRow;
pub use outbox::Mark;

use domain::audit::Entry;

use crate::{Error, Pool};

/// Control's tables.
#[derive(Debug, Clone)]
pub struct Registry {
    pool: Pool,
    /// What the next change is noted as.
    entry: Option<Entry>,
}

impl Registry {
    /// The tables in this database.
    #[must_use]
    pub const fn new(pool: Pool) -> Self {
        Self { pool, entry: None }
    }

    /// The database.
    #[must_use]
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }
}

fn unreadable(what: &str) -> Error {
    Error::Refused(format!("a stored {what} cannot be read"))
}

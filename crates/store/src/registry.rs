//! Endpoints, secrets, keys and event types. Every change leaves a mark in the
//! outbox in the same transaction; control tells the directories and removes
//! the mark.

mod catalogue;
mod endpoints;
mod keys;
mod outbox;
mod policy;

pub use catalogue::EventTypeRow;
pub use endpoints::{EndpointRow, EndpointUpdate, NewEndpoint};
pub use keys::KeyRow;
pub use outbox::Mark;

use crate::{Error, Pool};

/// Control's tables.
#[derive(Debug, Clone)]
pub struct Registry {
    pool: Pool,
}

impl Registry {
    /// The tables in this database.
    #[must_use]
    pub const fn new(pool: Pool) -> Self {
        Self { pool }
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

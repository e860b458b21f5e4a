//! SQL: what control registers and what history records, on SQLite or
//! PostgreSQL, with one text for both wherever the engines allow it.
//!
//! - [`Pool`]: the connections, and the migrations that are in the binary
//! - [`Registry`]: endpoints, secrets, keys, event types, and the outbox
//! - [`History`]: events, deliveries, attempts and what is counted of them

#[macro_use]
mod pool;
mod bulk;
mod error;
mod history;
mod registry;

pub use error::Error;
pub use history::{
    AccountRetention, Asked, AttemptFilter, AttemptRow, AttemptSummary, Batch, Body, Candidate,
    Day, DeliveryRow, EndpointHealth, Erased, ErasedAgain, ErasureRow, EventFilter, EventRow,
    Exhausted, Expired, Expiry, Failing, Findings, Found, History, HourOfEndpoint, Known, Marks,
    NewReplay, Overdue, Pending, Progress, Quarantined, Recovered, ReplayRow, ResendSource, Stats,
    Tracked, Trouble, Troubled, Unfinished,
};
pub use pool::{Connections, Pool};
pub use registry::{
    AccountRow, AuditFilter, EndpointRow, EndpointUpdate, EventTypeRow, KeyRow, Mark, NewEndpoint,
    Registry, SealedRow,
};

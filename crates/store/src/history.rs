//! What happened: events, plans, deliveries, attempts, and the counts of them.
//!
//! Everything may be recorded again and in any order. Who writes about an
//! endpoint locks its row first, so that writers about one endpoint take turns
//! and the counts move only by what really changed.

#[macro_use]
mod page;
mod account_retention;
mod advance;
mod alike;
mod attempt;
mod attempts;
mod claims;
mod closed;
mod condition;
mod days;
mod delivery;
mod endpoints;
mod erasure;
mod events;
mod expire;
mod fates;
mod findings;
mod fleet;
mod fold;
mod marks;
mod overdue;
mod read;
mod record;
mod replay;
mod resend;
mod span;
mod stats;
mod text;
mod turn;
mod write;

use std::collections::BTreeMap;

use domain::Timestamp;
use uuid::Uuid;

use crate::Pool;
use alike::Alike;
use fates::Earlier;
use page::Beside;

pub use account_retention::AccountRetention;
pub use attempts::AttemptFilter;
pub use days::Day;
pub use erasure::{Erased, ErasureRow, Pending};
pub use events::EventFilter;
pub use expire::{Expired, Expiry};
pub use findings::{ErasedAgain, Exhausted, Failing, Findings, Recovered};
pub use fleet::{HourOfEndpoint, Trouble, Troubled};
pub use marks::{Asked, Marks};
pub use overdue::Overdue;
pub use page::Found;
pub use record::{Batch, Quarantined};
pub use replay::{Body, Candidate, Known, NewReplay, Progress, ReplayRow, Tracked, Unfinished};
pub use resend::ResendSource;

/// History's tables.
#[derive(Debug, Clone)]
pub struct History {
    pool: Pool,
    alike: Alike,
    beside: Beside,
    earlier: Earlier,
}

impl History {
    /// The tables in this database.
    #[must_use]
    pub fn new(pool: Pool) -> Self {
        Self {
            pool,
            alike: Alike::default(),
            beside: Beside::default(),
            earlier: Earlier::default(),
        }
    }

    /// The database.
    #[must_use]
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }
}

/// An event, with what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    pub id: Uuid,
    pub event_type: String,
    pub accepted_at: Timestamp,
    pub live_mode: bool,
    /// For one endpoint only.
    pub test: bool,
    pub tags: BTreeMap<String, String>,
    pub body: Vec<u8>,
    pub trace_id: String,
    /// Whether it is known which endpoints get it.
    pub planned: bool,
    pub deliveries: Vec<DeliveryRow>,
    /// Endpoints and why they do not get it.
    pub not_sent: Vec<(Uuid, String)>,
}

impl EventRow {
    /// Whether it was erased. Its mark is forgotten some day, but no event is accepted
    /// without a body, and the body goes before the row does only by an erasure.
    #[must_use]
    pub const fn is_erased(&self) -> bool {
        self.body.is_empty()
    }
}

/// A delivery.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct DeliveryRow {
    pub id: Uuid,
    pub event_id: Uuid,
    pub endpoint_id: Uuid,
    pub cause: String,
    pub state: String,
    pub reason: String,
    pub attempts: i64,
    /// Unix milliseconds.
    pub next_attempt_at: Option<i64>,
}

/// An attempt in a list.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct AttemptSummary {
    pub id: Uuid,
    pub number: i64,
    pub event_id: Uuid,
    pub event_type: String,
    pub delivery_id: Uuid,
    pub endpoint_id: Uuid,
    pub succeeded: bool,
    pub response_status: Option<i64>,
    pub failure_class: String,
    /// Unix milliseconds.
    pub started_at: i64,
    pub duration_ms: i64,
}

/// An attempt with all that was sent and answered.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    pub summary: AttemptSummary,
    pub url: String,
    pub request_headers: BTreeMap<String, String>,
    /// `None`: no longer kept, or not recorded yet.
    pub request_body: Option<Vec<u8>>,
    pub response_headers: BTreeMap<String, String>,
    pub response_body: Vec<u8>,
    pub response_truncated: bool,
    pub failure_message: String,
    pub next_attempt_at: Option<Timestamp>,
    pub delivery_state: String,
    /// Why it waits or has ended so.
    pub delivery_reason: String,
    pub tags: BTreeMap<String, String>,
    pub trace_id: String,
    /// 16 hex digits; empty where it was recorded before these were kept.
    pub span_id: String,
}

/// Deliveries but tests, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, sqlx::FromRow)]
pub struct Stats {
    pub total: i64,
    pub succeeded: i64,
    pub failed: i64,
    pub cancelled: i64,
    pub pending: i64,
    /// Pending with a failed attempt; part of `pending`.
    pub retrying: i64,
}

/// How an endpoint is doing, tests left out.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct EndpointHealth {
    pub id: Uuid,
    /// Which disables the row tells of: see [`domain::Endpoint::generation`].
    pub generation: i64,
    /// Unix milliseconds.
    pub last_attempt_at: Option<i64>,
    /// `None`: it succeeded.
    pub last_failure: Option<String>,
    /// Unix milliseconds.
    pub failing_since: Option<i64>,
    /// Deliveries that wait for a rate limit.
    pub throttled: i64,
    /// Deliveries that wait for the endpoint to work again.
    pub paused: i64,
    /// Unix milliseconds: when one of those is to be tried.
    pub paused_until: Option<i64>,
}

fn texts(json: &str) -> BTreeMap<String, String> {
    serde_json::from_str(json).unwrap_or_default()
}

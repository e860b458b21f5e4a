//! What an event, an endpoint, a delivery and an attempt are, and the pure
//! rules about them. No I/O: time and randomness are passed in (but for the
//! version 7 UUIDs of [`id`], which are made where they are needed).
//!
//! - words: [`account`], [`event_type`], [`id`], [`timestamp`], [`trace`]
//! - an event: [`event`], [`json`], [`envelope`], [`catalogue`], [`operational`]
//! - an endpoint: [`endpoint`], [`delivery_policy`], [`custom_headers`],
//!   [`egress`], [`challenge`], [`signature`], [`vault`]
//! - a delivery: [`delivery`], [`not_sent`], [`attempt`], [`headers`], [`retry`]
//! - when it is its turn: [`pace`], [`breaker`], [`share`]
//! - once more: [`replay`]; never again: [`erasure`]
//! - who sees to it: [`partition`], [`rendezvous`]
//! - the public API: [`problem`], [`key`], [`page`], [`audit`]

pub mod account;
pub mod attempt;
pub mod audit;
pub mod breaker;
pub mod catalogue;
pub mod challenge;
pub mod custom_headers;
pub mod delivery;
pub mod delivery_policy;
pub mod egress;
pub mod endpoint;
pub mod envelope;
pub mod erasure;
pub mod event;
pub mod event_type;
pub mod headers;
pub mod id;
pub mod json;
pub mod key;
pub mod not_sent;
pub mod operational;
pub mod pace;
pub mod page;
pub mod partition;
pub mod problem;
pub mod rendezvous;
pub mod replay;
pub mod retry;
pub mod share;
pub mod signature;
pub mod timestamp;
pub mod trace;
pub mod vault;

pub use account::AccountId;
pub use attempt::{Attempt, Failure, FailureClass, Outcome, Record};
pub use delivery::{
    Cause, Content, DeferralReason, Delivery, DeliveryEvent, DeliveryState, EndedReason,
    NotSentReason, Plan, PlannedDelivery,
};
pub use delivery_policy::DeliveryPolicy;
pub use egress::EndpointUrl;
pub use endpoint::{Endpoint, Verification};
pub use erasure::{ErasureMark, ErasureScope, ErasureState};
pub use event::{AcceptedEvent, NewEvent, PublisherId, Tags};
pub use event_type::EventType;
pub use headers::Headers;
pub use id::{AttemptId, DeliveryId, EndpointId, ErasureId, EventId, ReplayId};
pub use json::JsonObject;
pub use not_sent::NotSent;
pub use partition::{Partition, Partitions};
pub use problem::{FieldViolation, Problem, Reason};
pub use replay::{ReplayState, ReplayStatus};
pub use timestamp::Timestamp;
pub use trace::TraceContext;

//! One HTTP POST of a delivery, and what is recorded of it.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;

use crate::delivery::words;
use crate::{
    AccountId, AttemptId, Cause, DeferralReason, DeliveryId, DeliveryState, EndedReason,
    EndpointId, EventId, EventType, Headers, Timestamp, TraceContext,
};

/// This much of a response body is kept, 64 KiB.
pub const MAX_RESPONSE_BODY_BYTES: usize = 65_536;

/// HTTP's status codes have three digits.
pub const STATUSES: RangeInclusive<u32> = 100..=999;

words! {
    /// What kind of failure an attempt met.
    FailureClass {
        /// The host name has no address, or none was found in time.
        Dns "dns",
        /// No TCP connection, or it broke.
        Connect "connect",
        /// No TLS session: certificate, protocol, name.
        Tls "tls",
        /// The exchange took longer than it may.
        Timeout "timeout",
        /// The address is one that Postrider never sends to.
        EgressDenied "egress_denied",
        /// An answer other than 2xx.
        HttpStatus "http_status",
        /// What came back is not HTTP.
        ResponseInvalid "response_invalid",
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub class: FailureClass,
    /// For the endpoint's owner: what happened and what to look at.
    pub message: String,
}

/// One POST and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub id: AttemptId,
    pub started_at: Timestamp,
    pub duration: Duration,
    pub url: String,
    /// In the order sent; names in lower case.
    pub request_headers: Headers,
    /// `None` if there was no answer.
    pub response_status: Option<u16>,
    pub response_headers: Headers,
    /// At most [`MAX_RESPONSE_BODY_BYTES`].
    pub response_body: Bytes,
    /// Whether the body was longer.
    pub response_truncated: bool,
    /// `None`: it succeeded.
    pub failure: Option<Failure>,
    /// When the next attempt is due; `None` if there is none.
    pub next_attempt_at: Option<Timestamp>,
    /// The attempt's own span.
    pub trace: TraceContext,
}

impl Attempt {
    /// Whether the endpoint said that it is gone for good: it answered 410.
    #[must_use]
    pub fn says_gone(&self) -> bool {
        self.response_status == Some(410)
    }
}

/// How a delivery moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A POST was made.
    Attempt(Box<Attempt>),
    /// It ended without another POST.
    Ended {
        /// [`DeliveryState::Failed`] or [`DeliveryState::Cancelled`].
        state: DeliveryState,
        reason: EndedReason,
        at: Timestamp,
    },
    /// The attempt is due and waits; that spends no attempt and no retry.
    Deferred {
        reason: DeferralReason,
        /// When it is expected to be made; `None` if that cannot be told.
        until: Option<Timestamp>,
    },
}

impl Outcome {
    /// The delivery's state after it.
    #[must_use]
    pub fn delivery_state(&self) -> DeliveryState {
        match self {
            Self::Ended { state, .. } => *state,
            Self::Deferred { .. } => DeliveryState::Pending,
            Self::Attempt(attempt) if attempt.failure.is_none() => DeliveryState::Succeeded,
            Self::Attempt(attempt) if attempt.next_attempt_at.is_some() => DeliveryState::Pending,
            // It disables the endpoint.
            Self::Attempt(attempt) if attempt.says_gone() => DeliveryState::Cancelled,
            Self::Attempt(_) => DeliveryState::Failed,
        }
    }
}

/// One outcome of one delivery, with all that history needs to know of it, so
/// that it may arrive before the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub delivery_id: DeliveryId,
    pub event_id: EventId,
    pub endpoint_id: EndpointId,
    pub account: AccountId,
    pub event_type: EventType,
    pub cause: Cause,
    pub accepted_at: Timestamp,
    pub endpoint_generation: u64,
    /// The attempt that was made, or would have been.
    pub attempt_number: u32,
    pub outcome: Outcome,
}

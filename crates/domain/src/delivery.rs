//! One event on its way to one endpoint.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    AccountId, DeliveryId, EndpointId, EventId, EventType, NotSent, Timestamp, TraceContext,
};

/// An enum whose variants have one word each, the same in proto, REST, SQL and
/// metrics.
macro_rules! words {
    ($($(#[$doc:meta])+ $name:ident { $($(#[$variant_doc:meta])+ $variant:ident $word:literal,)+ })+) => {$(
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])+ $variant,)+ }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::delivery::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|value| value.as_str() == text)
                    .ok_or_else(|| $crate::delivery::UnknownWord(text.to_owned()))
            }
        }
    )+};
}
pub(crate) use words;

/// The text is none of the words it may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not one of the words allowed here")]
pub struct UnknownWord(pub String);

words! {
    /// Why a delivery exists.
    Cause {
        /// Fan-out matched a subscription.
        Event "event",
        /// A test event.
        Test "test",
        /// Somebody sent one event again.
        Resend "resend",
        /// Somebody sent a span of events again.
        Replay "replay",
    }

    /// Where a delivery stands.
    DeliveryState {
        /// There is an attempt to come.
        Pending "pending",
        /// An attempt got a 2xx.
        Succeeded "succeeded",
        /// The retries are used up.
        Failed "failed",
        /// The endpoint was disabled or deleted.
        Cancelled "cancelled",
    }

    /// Why an event was not sent to an endpoint of its account.
    NotSentReason {
        /// The endpoint does not want this type.
        NotSubscribed "not_subscribed",
        /// The endpoint was disabled.
        Disabled "disabled",
        /// The endpoint is younger than the event.
        CreatedLater "created_later",
        /// The endpoint has not shown yet that it is its account's.
        Unverified "unverified",
    }

    /// Why a delivery ended without a last POST.
    EndedReason {
        /// Disabled by its owner, a `410`, or lasting failure.
        EndpointDisabled "endpoint_disabled",
        /// Deleted by its owner.
        EndpointDeleted "endpoint_deleted",
        /// Its URL has not shown yet that it is its account's.
        EndpointUnverified "endpoint_unverified",
        /// The event's body is no longer kept.
        BodyExpired "body_expired",
        /// Somebody had the event erased.
        Erased "erased",
    }

    /// Why an attempt waits though it is due.
    DeferralReason {
        /// The endpoint's rate limit, or its limit on POSTs at once.
        Throttled "throttled",
        /// The endpoint has failed so often that only probes are sent.
        Paused "paused",
    }
}

/// A delivery that fan-out decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedDelivery {
    pub id: DeliveryId,
    pub endpoint_id: EndpointId,
    pub cause: Cause,
    /// The endpoint's at planning: see [`crate::Endpoint::generation`].
    pub endpoint_generation: u64,
}

/// What becomes of one event: which endpoints get it, which do not and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub event_id: EventId,
    pub account: AccountId,
    pub event_type: EventType,
    pub accepted_at: Timestamp,
    pub planned_at: Timestamp,
    pub deliveries: Vec<PlannedDelivery>,
    pub not_sent: NotSent,
}

/// What is sent, or where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The body itself.
    Inline(Bytes),
    /// The sequence in EVENTS of the message that holds it.
    EventsSequence(u64),
}

impl Content {
    /// How many bytes of the body it carries.
    #[must_use]
    pub fn inline_bytes(&self) -> usize {
        match self {
            Self::Inline(body) => body.len(),
            Self::EventsSequence(_) => 0,
        }
    }
}

/// What a delivery carries of its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryEvent {
    pub id: EventId,
    pub account: AccountId,
    pub event_type: EventType,
    pub accepted_at: Timestamp,
    pub content: Content,
    pub trace: TraceContext,
}

/// An attempt to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub endpoint_id: EndpointId,
    pub event: Arc<DeliveryEvent>,
    pub cause: Cause,
    /// Which attempt, from 1.
    pub attempt_number: u32,
    /// What the endpoint directory must have seen before this is decided.
    pub directory_revision: u64,
    /// See [`crate::Endpoint::generation`].
    pub endpoint_generation: u64,
    pub previous_attempt: Option<TraceContext>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_back_to_their_values() {
        for cause in Cause::ALL {
            assert_eq!(cause.as_str().parse(), Ok(*cause));
        }
        for state in DeliveryState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        assert!("Pending".parse::<DeliveryState>().is_err());
    }
}

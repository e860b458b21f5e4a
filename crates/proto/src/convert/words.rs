//! The enums.

use domain::attempt::FailureClass;
use domain::key::Scope;
use domain::{Cause, DeferralReason, DeliveryState, EndedReason, NotSentReason, Verification};

use crate::{DecodeError, pipeline};

/// Pairs each of the domain's words with its number on the wire.
macro_rules! pairs {
    ($($domain:ident $wire:ident $field:literal { $($ours:ident $theirs:ident,)+ })+) => {$(
        impl From<$domain> for pipeline::$wire {
            fn from(value: $domain) -> Self {
                match value { $($domain::$ours => Self::$theirs,)+ }
            }
        }

        impl TryFrom<pipeline::$wire> for $domain {
            type Error = DecodeError;

            fn try_from(value: pipeline::$wire) -> Result<Self, DecodeError> {
                match value {
                    $(pipeline::$wire::$theirs => Ok(Self::$ours),)+
                    pipeline::$wire::Unspecified => Err(DecodeError::Field($field)),
                }
            }
        }
    )+};
}

pairs! {
    Cause Cause "cause" {
        Event Event, Test Test, Resend Resend, Replay Replay,
    }
    NotSentReason NotSentReason "reason" {
        NotSubscribed NotSubscribed, Disabled Disabled, CreatedLater CreatedLater,
        Unverified Unverified,
    }
    EndedReason EndedReason "reason" {
        EndpointDisabled EndpointDisabled, EndpointDeleted EndpointDeleted, BodyExpired BodyExpired,
        Erased Erased, EndpointUnverified EndpointUnverified,
    }
    DeferralReason DeferralReason "reason" {
        Throttled Throttled, Paused Paused,
    }
    FailureClass FailureClass "failure_class" {
        Dns Dns, Connect Connect, Tls Tls, Timeout Timeout, EgressDenied EgressDenied,
        HttpStatus HttpStatus, ResponseInvalid ResponseInvalid,
    }
    Scope KeyScope "scope" {
        Admin Admin, Publish Publish, Read Read, Service Service,
    }
}

impl From<Verification> for pipeline::Verification {
    fn from(verification: Verification) -> Self {
        match verification {
            Verification::NotRequired => Self::Unspecified,
            Verification::Pending => Self::Pending,
            Verification::Verified => Self::Verified,
        }
    }
}

impl From<pipeline::Verification> for Verification {
    fn from(verification: pipeline::Verification) -> Self {
        match verification {
            pipeline::Verification::Unspecified => Self::NotRequired,
            pipeline::Verification::Pending => Self::Pending,
            pipeline::Verification::Verified => Self::Verified,
        }
    }
}

/// The states that a delivery ends in without a POST.
pub(crate) fn ended_state(state: DeliveryState) -> pipeline::EndedState {
    match state {
        DeliveryState::Cancelled => pipeline::EndedState::Cancelled,
        DeliveryState::Failed | DeliveryState::Pending | DeliveryState::Succeeded => {
            pipeline::EndedState::Failed
        }
    }
}

pub(super) fn state_ended(state: pipeline::EndedState) -> Result<DeliveryState, DecodeError> {
    match state {
        pipeline::EndedState::Cancelled => Ok(DeliveryState::Cancelled),
        pipeline::EndedState::Failed => Ok(DeliveryState::Failed),
        pipeline::EndedState::Unspecified => Err(DecodeError::Field("state")),
    }
}

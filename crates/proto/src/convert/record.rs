//! Attempts and other outcomes.

use std::time::Duration;

use bytes::Bytes;
use domain::attempt::Failure;
use domain::{Attempt, AttemptId, DeliveryId, EndpointId, EventId, FailureClass, Outcome, Record};

use super::words::{ended_state, state_ended};
use super::{
    account, at, bytes, event_type, id, optional_at, optional_millis, trace, trace_to_proto,
};
use crate::pipeline::record::Outcome as WireOutcome;
use crate::{DecodeError, pipeline};

impl From<&Record> for pipeline::Record {
    fn from(record: &Record) -> Self {
        let outcome = match &record.outcome {
            Outcome::Attempt(attempt) => WireOutcome::Attempt((&**attempt).into()),
            Outcome::Ended { state, reason, at } => WireOutcome::Ended(pipeline::Ended {
                state: ended_state(*state).into(),
                reason: pipeline::EndedReason::from(*reason).into(),
                ended_at_ms: at.unix_millis(),
            }),
            Outcome::Deferred { reason, until } => WireOutcome::Deferred(pipeline::Deferred {
                reason: pipeline::DeferralReason::from(*reason).into(),
                until_ms: optional_millis(*until),
            }),
        };
        Self {
            delivery_id: bytes(record.delivery_id.as_bytes()),
            event_id: bytes(record.event_id.as_bytes()),
            endpoint_id: bytes(record.endpoint_id.as_bytes()),
            account: record.account.to_string(),
            event_type: record.event_type.to_string(),
            cause: pipeline::Cause::from(record.cause).into(),
            accepted_at_ms: record.accepted_at.unix_millis(),
            endpoint_generation: record.endpoint_generation,
            attempt_number: record.attempt_number,
            outcome: Some(outcome),
        }
    }
}

impl TryFrom<pipeline::Record> for Record {
    type Error = DecodeError;

    fn try_from(record: pipeline::Record) -> Result<Self, DecodeError> {
        Ok(Self {
            delivery_id: id!(DeliveryId, record, delivery_id),
            event_id: id!(EventId, record, event_id),
            endpoint_id: id!(EndpointId, record, endpoint_id),
            account: account(&record.account)?,
            event_type: event_type(&record.event_type)?,
            cause: record.cause().try_into()?,
            accepted_at: at(record.accepted_at_ms),
            endpoint_generation: record.endpoint_generation,
            attempt_number: record.attempt_number,
            outcome: match record.outcome.ok_or(DecodeError::Field("outcome"))? {
                WireOutcome::Attempt(attempt) => Outcome::Attempt(Box::new(attempt.try_into()?)),
                WireOutcome::Ended(ended) => Outcome::Ended {
                    state: state_ended(ended.state())?,
                    reason: ended.reason().try_into()?,
                    at: at(ended.ended_at_ms),
                },
                WireOutcome::Deferred(deferred) => Outcome::Deferred {
                    reason: deferred.reason().try_into()?,
                    until: optional_at(deferred.until_ms),
                },
            },
        })
    }
}

impl From<&Attempt> for pipeline::Attempt {
    fn from(attempt: &Attempt) -> Self {
        let failure = attempt.failure.as_ref();
        Self {
            id: bytes(attempt.id.as_bytes()),
            started_at_ms: attempt.started_at.unix_millis(),
            duration_ms: u32::try_from(attempt.duration.as_millis()).unwrap_or(u32::MAX),
            url: attempt.url.clone(),
            request_headers: headers_to_proto(&attempt.request_headers),
            response_status: attempt.response_status.map_or(0, u32::from),
            response_headers: headers_to_proto(&attempt.response_headers),
            response_body: attempt.response_body.clone(),
            response_truncated: attempt.response_truncated,
            failure_class: failure
                .map_or(pipeline::FailureClass::Unspecified, |failure| {
                    failure.class.into()
                })
                .into(),
            failure_message: failure.map_or_else(String::new, |failure| failure.message.clone()),
            next_attempt_at_ms: optional_millis(attempt.next_attempt_at),
            trace: Some(trace_to_proto(&attempt.trace)),
        }
    }
}

impl TryFrom<pipeline::Attempt> for Attempt {
    type Error = DecodeError;

    fn try_from(attempt: pipeline::Attempt) -> Result<Self, DecodeError> {
        let failure = match attempt.failure_class() {
            pipeline::FailureClass::Unspecified => None,
            class => Some(Failure {
                class: FailureClass::try_from(class)?,
                message: attempt.failure_message.clone(),
            }),
        };
        let status = u16::try_from(attempt.response_status)
            .map_err(|_| DecodeError::Field("response_status"))?;
        Ok(Self {
            id: id!(AttemptId, attempt, id),
            started_at: at(attempt.started_at_ms),
            duration: Duration::from_millis(attempt.duration_ms.into()),
            url: attempt.url,
            request_headers: headers(attempt.request_headers),
            response_status: (status != 0).then_some(status),
            response_headers: headers(attempt.response_headers),
            response_body: attempt.response_body,
            response_truncated: attempt.response_truncated,
            failure,
            next_attempt_at: optional_at(attempt.next_attempt_at_ms),
            trace: trace(attempt.trace)?,
        })
    }
}

fn headers_to_proto(headers: &[(String, Bytes)]) -> Vec<pipeline::Header> {
    headers
        .iter()
        .map(|(name, value)| pipeline::Header {
            name: name.clone(),
            value: value.clone(),
        })
        .collect()
}

fn headers(headers: Vec<pipeline::Header>) -> Vec<(String, Bytes)> {
    headers
        .into_iter()
        .map(|header| (header.name, header.value))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use domain::{
        AccountId, Cause, DeferralReason, DeliveryState, EndedReason, EventType, TraceContext,
    };

    use super::*;

    fn record(outcome: Outcome) -> Record {
        Record {
            delivery_id: DeliveryId::new(),
            event_id: EventId::new(),
            endpoint_id: EndpointId::new(),
            account: AccountId::parse("acme").unwrap(),
            event_type: EventType::parse("message.report").unwrap(),
            cause: Cause::Event,
            accepted_at: at(5),
            endpoint_generation: 1,
            attempt_number: 2,
            outcome,
        }
    }

    #[test]
    fn every_outcome_survives_the_wire() {
        let attempt = Attempt {
            id: AttemptId::new(),
            started_at: at(1_000),
            duration: Duration::from_millis(12),
            url: "https://example.com/hook".to_owned(),
            request_headers: vec![("webhook-id".to_owned(), Bytes::from_static(b"evt_"))],
            response_status: Some(503),
            response_headers: vec![("server".to_owned(), Bytes::from_static(b"\xff"))],
            response_body: Bytes::from_static(b"busy"),
            response_truncated: false,
            failure: Some(Failure {
                class: FailureClass::HttpStatus,
                message: "the endpoint answered 503".to_owned(),
            }),
            next_attempt_at: Some(at(6_000)),
            trace: TraceContext::root([3; 24]),
        };
        let unanswered = Attempt {
            response_status: None,
            next_attempt_at: None,
            ..attempt.clone()
        };
        let succeeded = Attempt {
            failure: None,
            ..unanswered.clone()
        };
        let ended = Outcome::Ended {
            state: DeliveryState::Cancelled,
            reason: EndedReason::EndpointDisabled,
            at: at(9),
        };
        let deferred = Outcome::Deferred {
            reason: DeferralReason::Throttled,
            until: Some(at(7)),
        };
        let attempts = [attempt, unanswered, succeeded].map(|a| Outcome::Attempt(Box::new(a)));
        for outcome in attempts.into_iter().chain([ended, deferred]) {
            let record = record(outcome);
            assert_eq!(
                Record::try_from(pipeline::Record::from(&record)),
                Ok(record)
            );
        }
    }
}

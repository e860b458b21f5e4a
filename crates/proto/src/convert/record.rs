//! Attempts and other outcomes, as they come; [`crate::encode`] writes them.

use std::time::Duration;

use domain::attempt::Failure;
use domain::{
    Attempt, AttemptId, DeliveryId, EndpointId, EventId, FailureClass, Headers, Outcome, Record,
};

use super::words::state_ended;
use super::{account, at, event_type, id, optional_at, trace};
use crate::pipeline::record::Outcome as WireOutcome;
use crate::{DecodeError, pipeline};

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

fn headers(headers: Vec<pipeline::Header>) -> Headers {
    let pairs = headers
        .into_iter()
        .map(|header| (header.name, header.value));
    pairs.collect()
}

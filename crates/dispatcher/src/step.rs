//! What became of a delivery, and how it is told.

use std::time::SystemTime;

use bytes::Bytes;
use domain::{Delivery, Endpoint, Headers, Outcome, Record};
use proto::pipeline::{DisableEndpoint, VerifyEndpoint};

use crate::attempt::Made;
use crate::decide::End;
use crate::spans::Spans;

/// What the customer reads when a 410 has disabled the endpoint.
const GONE: &str = "the endpoint answered 410 Gone";

/// What became of a delivery, before anybody was told.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) record: Record,
    /// Those of the attempt; on the heap, since a step is moved several times.
    pub(crate) spans: Option<Box<Spans>>,
    /// Set if the endpoint is to be disabled.
    pub(crate) gone: Option<DisableEndpoint>,
    /// Set if the endpoint has echoed a challenge.
    pub(crate) verified: Option<Box<VerifyEndpoint>>,
}

impl Step {
    /// It ended without a POST.
    pub(crate) fn end(delivery: &Delivery, end: End) -> Self {
        let outcome = Outcome::Ended {
            state: end.state,
            reason: end.reason,
            at: SystemTime::now().into(),
        };
        Self {
            record: record(delivery, outcome),
            spans: None,
            gone: None,
            verified: None,
        }
    }

    /// Whether the POST succeeded; `None` if none was made.
    pub(crate) fn succeeded(&self) -> Option<bool> {
        match &self.record.outcome {
            Outcome::Attempt(attempt) => Some(attempt.failure.is_none()),
            Outcome::Ended { .. } | Outcome::Deferred { .. } => None,
        }
    }

    /// A POST was made.
    pub(crate) fn made(
        delivery: &Delivery,
        endpoint: &Endpoint,
        made: Made,
        spans: Box<Spans>,
    ) -> Self {
        let gone = made.endpoint_is_gone.then(|| DisableEndpoint {
            endpoint_id: Bytes::copy_from_slice(endpoint.id.as_bytes()),
            account: endpoint.account.to_string(),
            version: endpoint.version,
            reason: GONE.to_owned(),
            operational: delivery.event.event_type.is_reserved(),
        });
        let verified = made.challenge_is_echoed.then(|| {
            Box::new(VerifyEndpoint {
                endpoint_id: Bytes::copy_from_slice(endpoint.id.as_bytes()),
                account: endpoint.account.to_string(),
                url: endpoint.url.clone(),
            })
        });
        Self {
            verified,
            spans: Some(spans),
            record: record(delivery, Outcome::Attempt(Box::new(made.attempt))),
            gone,
        }
    }
}

/// A record of the attempt that `delivery` asks for.
pub(crate) fn record(delivery: &Delivery, outcome: Outcome) -> Record {
    Record {
        delivery_id: delivery.id,
        event_id: delivery.event.id,
        endpoint_id: delivery.endpoint_id,
        account: delivery.event.account.clone(),
        event_type: delivery.event.event_type.clone(),
        cause: delivery.cause,
        accepted_at: delivery.event.accepted_at,
        endpoint_generation: delivery.endpoint_generation,
        attempt_number: delivery.attempt_number,
        outcome,
    }
}

/// The record without the parts that can be large.
pub(crate) fn stripped(record: &Record) -> Record {
    let mut stripped = record.clone();
    if let Outcome::Attempt(attempt) = &mut stripped.outcome {
        attempt.request_headers = Headers::default();
        attempt.response_headers = Headers::default();
        attempt.response_body = Bytes::new();
        attempt.response_truncated = true;
    }
    stripped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::{Attempt, AttemptId, Timestamp, TraceContext};
    use telemetry::trace::AttemptsInTrace;

    use super::*;
    use crate::samples;

    fn made(endpoint_is_gone: bool) -> Made {
        let attempt = Attempt {
            id: AttemptId::new(),
            started_at: Timestamp::from_unix_millis(1),
            duration: Duration::from_millis(2),
            url: "https://example.com".to_owned(),
            request_headers: [("a", "")].into_iter().collect(),
            response_status: Some(500),
            response_headers: [("b", "")].into_iter().collect(),
            response_body: Bytes::from_static(b"gone"),
            response_truncated: false,
            failure: None,
            next_attempt_at: Some(Timestamp::from_unix_millis(3)),
            trace: TraceContext::root([4; 24]),
        };
        Made {
            attempt,
            endpoint_is_gone,
            challenge_is_echoed: false,
        }
    }

    fn step(delivery: &Delivery, endpoint: &Endpoint, is_gone: bool) -> Step {
        let spans = Spans::begin(delivery, AttemptsInTrace::First);
        Step::made(delivery, endpoint, made(is_gone), Box::new(spans))
    }

    #[test]
    fn a_410_asks_to_disable_the_version_that_answered_it() {
        let endpoint = samples::endpoint();
        let delivery = samples::delivery(endpoint.id);
        assert_eq!(step(&delivery, &endpoint, false).gone, None);
        let command = step(&delivery, &endpoint, true).gone;
        assert_eq!(
            command.map(|command| (command.version, command.account)),
            Some((endpoint.version, "acme".to_owned()))
        );
    }

    #[test]
    fn a_stripped_record_still_tells_what_happened() {
        let endpoint = samples::endpoint();
        let delivery = samples::delivery(endpoint.id);
        let record = stripped(&step(&delivery, &endpoint, false).record);
        let Outcome::Attempt(attempt) = record.outcome else {
            panic!("it was an attempt")
        };
        assert!(attempt.response_body.is_empty() && attempt.response_truncated);
        assert_eq!(attempt.response_status, Some(500));
        assert_eq!(
            attempt.next_attempt_at,
            Some(Timestamp::from_unix_millis(3))
        );
    }
}

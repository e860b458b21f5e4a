//! One attempt: headers, POST, and what is recorded of it.

use std::time::SystemTime;

use bytes::Bytes;
use domain::challenge::Challenge;
use domain::retry::Schedule;
use domain::{
    Attempt, AttemptId, Delivery, Endpoint, Failure, FailureClass, Timestamp, TraceContext,
};
use http::HeaderValue;

use crate::decide;
use crate::http::{Client, Exchange};
use crate::request::{Head, recorded};
use crate::secrets::Secrets;

const NOT_ECHOED: &str = "the answer is not the challenge: send the value of the request header \
                          webhook-challenge as the whole body";

/// What every attempt is made with.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) client: Client,
    /// For endpoints without one of their own.
    pub(crate) schedule: Schedule,
    pub(crate) user_agent: HeaderValue,
}

/// An attempt that was made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) attempt: Attempt,
    /// It says that it is gone for good.
    pub(crate) endpoint_is_gone: bool,
    /// It was asked to echo a challenge, and did.
    pub(crate) challenge_is_echoed: bool,
}

impl Sender {
    /// Posts the body to the endpoint. Ends within the endpoint's timeout, or
    /// else the client's.
    pub(crate) async fn send(
        &self,
        delivery: &Delivery,
        endpoint: &Endpoint,
        secrets: &Secrets,
        body: Bytes,
        trace: &TraceContext,
    ) -> Made {
        let policy = &endpoint.policy;
        let timeout = policy.timeout.unwrap_or_else(|| self.client.timeout());
        let schedule = policy.retry_schedule.as_ref().unwrap_or(&self.schedule);
        let challenge = delivery.event.event_type.is_challenge();
        let challenge = challenge.then(|| Challenge::from_random(rand::random()));
        let started_at = Timestamp::from(SystemTime::now());
        let target = self.client.target(&endpoint.account, &endpoint.url);
        let headers = Head {
            host: target.host.as_ref(),
            user_agent: &self.user_agent,
            event_id: delivery.event.id,
            started_at,
            secrets,
            body: &body,
            trace: policy.send_traceparent.then_some(trace),
            challenge: challenge.as_ref(),
        }
        .headers();
        let request_headers = recorded(&headers);
        // On the heap: an attempt's task is moved when it is spawned.
        let mut exchange =
            Box::pin(
                self.client
                    .post(&endpoint.account, &target, headers, body, timeout),
            )
            .await;
        if let Some(challenge) = &challenge {
            judge(challenge, &mut exchange);
        }
        // A challenge is not repeated: who wants another one asks for it.
        let next_attempt_at = match &challenge {
            Some(_) => None,
            None => decide::next_attempt_at(
                schedule,
                delivery.attempt_number,
                &exchange,
                SystemTime::now().into(),
                rand::random(),
            ),
        };
        let endpoint_is_gone = decide::is_gone(&exchange);
        let Exchange {
            duration,
            answer,
            failure,
        } = exchange;
        let status = answer.as_ref().map(|answer| answer.status);
        let (headers, body, truncated) = answer
            .map(|answer| (answer.headers, answer.body, answer.truncated))
            .unwrap_or_default();
        let attempt = Attempt {
            id: AttemptId::new(),
            started_at,
            duration,
            url: endpoint.url.clone(),
            request_headers,
            response_status: status,
            response_headers: headers,
            response_body: body,
            response_truncated: truncated,
            failure,
            next_attempt_at,
            trace: trace.clone(),
        };
        Made {
            challenge_is_echoed: challenge.is_some() && attempt.failure.is_none(),
            attempt,
            endpoint_is_gone,
        }
    }
}

/// Makes a failure of an answer that does not echo the challenge.
fn judge(challenge: &Challenge, exchange: &mut Exchange) {
    let answer = exchange.answer.as_ref();
    let echoed = answer.is_some_and(|answer| challenge.is_echoed_by(&answer.body));
    if !echoed && exchange.failure.is_none() {
        exchange.failure = Some(Failure {
            class: FailureClass::ResponseInvalid,
            message: NOT_ECHOED.to_owned(),
        });
    }
}

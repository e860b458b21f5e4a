//! An attempt's two spans: its processing, from arrival to its record, and the
//! POST inside it. The POST's context is what the endpoint gets and what is
//! recorded.

use std::time::{Duration, Instant, SystemTime};

use domain::{Attempt, Delivery, DeliveryState, Endpoint, FailureClass, Record, TraceContext};
use telemetry::trace::{self, AttemptsInTrace, Kind, Parent, Span, attribute};
use url::Url;

use crate::deliver::now;
use crate::item::Item;

/// The contexts of an attempt.
#[derive(Debug, Clone)]
pub(crate) struct Spans {
    processing: TraceContext,
    pub(crate) post: TraceContext,
    /// Whether they are in the event's trace.
    is_inside: bool,
    post_begun: Option<SystemTime>,
}

impl Spans {
    /// Those of the next attempt of a delivery.
    pub(crate) fn begin(delivery: &Delivery, in_trace: AttemptsInTrace) -> Self {
        let event = &delivery.event.trace;
        let is_inside = in_trace.includes(delivery.attempt_number);
        let processing = if is_inside {
            trace::child(event)
        } else {
            trace::root_like(event)
        };
        Self {
            post: trace::child(&processing),
            processing,
            is_inside,
            post_begun: None,
        }
    }

    pub(crate) fn post_begins(&mut self) {
        self.post_begun = Some(SystemTime::now());
    }

    /// Writes the POST's span: it is over now.
    pub(crate) fn post_ended(&self, delivery: &Delivery, endpoint: &Endpoint, attempt: &Attempt) {
        let Some(begun) = self.post_begun else { return };
        let parent = Parent::Local(&self.processing);
        trace::record(&self.post, parent, Kind::Client, "POST", begun, |span| {
            span.set("http.request.method", "POST");
            if let Ok(url) = Url::parse(&endpoint.url) {
                address(span, url);
            }
            if delivery.attempt_number > 1 {
                let resent = i64::from(delivery.attempt_number) - 1;
                span.set("http.request.resend_count", resent);
            }
            let status = attempt.response_status.map(i64::from);
            span.set_some("http.response.status_code", status);
            identify(span, delivery);
            if let Some(failure) = &attempt.failure {
                match (failure.class, status) {
                    (FailureClass::HttpStatus, Some(status)) => span.fail(status.to_string()),
                    (class, _) => span.fail(class.as_str()),
                };
            }
        });
    }

    /// Writes the processing's span: what became of it is stored.
    pub(crate) fn settled(&self, item: &Item, record: &Record) {
        if !self.processing.is_sampled() {
            return;
        }
        let delivery = &item.delivery;
        let event = &delivery.event.trace;
        let begun = system_time(item.arrived_at);
        let parent = if self.is_inside {
            Parent::Remote(event)
        } else {
            Parent::None
        };
        let destination = destination(item);
        let name = format!("process {destination}");
        trace::record(
            &self.processing,
            parent,
            Kind::Consumer,
            name,
            begun,
            |span| {
                span.messaging("process", "process", destination);
                if !self.is_inside {
                    span.link(event);
                }
                if let Some(previous) = &delivery.previous_attempt {
                    span.link(previous);
                }
                identify(span, delivery);
                span.set(attribute::CAUSE, delivery.cause.as_str());
                if delivery.attempt_number == 1 {
                    let waited = now().since(delivery.event.accepted_at);
                    let waited = waited.saturating_sub(item.arrived_at.elapsed());
                    span.set(attribute::QUEUE_WAIT, millis(waited));
                }
                let lane_wait = self
                    .post_begun
                    .and_then(|post| post.duration_since(begun).ok());
                span.set_some(attribute::LANE_WAIT, lane_wait.map(millis));
                let state = record.outcome.delivery_state();
                span.set("postrider.delivery.state", state.as_str());
                if state == DeliveryState::Failed {
                    span.fail("delivery_failed");
                }
            },
        );
    }
}

/// Where it came from.
fn destination(item: &Item) -> &'static str {
    if item.is_parked() {
        "park.{partition}.{endpoint}"
    } else if item.delivery.attempt_number == 1 {
        "deliver.{partition}"
    } else {
        "retry.due.{partition}"
    }
}

/// The whole URL but for what may be a credential.
fn address(span: &mut Span, mut url: Url) {
    url.set_query(None);
    url.set_fragment(None);
    let host = url.host_str().unwrap_or_default().to_owned();
    span.set("server.address", host)
        .set_some("server.port", url.port_or_known_default().map(i64::from))
        .set("url.full", url.to_string());
}

fn identify(span: &mut Span, delivery: &Delivery) {
    span.set(attribute::ACCOUNT, delivery.event.account.to_string())
        .set(attribute::EVENT, delivery.event.id.to_string())
        .set(attribute::EVENT_TYPE, delivery.event.event_type.to_string())
        .set(attribute::ENDPOINT, delivery.endpoint_id.to_string())
        .set(attribute::DELIVERY, delivery.id.to_string())
        .set(
            attribute::ATTEMPT_NUMBER,
            i64::from(delivery.attempt_number),
        );
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// An earlier instant by the clock on the wall.
fn system_time(at: Instant) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(at.elapsed()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use domain::EndpointId;

    use super::*;
    use crate::samples;

    #[test]
    fn only_the_first_attempt_is_in_the_events_trace_unless_it_is_said_otherwise() {
        let mut delivery = samples::delivery(EndpointId::new());
        let event = delivery.event.trace.clone();
        for (setting, first_is_inside, later_is_inside) in [
            (AttemptsInTrace::First, true, false),
            (AttemptsInTrace::Always, true, true),
            (AttemptsInTrace::Never, false, false),
        ] {
            for (number, is_inside) in [(1, first_is_inside), (2, later_is_inside)] {
                delivery.attempt_number = number;
                let post = Spans::begin(&delivery, setting).post;
                assert_eq!(
                    post.trace_id == event.trace_id,
                    is_inside,
                    "{setting:?} {number}"
                );
                assert_ne!(post.span_id, event.span_id);
                assert_eq!(post.is_sampled(), event.is_sampled());
            }
        }
    }
}

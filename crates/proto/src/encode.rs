//! What every event and every delivery travels in, written straight from the domain in the
//! wire format (<https://protobuf.dev/programming-guides/encoding/>). The generated types
//! own each field, so filling them in copies every id, name and value first, of an attempt
//! some seventy pieces of memory. The order and the numbers of the fields are those
//! of `pipeline.proto`; the tests hold them to the generated types.

mod wire;

use std::sync::Arc;

use domain::{
    AcceptedEvent, Attempt, Content, Delivery, DeliveryEvent, Headers, Outcome, Record,
    TraceContext,
};

use crate::convert::words::ended_state;
use crate::pipeline;
use wire::Writer;

/// About what a record takes beside an attempt's own parts, and an attempt beside those
/// that can be large.
const RECORD_BYTES: usize = 160;
const ATTEMPT_BYTES: usize = 128;
/// About what a header takes beside its name and value.
const HEADER_BYTES: usize = 8;
/// About what a delivery takes, and an event without its body and tags.
const DELIVERY_BYTES: usize = 128;
/// About what a tag takes beside its key and value.
const TAG_BYTES: usize = 8;

/// A `RecordList` of these.
#[must_use]
pub fn encode_records<'a>(
    records: impl IntoIterator<Item = &'a Record, IntoIter: Clone>,
) -> Vec<u8> {
    let records = records.into_iter();
    let mut list = Writer::with_capacity(records.clone().map(record_bytes).sum());
    for one in records {
        list.message(1, |to| record(to, one));
    }
    list.finish()
}

/// A `DeliveryList` of these. Those that share an event (by `Arc`) share it in the message.
#[must_use]
pub fn encode_deliveries<'a>(deliveries: impl IntoIterator<Item = &'a Delivery>) -> Vec<u8> {
    let mut events: Vec<&Arc<DeliveryEvent>> = Vec::new();
    let place = |delivery: &'a Delivery| {
        let event = &delivery.event;
        // Those of one event stand together, so it is among the last.
        let known = events.iter().rposition(|known| Arc::ptr_eq(known, event));
        let place = known.unwrap_or_else(|| {
            events.push(event);
            events.len() - 1
        });
        (delivery, place)
    };
    let places: Vec<(&Delivery, usize)> = deliveries.into_iter().map(place).collect();
    let bodies = events.iter().map(|event| match &event.content {
        Content::Inline(body) => body.len(),
        Content::EventsSequence(_) => 0,
    });
    let bytes = bodies.sum::<usize>() + (events.len() + places.len()) * DELIVERY_BYTES;
    let mut list = Writer::with_capacity(bytes);
    for one in events {
        list.message(1, |to| event(to, one));
    }
    for (one, place) in places {
        list.message(2, |to| delivery(to, one, place));
    }
    list.finish()
}

/// An `AcceptedEvent`.
#[must_use]
pub fn encode_event(event: &AcceptedEvent) -> Vec<u8> {
    let tags = event.tags.as_map();
    let tag_bytes = tags
        .iter()
        .map(|(key, value)| key.len() + value.len() + TAG_BYTES);
    let bytes = event.body.len() + tag_bytes.sum::<usize>() + DELIVERY_BYTES;
    let mut to = Writer::with_capacity(bytes);
    to.bytes(1, event.id.as_bytes());
    to.text(2, event.account.as_str());
    to.text(3, event.event_type.as_str());
    to.bytes(4, &event.body);
    for (key, value) in tags {
        to.message(5, |to| {
            to.text(1, key);
            to.text(2, value);
        });
    }
    to.uint(6, event.live_mode.into());
    to.int(7, event.accepted_at.unix_millis());
    to.message(8, |to| trace(to, &event.trace));
    for (field, endpoint) in [(9, event.target), (10, event.excluded)] {
        if let Some(endpoint) = endpoint {
            to.bytes(field, endpoint.as_bytes());
        }
    }
    to.finish()
}

/// About what the record takes in a message, in bytes.
#[must_use]
pub fn record_bytes(record: &Record) -> usize {
    let headers = |headers: &Headers| headers.bytes() + HEADER_BYTES * headers.len();
    let attempt = match &record.outcome {
        Outcome::Ended { .. } | Outcome::Deferred { .. } => 0,
        Outcome::Attempt(attempt) => {
            ATTEMPT_BYTES
                + attempt.url.len()
                + headers(&attempt.request_headers)
                + headers(&attempt.response_headers)
                + attempt.response_body.len()
        }
    };
    RECORD_BYTES + attempt
}

fn record(to: &mut Writer, record: &Record) {
    to.bytes(1, record.delivery_id.as_bytes());
    to.bytes(2, record.event_id.as_bytes());
    to.bytes(3, record.endpoint_id.as_bytes());
    to.text(4, record.account.as_str());
    to.text(5, record.event_type.as_str());
    to.word(6, pipeline::Cause::from(record.cause).into());
    to.int(7, record.accepted_at.unix_millis());
    to.uint(8, record.endpoint_generation);
    to.uint(9, record.attempt_number.into());
    match &record.outcome {
        Outcome::Attempt(made) => to.message(10, |to| attempt(to, made)),
        Outcome::Ended { state, reason, at } => to.message(11, |to| {
            to.word(1, ended_state(*state).into());
            to.word(2, pipeline::EndedReason::from(*reason).into());
            to.int(3, at.unix_millis());
        }),
        Outcome::Deferred { reason, until } => to.message(12, |to| {
            to.word(1, pipeline::DeferralReason::from(*reason).into());
            to.instant(2, *until);
        }),
    }
}

fn attempt(to: &mut Writer, attempt: &Attempt) {
    to.bytes(1, attempt.id.as_bytes());
    to.int(2, attempt.started_at.unix_millis());
    let millis = u32::try_from(attempt.duration.as_millis()).unwrap_or(u32::MAX);
    to.uint(3, millis.into());
    to.text(4, &attempt.url);
    headers(to, 5, &attempt.request_headers);
    to.uint(6, attempt.response_status.unwrap_or(0).into());
    headers(to, 7, &attempt.response_headers);
    to.bytes(8, &attempt.response_body);
    to.uint(9, attempt.response_truncated.into());
    if let Some(failure) = &attempt.failure {
        to.word(10, pipeline::FailureClass::from(failure.class).into());
        to.text(11, &failure.message);
    }
    to.instant(12, attempt.next_attempt_at);
    to.message(13, |to| trace(to, &attempt.trace));
}

fn headers(to: &mut Writer, field: u32, headers: &Headers) {
    for (name, value) in headers.iter() {
        to.message(field, |to| {
            to.text(1, name);
            to.bytes(2, value);
        });
    }
}

fn event(to: &mut Writer, event: &DeliveryEvent) {
    to.bytes(1, event.id.as_bytes());
    to.text(2, event.account.as_str());
    to.text(3, event.event_type.as_str());
    to.int(4, event.accepted_at.unix_millis());
    // One of the two is there also if it is empty or 0.
    match &event.content {
        Content::Inline(body) => to.present_bytes(5, body),
        Content::EventsSequence(sequence) => to.present_uint(6, *sequence),
    }
    to.message(7, |to| trace(to, &event.trace));
}

fn delivery(to: &mut Writer, delivery: &Delivery, place: usize) {
    to.bytes(1, delivery.id.as_bytes());
    to.bytes(2, delivery.endpoint_id.as_bytes());
    to.uint(3, place as u64);
    to.word(4, pipeline::Cause::from(delivery.cause).into());
    to.uint(5, delivery.attempt_number.into());
    to.uint(6, delivery.directory_revision);
    to.uint(7, delivery.endpoint_generation);
    if let Some(previous) = &delivery.previous_attempt {
        to.message(8, |to| trace(to, previous));
    }
}

fn trace(to: &mut Writer, trace: &TraceContext) {
    to.bytes(1, &trace.trace_id);
    to.bytes(2, &trace.span_id);
    to.uint(3, trace.flags.into());
    to.text(4, &trace.state);
}

#[cfg(test)]
mod tests;

//! What is written is what the generated types write, and comes back as it was.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use domain::attempt::Failure;
use domain::{
    AccountId, AttemptId, Cause, DeferralReason, DeliveryId, DeliveryState, EndedReason,
    EndpointId, EventId, EventType, FailureClass, Tags, Timestamp,
};
use pipeline::delivery_event::Content as WireContent;
use pipeline::record::Outcome as WireOutcome;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::convert::{bytes, optional_millis};
use crate::deliveries_from_list;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

fn generated_trace(context: &TraceContext) -> pipeline::TraceContext {
    pipeline::TraceContext {
        trace_id: context.trace_id.to_vec().into(),
        span_id: context.span_id.to_vec().into(),
        flags: u32::from(context.flags),
        tracestate: context.state.clone(),
    }
}

fn generated_headers(headers: &Headers) -> Vec<pipeline::Header> {
    let header = |(name, value): (&str, &[u8])| pipeline::Header {
        name: name.to_owned(),
        value: Bytes::copy_from_slice(value),
    };
    headers.iter().map(header).collect()
}

fn generated_record(record: &Record) -> pipeline::Record {
    let outcome = match &record.outcome {
        Outcome::Attempt(attempt) => {
            let failure = attempt.failure.as_ref();
            WireOutcome::Attempt(pipeline::Attempt {
                id: bytes(attempt.id.as_bytes()),
                started_at_ms: attempt.started_at.unix_millis(),
                duration_ms: u32::try_from(attempt.duration.as_millis()).unwrap_or(u32::MAX),
                url: attempt.url.clone(),
                request_headers: generated_headers(&attempt.request_headers),
                response_status: attempt.response_status.map_or(0, u32::from),
                response_headers: generated_headers(&attempt.response_headers),
                response_body: attempt.response_body.clone(),
                response_truncated: attempt.response_truncated,
                failure_class: failure.map_or(0, |failure| {
                    pipeline::FailureClass::from(failure.class).into()
                }),
                failure_message: failure
                    .map_or_else(String::new, |failure| failure.message.clone()),
                next_attempt_at_ms: optional_millis(attempt.next_attempt_at),
                trace: Some(generated_trace(&attempt.trace)),
            })
        }
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
    pipeline::Record {
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

fn generated_event(event: &AcceptedEvent) -> pipeline::AcceptedEvent {
    let endpoint = |id: Option<EndpointId>| id.map_or_else(Bytes::new, |id| bytes(id.as_bytes()));
    pipeline::AcceptedEvent {
        id: bytes(event.id.as_bytes()),
        account: event.account.to_string(),
        r#type: event.event_type.to_string(),
        body: event.body.clone(),
        tags: event.tags.as_map().clone(),
        live_mode: event.live_mode,
        accepted_at_ms: event.accepted_at.unix_millis(),
        trace: Some(generated_trace(&event.trace)),
        target_endpoint_id: endpoint(event.target),
        excluded_endpoint_id: endpoint(event.excluded),
    }
}

fn generated_deliveries(places: &[(&Delivery, u32)]) -> pipeline::DeliveryList {
    let mut list = pipeline::DeliveryList::default();
    for (delivery, place) in places {
        let event = &delivery.event;
        if list.events.len() == *place as usize {
            list.events.push(pipeline::DeliveryEvent {
                id: bytes(event.id.as_bytes()),
                account: event.account.to_string(),
                r#type: event.event_type.to_string(),
                accepted_at_ms: event.accepted_at.unix_millis(),
                trace: Some(generated_trace(&event.trace)),
                content: Some(match &event.content {
                    Content::Inline(body) => WireContent::Body(body.clone()),
                    Content::EventsSequence(sequence) => WireContent::EventsSequence(*sequence),
                }),
            });
        }
        list.deliveries.push(pipeline::Delivery {
            id: bytes(delivery.id.as_bytes()),
            endpoint_id: bytes(delivery.endpoint_id.as_bytes()),
            event: *place,
            cause: pipeline::Cause::from(delivery.cause).into(),
            attempt_number: delivery.attempt_number,
            directory_revision: delivery.directory_revision,
            endpoint_generation: delivery.endpoint_generation,
            previous_attempt: delivery.previous_attempt.as_ref().map(generated_trace),
        });
    }
    list
}

fn account() -> AccountId {
    AccountId::parse("acme").unwrap()
}

fn event_type() -> EventType {
    EventType::parse("message.report").unwrap()
}

prop_compose! {
    fn any_headers()(
        pairs in prop::collection::vec((".{0,20}", prop::collection::vec(any::<u8>(), 0..300)), 0..20),
    ) -> Headers {
        pairs.into_iter().collect()
    }
}

prop_compose! {
    fn any_trace()(random: [u8; 24], flags: u8, state in ".{0,20}") -> TraceContext {
        TraceContext { flags, state, ..TraceContext::root(random) }
    }
}

/// Milliseconds as the database may hold them, 0 and before 1970 too.
fn any_instant() -> impl Strategy<Value = Timestamp> {
    prop_oneof![Just(0), any::<i64>()].prop_map(at)
}

fn any_class() -> impl Strategy<Value = FailureClass> {
    prop::sample::select(FailureClass::ALL.to_vec())
}

prop_compose! {
    fn any_attempt()(
        started_at in any_instant(),
        millis: u32,
        url in ".{0,200}",
        request_headers in any_headers(),
        response_status in prop::option::of(100_u16..1_000),
        response_headers in any_headers(),
        body in prop::collection::vec(any::<u8>(), 0..20_000),
        response_truncated: bool,
        failure in prop::option::of((any_class(), ".{0,40}")),
        next_attempt_at in prop::option::of((1..i64::MAX).prop_map(at)),
        trace in any_trace(),
    ) -> Outcome {
        Outcome::Attempt(Box::new(Attempt {
            id: AttemptId::new(),
            started_at,
            duration: Duration::from_millis(millis.into()),
            url,
            request_headers,
            response_status,
            response_headers,
            response_body: body.into(),
            response_truncated,
            failure: failure.map(|(class, message)| Failure { class, message }),
            next_attempt_at,
            trace,
        }))
    }
}

fn any_end() -> impl Strategy<Value = Outcome> {
    let states = [DeliveryState::Failed, DeliveryState::Cancelled];
    let states = prop::sample::select(states.to_vec());
    let reasons = prop::sample::select(EndedReason::ALL.to_vec());
    (states, reasons, any_instant()).prop_map(|(state, reason, at)| Outcome::Ended {
        state,
        reason,
        at,
    })
}

fn any_deferral() -> impl Strategy<Value = Outcome> {
    let reasons = prop::sample::select(DeferralReason::ALL.to_vec());
    let until = prop::option::of((1..i64::MAX).prop_map(at));
    (reasons, until).prop_map(|(reason, until)| Outcome::Deferred { reason, until })
}

prop_compose! {
    fn any_record()(
        cause in prop::sample::select(Cause::ALL.to_vec()),
        accepted_at in any_instant(),
        endpoint_generation: u64,
        attempt_number: u32,
        outcome in prop_oneof![any_attempt(), any_end(), any_deferral()],
    ) -> Record {
        Record {
            delivery_id: DeliveryId::new(),
            event_id: EventId::new(),
            endpoint_id: EndpointId::new(),
            account: account(),
            event_type: event_type(),
            cause,
            accepted_at,
            endpoint_generation,
            attempt_number,
            outcome,
        }
    }
}

prop_compose! {
    fn any_accepted()(
        accepted_at in any_instant(),
        body in prop::collection::vec(any::<u8>(), 0..40_000),
        tags in prop::collection::btree_map("[a-z]{1,256}", "[a-zé]{0,200}", 0..8),
        live_mode: bool,
        trace in any_trace(),
        target: bool,
        excluded: bool,
    ) -> AcceptedEvent {
        AcceptedEvent {
            id: EventId::new(),
            account: account(),
            event_type: event_type(),
            body: body.into(),
            tags: Tags::parse(tags).unwrap(),
            live_mode,
            accepted_at,
            trace,
            target: target.then(EndpointId::new),
            excluded: excluded.then(EndpointId::new),
        }
    }
}

fn any_content() -> impl Strategy<Value = Content> {
    let body = prop::collection::vec(any::<u8>(), 0..40_000);
    prop_oneof![
        body.prop_map(|body| Content::Inline(body.into())),
        any::<u64>().prop_map(Content::EventsSequence),
    ]
}

prop_compose! {
    fn any_event()(
        accepted_at in any_instant(),
        content in any_content(),
        trace in any_trace(),
    ) -> Arc<DeliveryEvent> {
        Arc::new(DeliveryEvent {
            id: EventId::new(),
            account: account(),
            event_type: event_type(),
            accepted_at,
            content,
            trace,
        })
    }
}

prop_compose! {
    fn any_delivery(event: Arc<DeliveryEvent>)(
        cause in prop::sample::select(Cause::ALL.to_vec()),
        attempt_number in 1..u32::MAX,
        directory_revision: u64,
        endpoint_generation: u64,
        previous_attempt in prop::option::of(any_trace()),
    ) -> Delivery {
        Delivery {
            id: DeliveryId::new(),
            endpoint_id: EndpointId::new(),
            event: Arc::clone(&event),
            cause,
            attempt_number,
            directory_revision,
            endpoint_generation,
            previous_attempt,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records(records in prop::collection::vec(any_record(), 0..4)) {
        let encoded = encode_records(&records);
        let generated = records.iter().map(generated_record).collect();
        let generated = pipeline::RecordList { records: generated };
        prop_assert_eq!(&encoded, &generated.encode_to_vec());
        let decoded = pipeline::RecordList::decode(&*encoded)?.records.into_iter();
        let decoded: Result<Vec<_>, _> = decoded.map(Record::try_from).collect();
        prop_assert_eq!(decoded.unwrap(), records);
    }

    #[test]
    fn an_event(event in any_accepted()) {
        let encoded = encode_event(&event);
        prop_assert_eq!(&encoded, &generated_event(&event).encode_to_vec());
        let decoded = pipeline::AcceptedEvent::decode(&*encoded)?;
        prop_assert_eq!(AcceptedEvent::try_from(decoded).unwrap(), event);
    }

    #[test]
    fn deliveries(
        deliveries in (any_event(), any_event()).prop_flat_map(|(one, other)| {
            (any_delivery(one.clone()), any_delivery(other), any_delivery(one))
        }),
    ) {
        let (first, second, third) = deliveries;
        let places = [(&first, 0), (&second, 1), (&third, 0)];
        let encoded = encode_deliveries(places.map(|(delivery, _)| delivery));
        // Each event stands in it once.
        prop_assert_eq!(&encoded, &generated_deliveries(&places).encode_to_vec());
        let decoded = deliveries_from_list(pipeline::DeliveryList::decode(&*encoded)?);
        prop_assert_eq!(decoded.unwrap(), [first, second, third]);
    }
}

#[test]
fn nothing_is_an_empty_message() {
    assert!(encode_records([]).is_empty());
    assert!(encode_deliveries([]).is_empty());
}

//! Lists of deliveries: each event once, however many endpoints get it.

use std::collections::HashMap;
use std::sync::Arc;

use domain::{Content, Delivery, DeliveryEvent, DeliveryId, EndpointId, EventId};

use super::{account, at, bytes, event_type, id, optional_trace, trace, trace_to_proto};
use crate::pipeline::delivery_event::Content as WireContent;
use crate::{DecodeError, pipeline};

/// The message that holds these deliveries. Deliveries that share an event (by
/// `Arc`) share it in the message.
#[must_use]
pub fn deliveries_to_list<'a>(
    deliveries: impl IntoIterator<Item = &'a Delivery>,
) -> pipeline::DeliveryList {
    let mut list = pipeline::DeliveryList::default();
    let mut places = HashMap::new();
    for delivery in deliveries {
        let place = *places
            .entry(Arc::as_ptr(&delivery.event))
            .or_insert_with(|| {
                list.events.push((&*delivery.event).into());
                list.events.len() - 1
            });
        list.deliveries.push(pipeline::Delivery {
            id: bytes(delivery.id.as_bytes()),
            endpoint_id: bytes(delivery.endpoint_id.as_bytes()),
            event: u32::try_from(place).expect("a list is far shorter"),
            cause: pipeline::Cause::from(delivery.cause).into(),
            attempt_number: delivery.attempt_number,
            directory_revision: delivery.directory_revision,
            endpoint_generation: delivery.endpoint_generation,
            previous_attempt: delivery.previous_attempt.as_ref().map(trace_to_proto),
        });
    }
    list
}

/// The deliveries that a message holds.
///
/// # Errors
///
/// When any of them is not acceptable.
pub fn deliveries_from_list(list: pipeline::DeliveryList) -> Result<Vec<Delivery>, DecodeError> {
    let events = list
        .events
        .into_iter()
        .map(|event| event.try_into().map(Arc::new));
    let events = events.collect::<Result<Vec<Arc<DeliveryEvent>>, DecodeError>>()?;
    let decode = |delivery: pipeline::Delivery| {
        let place = usize::try_from(delivery.event).unwrap_or(usize::MAX);
        Ok(Delivery {
            id: id!(DeliveryId, delivery, id),
            endpoint_id: id!(EndpointId, delivery, endpoint_id),
            event: events
                .get(place)
                .cloned()
                .ok_or(DecodeError::Field("event"))?,
            cause: delivery.cause().try_into()?,
            attempt_number: match delivery.attempt_number {
                0 => return Err(DecodeError::Field("attempt_number")),
                number => number,
            },
            directory_revision: delivery.directory_revision,
            endpoint_generation: delivery.endpoint_generation,
            previous_attempt: optional_trace(delivery.previous_attempt)?,
        })
    };
    list.deliveries.into_iter().map(decode).collect()
}

impl From<&DeliveryEvent> for pipeline::DeliveryEvent {
    fn from(event: &DeliveryEvent) -> Self {
        Self {
            id: bytes(event.id.as_bytes()),
            account: event.account.to_string(),
            r#type: event.event_type.to_string(),
            accepted_at_ms: event.accepted_at.unix_millis(),
            trace: Some(trace_to_proto(&event.trace)),
            content: Some(match &event.content {
                Content::Inline(body) => WireContent::Body(body.clone()),
                Content::EventsSequence(sequence) => WireContent::EventsSequence(*sequence),
            }),
        }
    }
}

impl TryFrom<pipeline::DeliveryEvent> for DeliveryEvent {
    type Error = DecodeError;

    fn try_from(event: pipeline::DeliveryEvent) -> Result<Self, DecodeError> {
        Ok(Self {
            id: id!(EventId, event, id),
            account: account(&event.account)?,
            event_type: event_type(&event.r#type)?,
            accepted_at: at(event.accepted_at_ms),
            content: match event.content.ok_or(DecodeError::Field("content"))? {
                WireContent::Body(body) => Content::Inline(body),
                WireContent::EventsSequence(sequence) => Content::EventsSequence(sequence),
            },
            trace: trace(event.trace)?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use domain::{AccountId, Cause, EventType, TraceContext};

    use super::*;

    fn event(content: Content) -> Arc<DeliveryEvent> {
        Arc::new(DeliveryEvent {
            id: EventId::new(),
            account: AccountId::parse("acme").unwrap(),
            event_type: EventType::parse("message.report").unwrap(),
            accepted_at: at(1_747_147_674_123),
            content,
            trace: TraceContext::root([1; 24]),
        })
    }

    fn delivery(event: &Arc<DeliveryEvent>) -> Delivery {
        Delivery {
            id: DeliveryId::new(),
            endpoint_id: EndpointId::new(),
            event: Arc::clone(event),
            cause: Cause::Resend,
            attempt_number: 3,
            directory_revision: 7,
            endpoint_generation: 2,
            previous_attempt: Some(TraceContext::root([2; 24])),
        }
    }

    #[test]
    fn an_event_stands_once_in_a_list() {
        let first = event(Content::Inline(bytes::Bytes::from_static(b"{}")));
        let second = event(Content::EventsSequence(9));
        let deliveries = [delivery(&first), delivery(&second), delivery(&first)];
        let list = deliveries_to_list(&deliveries);
        assert_eq!(list.events.len(), 2);
        assert_eq!(deliveries_from_list(list).unwrap(), deliveries);
    }

    #[test]
    fn what_cannot_be_a_delivery_is_refused() {
        let good = deliveries_to_list(&[delivery(&event(Content::EventsSequence(9)))]);
        let mut list = good.clone();
        list.deliveries[0].event = 1;
        assert_eq!(deliveries_from_list(list), Err(DecodeError::Field("event")));
        let mut list = good.clone();
        list.deliveries[0].attempt_number = 0;
        assert_eq!(
            deliveries_from_list(list),
            Err(DecodeError::Field("attempt_number"))
        );
        let mut list = good;
        list.deliveries[0].cause = 99;
        assert_eq!(deliveries_from_list(list), Err(DecodeError::Field("cause")));
    }
}

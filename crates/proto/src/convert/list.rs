//! Lists of deliveries as they come: each event once, however many endpoints get it.
//! [`crate::encode`] writes them.

use std::sync::Arc;

use domain::{Content, Delivery, DeliveryEvent, DeliveryId, EndpointId, EventId};

use super::{account, at, event_type, id, optional_trace, trace};
use crate::pipeline::delivery_event::Content as WireContent;
use crate::{DecodeError, pipeline};

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
    use prost::Message as _;

    use super::*;
    use crate::encode_deliveries;

    fn delivery() -> Delivery {
        Delivery {
            id: DeliveryId::new(),
            endpoint_id: EndpointId::new(),
            event: Arc::new(DeliveryEvent {
                id: EventId::new(),
                account: AccountId::parse("acme").unwrap(),
                event_type: EventType::parse("message.report").unwrap(),
                accepted_at: at(1_747_147_674_123),
                content: Content::EventsSequence(9),
                trace: TraceContext::root([1; 24]),
            }),
            cause: Cause::Resend,
            attempt_number: 3,
            directory_revision: 7,
            endpoint_generation: 2,
            previous_attempt: Some(TraceContext::root([2; 24])),
        }
    }

    #[test]
    fn what_cannot_be_a_delivery_is_refused() {
        let good = encode_deliveries([&delivery()]);
        let good = pipeline::DeliveryList::decode(&*good).unwrap();
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

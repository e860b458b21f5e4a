//! Events and plans.

use domain::{
    AcceptedEvent, DeliveryId, EndpointId, EventId, NotSent, NotSentReason, Plan, PlannedDelivery,
    Tags,
};

use super::{account, at, bytes, event_type, id, trace};
use crate::{DecodeError, pipeline};

impl TryFrom<pipeline::AcceptedEvent> for AcceptedEvent {
    type Error = DecodeError;

    fn try_from(event: pipeline::AcceptedEvent) -> Result<Self, DecodeError> {
        let target = match event.target_endpoint_id.is_empty() {
            true => None,
            false => Some(id!(EndpointId, event, target_endpoint_id)),
        };
        let excluded = match event.excluded_endpoint_id.is_empty() {
            true => None,
            false => Some(id!(EndpointId, event, excluded_endpoint_id)),
        };
        Ok(Self {
            id: id!(EventId, event, id),
            account: account(&event.account)?,
            event_type: event_type(&event.r#type)?,
            body: event.body,
            tags: Tags::parse(event.tags).map_err(|_| DecodeError::Field("tags"))?,
            live_mode: event.live_mode,
            accepted_at: at(event.accepted_at_ms),
            trace: trace(event.trace)?,
            target,
            excluded,
        })
    }
}

impl From<&Plan> for pipeline::Plan {
    fn from(plan: &Plan) -> Self {
        let deliveries = plan
            .deliveries
            .iter()
            .map(|delivery| pipeline::PlannedDelivery {
                id: bytes(delivery.id.as_bytes()),
                endpoint_id: bytes(delivery.endpoint_id.as_bytes()),
                cause: pipeline::Cause::from(delivery.cause).into(),
                endpoint_generation: delivery.endpoint_generation,
            });
        Self {
            event_id: bytes(plan.event_id.as_bytes()),
            account: plan.account.to_string(),
            event_type: plan.event_type.to_string(),
            accepted_at_ms: plan.accepted_at.unix_millis(),
            deliveries: deliveries.collect(),
            not_sent: Vec::new(),
            not_sent_packed: plan.not_sent.as_bytes().clone(),
            planned_at_ms: plan.planned_at.unix_millis(),
        }
    }
}

impl TryFrom<pipeline::Plan> for Plan {
    type Error = DecodeError;

    fn try_from(plan: pipeline::Plan) -> Result<Self, DecodeError> {
        let deliveries = plan.deliveries.iter().map(|delivery| {
            Ok(PlannedDelivery {
                id: id!(DeliveryId, delivery, id),
                endpoint_id: id!(EndpointId, delivery, endpoint_id),
                cause: delivery.cause().try_into()?,
                endpoint_generation: delivery.endpoint_generation,
            })
        });
        Ok(Self {
            deliveries: deliveries.collect::<Result<_, DecodeError>>()?,
            not_sent: not_sent(&plan)?,
            event_id: id!(EventId, plan, event_id),
            account: account(&plan.account)?,
            event_type: event_type(&plan.event_type)?,
            accepted_at: at(plan.accepted_at_ms),
            planned_at: at(plan.planned_at_ms),
        })
    }
}

/// In one piece, or one by one as the version before wrote it.
fn not_sent(plan: &pipeline::Plan) -> Result<NotSent, DecodeError> {
    if plan.not_sent.is_empty() {
        return Ok(NotSent::from_bytes(plan.not_sent_packed.clone()));
    }
    let one_by_one = plan.not_sent.iter().map(|item| {
        Ok((
            id!(EndpointId, item, endpoint_id),
            NotSentReason::try_from(item.reason())?,
        ))
    });
    one_by_one.collect()
}

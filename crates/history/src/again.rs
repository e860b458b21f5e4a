//! A new delivery of a recorded event.

use std::sync::Arc;
use std::time::SystemTime;

use broker::Error;
use domain::{
    Cause, Delivery, DeliveryEvent, DeliveryId, Endpoint, NotSent, Plan, PlannedDelivery,
};

use crate::Shared;

/// A delivery to be, attempts from 1.
#[derive(Debug)]
pub(crate) struct NewDelivery<'a> {
    pub(crate) id: DeliveryId,
    pub(crate) cause: Cause,
    pub(crate) endpoint: &'a Endpoint,
    /// Carries its body.
    pub(crate) event: Arc<DeliveryEvent>,
}

impl NewDelivery<'_> {
    /// Returns when JetStream holds it. Publishing the same again is safe.
    pub(crate) async fn publish(self, shared: &Shared) -> Result<(), Error> {
        let endpoint = self.endpoint;
        let plan = Plan {
            event_id: self.event.id,
            account: self.event.account.clone(),
            event_type: self.event.event_type.clone(),
            accepted_at: self.event.accepted_at,
            planned_at: SystemTime::now().into(),
            deliveries: vec![PlannedDelivery {
                id: self.id,
                endpoint_id: endpoint.id,
                cause: self.cause,
                endpoint_generation: endpoint.generation,
            }],
            not_sent: NotSent::default(),
        };
        let delivery = Delivery {
            id: self.id,
            endpoint_id: endpoint.id,
            event: self.event,
            cause: self.cause,
            attempt_number: 1,
            directory_revision: shared.deps.endpoints.revision(),
            endpoint_generation: endpoint.generation,
            previous_attempt: None,
        };
        let partition = shared.config.partitions.of(endpoint.id);
        let publishers = shared.publishers.get().ok_or(Error::Closed)?;
        // The plan first, so that the delivery is never unknown.
        publishers.plans.publish(plan).await?;
        publishers
            .deliveries
            .publish(partition, vec![delivery])
            .await
    }
}

//! Whether something that waits still stands in a stream.

use domain::{DeliveryId, EndpointId, Partition, Timestamp};

use crate::direct::Place;
use crate::topology::{
    DELIVERIES, PARKED, RETRIES, delivery_subject, park_subject, retry_at_subject,
    retry_due_subject,
};
use crate::{Broker, Error};

impl Broker {
    /// Since when the oldest message of a partition stands that is due: first
    /// attempts, and retries. What is older is done.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn oldest_due(&self, partition: Partition) -> Result<Option<Timestamp>, Error> {
        let (deliveries, retries) = (delivery_subject(partition), retry_due_subject(partition));
        let first = |stream, subject| async move {
            let found = self
                .read_surely(stream, subject, Place::After(0), 1)
                .await?;
            Ok::<_, Error>(found.first().map(|first| first.stored_at))
        };
        let oldest = tokio::try_join!(first(DELIVERIES, &deliveries), first(RETRIES, &retries))?;
        Ok(oldest.0.into_iter().chain(oldest.1).min())
    }

    /// Whether the next attempt of a delivery is scheduled.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn is_scheduled(
        &self,
        endpoint: EndpointId,
        delivery: DeliveryId,
    ) -> Result<bool, Error> {
        let subject = retry_at_subject(self.partitions().of(endpoint), endpoint, delivery);
        // Its leader, since a replica that lags may lack it: it would be sent twice.
        Ok(self.last_message(RETRIES, &subject).await?.is_some())
    }

    /// Whether anything is parked for an endpoint.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn has_parked(&self, endpoint: EndpointId) -> Result<bool, Error> {
        let subject = park_subject(self.partitions().of(endpoint), endpoint);
        let counts = self.messages_of(PARKED, &subject).await?;
        Ok(counts.iter().any(|(_, count)| *count > 0))
    }
}

//! Whether something that waits still stands in a stream.

use async_nats::jetstream::stream::LastRawMessageErrorKind;
use domain::{DeliveryId, EndpointId, Partition, Timestamp};
use tokio::time::timeout;

use crate::connection::CALL_TIMEOUT;
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
        let asked = async {
            let stream = self.jetstream.get_stream_no_info(RETRIES).await;
            let stream = stream.map_err(Error::unavailable)?;
            // Its leader, since a replica that lags may lack it: it would be sent twice.
            match stream.get_last_raw_message_by_subject(&subject).await {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(false),
                Err(error) => Err(Error::unavailable(error)),
            }
        };
        timeout(CALL_TIMEOUT, asked)
            .await
            .map_err(|_| Error::unavailable("no answer in time"))?
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

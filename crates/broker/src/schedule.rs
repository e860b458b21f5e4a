//! Retries: messages that JetStream delivers at an instant (ADR-51).

use async_nats::HeaderMap;
use async_nats::header::{NATS_MESSAGE_ID, NATS_SCHEDULE, NATS_SCHEDULE_TARGET};
use bytes::Bytes;
use domain::{Delivery, EndpointId, Timestamp};
use uuid::Uuid;

use crate::topology::{RETRIES, retries_of_endpoint, retry_at_subject, retry_due_subject};
use crate::{Broker, Error};

impl Broker {
    /// Schedules the attempt that `delivery` asks for. There is one schedule
    /// per delivery: a later call replaces it. Waits out every outage.
    ///
    /// # Errors
    ///
    /// When the server refuses it for good.
    pub async fn schedule_retry(&self, delivery: &Delivery, at: Timestamp) -> Result<(), Error> {
        let id = format!("{}.{}", delivery.id, delivery.attempt_number);
        self.publish_schedule(delivery, at, id).await
    }

    /// Makes a scheduled attempt due now.
    ///
    /// # Errors
    ///
    /// When the server refuses it for good.
    pub async fn bring_forward(&self, delivery: &Delivery, now: Timestamp) -> Result<(), Error> {
        self.publish_schedule(delivery, now, Uuid::new_v4().to_string())
            .await
    }

    /// Removes every scheduled attempt of an endpoint.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn cancel_retries(&self, endpoint: EndpointId) -> Result<(), Error> {
        let filter = retries_of_endpoint(self.partitions().of(endpoint), endpoint);
        let stream = self
            .jetstream
            .get_stream_no_info(RETRIES)
            .await
            .map_err(Error::unavailable)?;
        stream
            .purge()
            .filter(filter)
            .await
            .map(|_| ())
            .map_err(Error::unavailable)
    }

    async fn publish_schedule(
        &self,
        delivery: &Delivery,
        at: Timestamp,
        message_id: String,
    ) -> Result<(), Error> {
        let partition = self.partitions().of(delivery.endpoint_id);
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, message_id);
        headers.insert(NATS_SCHEDULE, format!("@at {}", at.rfc3339()));
        headers.insert(NATS_SCHEDULE_TARGET, retry_due_subject(partition));
        let subject = retry_at_subject(partition, delivery.endpoint_id, delivery.id);
        let payload = proto::encode_deliveries([delivery]);
        self.publish_for_ever(subject, headers, Bytes::from(payload))
            .await
            .map(|_| ())
    }
}

//! PARKED: deliveries that an endpoint cannot take now, in its own order.

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use bytes::Bytes;
use domain::{Delivery, EndpointId, Partition};
use prost::Message as _;
use proto::{DecodeError, pipeline};
use tracing::error;
use uuid::Uuid;

use crate::direct::{Place, Raw};
use crate::topology::{PARKED, park_subject, parked_of_partition};
use crate::{Broker, Error};

/// Deliveries that were parked together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// Its place in PARKED.
    pub sequence: u64,
    /// None if they cannot be read: then they can only be discarded.
    pub deliveries: Vec<Delivery>,
}

impl Broker {
    /// Parks deliveries of one endpoint, at most 128 of about 256 KiB, behind
    /// those that are parked already. Returns their sequence when they are
    /// stored. Waits out every outage; after one of more than two minutes they
    /// may be parked twice.
    ///
    /// # Errors
    ///
    /// When the server refuses them for good.
    pub async fn park(&self, endpoint: EndpointId, deliveries: &[Delivery]) -> Result<u64, Error> {
        let mut headers = HeaderMap::new();
        // Random: what is parked again must not be taken for a repeat.
        headers.insert(NATS_MESSAGE_ID, Uuid::new_v4().to_string());
        let payload = proto::encode_deliveries(deliveries);
        self.publish_for_ever(self.parked_subject(endpoint), headers, Bytes::from(payload))
            .await
    }

    /// What is parked for an endpoint right behind the sequence `after`: at
    /// most `max` messages and about 1 MiB, but at least one if there is any.
    /// Empty: there is nothing more. In a cluster a replica that lags may
    /// answer, with what has been discarded shortly before or without what has
    /// been parked just now.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn parked(
        &self,
        endpoint: EndpointId,
        after: u64,
        max: usize,
    ) -> Result<Vec<Parked>, Error> {
        let subject = self.parked_subject(endpoint);
        let found = self.read_direct(PARKED, &subject, Place::After(after), max);
        let decode = |raw: Raw| decode(raw.sequence, raw.payload);
        Ok(found.await?.into_iter().map(decode).collect())
    }

    /// Removes what is parked for an endpoint, up to the sequence `through`.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn discard_parked(&self, endpoint: EndpointId, through: u64) -> Result<(), Error> {
        let subject = self.parked_subject(endpoint);
        self.purge(PARKED, subject, Some(through)).await
    }

    /// The endpoints of a partition that have something parked, and how many
    /// messages each.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn parked_endpoints(
        &self,
        partition: Partition,
    ) -> Result<Vec<(EndpointId, u64)>, Error> {
        let counts = self
            .messages_of(PARKED, &parked_of_partition(partition))
            .await?;
        let endpoints = counts.into_iter().filter_map(|(subject, count)| {
            let endpoint = subject.rsplit('.').next()?.parse().ok()?;
            Some((endpoint, count))
        });
        Ok(endpoints.collect())
    }

    /// Removes all that is parked for an endpoint. Costs the server a look at
    /// every message of PARKED since the endpoint's first: for one that is
    /// deleted.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn withdraw_parked(&self, endpoint: EndpointId) -> Result<(), Error> {
        let subject = self.parked_subject(endpoint);
        self.purge(PARKED, subject, None).await
    }

    fn parked_subject(&self, endpoint: EndpointId) -> String {
        park_subject(self.partitions().of(endpoint), endpoint)
    }
}

fn decode(sequence: u64, payload: Bytes) -> Parked {
    let deliveries = pipeline::DeliveryList::decode(payload)
        .map_err(DecodeError::from)
        .and_then(proto::deliveries_from_list);
    let deliveries = deliveries.unwrap_or_else(|error| {
        error!(%error, sequence, "parked deliveries cannot be read");
        Vec::new()
    });
    Parked {
        sequence,
        deliveries,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_has_no_deliveries() {
        let parked = decode(4, Bytes::from_static(b"\xff\xff"));
        assert_eq!((parked.sequence, parked.deliveries), (4, Vec::new()));
    }
}

//! PARKED: deliveries that an endpoint cannot take now, in its own order.

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{HeaderMap, StatusCode};
use bytes::Bytes;
use domain::{Delivery, EndpointId, Partition};
use futures::StreamExt as _;
use prost::Message as _;
use proto::{DecodeError, pipeline};
use tokio::time::timeout;
use tracing::error;
use uuid::Uuid;

use crate::connection::CALL_TIMEOUT;
use crate::topology::{PARKED, park_subject, parked_of_partition};
use crate::{Broker, Error};

/// A read ends with the message that takes it past this.
const READ_BYTES: usize = 1_024 * 1_024;
/// The place of a message in the stream.
const SEQUENCE: &str = "Nats-Sequence";
/// The place of the one before it in the same answer, 0 before the first.
const LAST_SEQUENCE: &str = "Nats-Last-Sequence";

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
        let payload = proto::deliveries_to_list(deliveries).encode_to_vec();
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
        if max == 0 {
            return Ok(Vec::new());
        }
        let read = self.read_parked(self.parked_subject(endpoint), after, max);
        timeout(CALL_TIMEOUT, read)
            .await
            .map_err(|_| Error::unavailable("no answer in time"))?
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

    /// A batched direct get (ADR-31); the client library asks for one message
    /// at a time only.
    async fn read_parked(
        &self,
        subject: String,
        after: u64,
        max: usize,
    ) -> Result<Vec<Parked>, Error> {
        let first = after + 1;
        let request = format!(
            r#"{{"seq":{first},"next_by_subj":"{subject}","batch":{max},"max_bytes":{READ_BYTES}}}"#
        );
        let inbox = self.client.new_inbox();
        let mut replies = self
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(Error::unavailable)?;
        self.client
            .publish_with_reply(
                format!("$JS.API.DIRECT.GET.{PARKED}"),
                inbox,
                request.into(),
            )
            .await
            .map_err(Error::unavailable)?;
        let mut found: Vec<Parked> = Vec::new();
        while let Some(reply) = replies.next().await {
            let headers = reply.headers.as_ref();
            let last = found.last().map_or(0, |parked| parked.sequence);
            match reply.status {
                None | Some(StatusCode::OK) => {
                    check_order(headers, last)?;
                    let sequence = number(headers, SEQUENCE)
                        .ok_or_else(|| Error::unavailable("a parked message has no place"))?;
                    found.push(decode(sequence, reply.payload));
                }
                // The end of the answer.
                Some(status) if status.as_u16() == 204 => {
                    check_order(headers, last)?;
                    return Ok(found);
                }
                Some(StatusCode::NOT_FOUND) => return Ok(found),
                Some(status) => {
                    let description = reply.description.unwrap_or_default();
                    return Err(Error::Unavailable(format!("{status} {description}")));
                }
            }
        }
        Err(Error::unavailable("the answer was cut off"))
    }
}

/// A reply that was lost on the way must not be skipped.
fn check_order(headers: Option<&HeaderMap>, last: u64) -> Result<(), Error> {
    match number(headers, LAST_SEQUENCE) {
        Some(named) if named == last => Ok(()),
        _ => Err(Error::unavailable("a part of the answer was lost")),
    }
}

fn number(headers: Option<&HeaderMap>, name: &str) -> Option<u64> {
    headers?.get(name)?.as_str().parse().ok()
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

    #[test]
    fn a_gap_in_an_answer_is_noticed() {
        let mut headers = HeaderMap::new();
        headers.insert(LAST_SEQUENCE, "7");
        assert!(check_order(Some(&headers), 7).is_ok());
        assert!(check_order(Some(&headers), 5).is_err());
        assert!(check_order(None, 0).is_err());
    }
}

//! The streams that hold what is known of events, for who must look at all of
//! it, whoever it is for: what is there is read without a consumer, and a
//! message is replaced by one that holds less.

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::stream::RawMessageErrorKind;
use bytes::Bytes;
use domain::{AcceptedEvent, AccountId, Delivery, Plan, Record, Timestamp};
use prost::Message as _;
use proto::{DecodeError, pipeline};
use tokio::time::timeout;
use tracing::error;

use crate::connection::CALL_TIMEOUT;
use crate::consume::decode_records;
use crate::direct::{Place, Raw};
use crate::topology::{
    ATTEMPTS, DELIVERIES, EVENTS, PARKED, PLANS, RETRIES, delivery_subject, event_subject,
};
use crate::{Broker, Error};

/// The sequence of the message that this one replaces.
pub(crate) const REWRITTEN: &str = "Postrider-Rewritten";

/// A stream with events' data in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    Events,
    Plans,
    Deliveries,
    Retries,
    Parked,
    Records,
}

impl Log {
    /// Every one, along the way of an event.
    pub const ALL: [Self; 6] = [
        Self::Events,
        Self::Plans,
        Self::Deliveries,
        Self::Retries,
        Self::Parked,
        Self::Records,
    ];

    const fn stream(self) -> &'static str {
        match self {
            Self::Events => EVENTS,
            Self::Plans => PLANS,
            Self::Deliveries => DELIVERIES,
            Self::Retries => RETRIES,
            Self::Parked => PARKED,
            Self::Records => ATTEMPTS,
        }
    }

    fn decode(self, payload: Bytes) -> Result<Contents, DecodeError> {
        Ok(match self {
            Self::Events => {
                let event = pipeline::AcceptedEvent::decode(payload)?;
                Contents::Event(Box::new(event.try_into()?))
            }
            Self::Plans => {
                let plans = pipeline::PlanList::decode(payload)?.plans.into_iter();
                Contents::Plans(plans.map(TryInto::try_into).collect::<Result<_, _>>()?)
            }
            Self::Deliveries | Self::Retries | Self::Parked => {
                let list = pipeline::DeliveryList::decode(payload)?;
                Contents::Deliveries(proto::deliveries_from_list(list)?)
            }
            Self::Records => Contents::Records(decode_records(payload)?),
        })
    }
}

/// What a message holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    Event(Box<AcceptedEvent>),
    Plans(Vec<Plan>),
    Deliveries(Vec<Delivery>),
    Records(Vec<Record>),
    Unreadable,
}

/// A message as it stands in a stream.
#[derive(Debug)]
pub struct Stored {
    pub log: Log,
    pub sequence: u64,
    pub stored_at: Timestamp,
    pub contents: Contents,
    subject: String,
}

impl Stored {
    fn new(log: Log, raw: Raw) -> Self {
        let Raw {
            sequence,
            subject,
            stored_at,
            payload,
        } = raw;
        let contents = log.decode(payload).unwrap_or_else(|error| {
            error!(%error, sequence, ?log, "a message cannot be read");
            Contents::Unreadable
        });
        Self {
            log,
            sequence,
            stored_at,
            contents,
            subject,
        }
    }
}

impl Broker {
    /// What stands in a stream from some place on, of an account's events only
    /// or of all; at most `max` messages and about 1 MiB. Empty: there is nothing
    /// more.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn stored(
        &self,
        log: Log,
        of: Option<&AccountId>,
        place: Place,
        max: usize,
    ) -> Result<Vec<Stored>, Error> {
        let subject = match (log, of) {
            (Log::Events, Some(account)) => event_subject(account),
            _ => ">".to_owned(),
        };
        let found = self.read_surely(log.stream(), &subject, place, max).await?;
        Ok(found.into_iter().map(|raw| Stored::new(log, raw)).collect())
    }

    /// The message at a place, if it is still there.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn stored_at(&self, log: Log, sequence: u64) -> Result<Option<Stored>, Error> {
        let asked = self.message_at(log.stream(), sequence);
        let found = timeout(CALL_TIMEOUT, asked)
            .await
            .map_err(|_| Error::unavailable("no answer in time"))??;
        Ok(found.map(|message| Stored::new(log, message.into())))
    }

    /// The sequence of a stream's last message.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn last_stored(&self, log: Log) -> Result<u64, Error> {
        self.last_sequence(log.stream()).await
    }

    /// Puts `rest` in the place of a message, or nothing if it is empty; what
    /// stood there is overwritten on disk. Doing it again is safe. Deliveries
    /// that were to wait go back to DELIVERIES, where whoever holds the same ones
    /// already sees that they are.
    ///
    /// # Errors
    ///
    /// An outage, or a refusal.
    pub async fn replace(&self, stored: &Stored, rest: Contents) -> Result<(), Error> {
        if let Some((subject, payload)) = self.rewritten(stored, rest) {
            let (stream, sequence) = (stored.log.stream(), stored.sequence);
            let mut headers = HeaderMap::new();
            headers.insert(NATS_MESSAGE_ID, format!("rewritten-{stream}-{sequence}"));
            headers.insert(REWRITTEN, sequence.to_string());
            self.publish_for_ever(subject, headers, Bytes::from(payload))
                .await?;
        }
        let remove = self.remove(stored.log.stream(), stored.sequence);
        timeout(CALL_TIMEOUT, remove)
            .await
            .map_err(|_| Error::unavailable("no answer in time"))?
    }

    fn rewritten(&self, stored: &Stored, rest: Contents) -> Option<(String, Vec<u8>)> {
        match rest {
            Contents::Plans(plans) if !plans.is_empty() => {
                let plans = plans.iter().map(Into::into).collect();
                let list = pipeline::PlanList { plans };
                Some((stored.subject.clone(), list.encode_to_vec()))
            }
            Contents::Records(records) if !records.is_empty() => {
                Some((stored.subject.clone(), proto::encode_records(&records)))
            }
            Contents::Deliveries(deliveries) => {
                let partition = self.partitions().of(deliveries.first()?.endpoint_id);
                let list = proto::encode_deliveries(&deliveries);
                Some((delivery_subject(partition), list))
            }
            _ => None,
        }
    }

    /// Removes a message, if it is still there, and overwrites it on disk.
    pub(crate) async fn remove(&self, stream: &str, sequence: u64) -> Result<(), Error> {
        let stream = self.jetstream.get_stream_no_info(stream).await;
        let stream = stream.map_err(Error::unavailable)?;
        let Err(error) = stream.delete_message(sequence).await else {
            return Ok(());
        };
        // It may have gone by itself.
        match stream.get_raw_message(sequence).await {
            Err(gone) if gone.kind() == RawMessageErrorKind::NoMessageFound => Ok(()),
            _ => Err(Error::unavailable(error)),
        }
    }
}

/// Which message this one has replaced, if it has.
pub(crate) fn rewritten_from(headers: Option<&HeaderMap>) -> Option<u64> {
    headers?.get(REWRITTEN)?.as_str().parse().ok()
}

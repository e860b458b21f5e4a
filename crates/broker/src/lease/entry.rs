//! Entries of the bucket `leases`, as the server holds them.
//!
//! The key-value store's own calls know no time to live for anything but the
//! first write of a key, so these go to its stream (ADR-8, ADR-43).

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_TTL};
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::Bytes;
use prost::Message as _;
use proto::pipeline;
use tracing::error;

use crate::directory::value_of;
use crate::topology::LEASES;
use crate::{Broker, Error};

/// Tells a reader of the bucket that a key was deleted.
const OPERATION: &str = "KV-Operation";

/// What stands under the key of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its sequence in the stream; 0 if nothing stands there.
    pub(super) revision: u64,
    /// `None` if nobody holds the partition.
    pub(super) holder: Option<Holder>,
}

/// Who holds a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) owner: String,
    /// The revision with which it began to.
    pub(super) epoch: u64,
}

impl Entry {
    const NOTHING: Self = Self {
        revision: 0,
        holder: None,
    };

    fn decode(revision: u64, value: Option<Bytes>) -> Self {
        let holder = value.map(|value| match pipeline::Lease::decode(value) {
            Ok(lease) => Holder {
                owner: lease.owner,
                epoch: match lease.epoch {
                    0 => revision,
                    epoch => epoch,
                },
            },
            // Somebody's all the same, until it ends.
            Err(error) => {
                error!(%error, revision, "a lease cannot be read");
                Holder {
                    owner: String::new(),
                    epoch: revision,
                }
            }
        });
        Self { revision, holder }
    }

    pub(super) fn is_held_by(&self, owner: &str, epoch: u64) -> bool {
        let holder = self.holder.as_ref();
        holder.is_some_and(|holder| holder.owner == owner && holder.epoch == epoch)
    }
}

/// What is written under a key.
#[derive(Debug)]
pub(super) enum Value {
    /// A lease; 0 as the epoch of one that begins.
    Lease { owner: String, epoch: u64 },
    /// A member is alive.
    Member,
    /// Nobody holds it. Unlike a purge, this can be bound to a revision.
    Nobody,
}

/// Writes an entry that lives for `seconds`, if it still has the revision
/// `expected`. Returns the new revision, `None` if it had another one.
pub(super) async fn write(
    broker: &Broker,
    subject: String,
    value: Value,
    seconds: u64,
    expected: Option<u64>,
) -> Result<Option<u64>, Error> {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_TTL, seconds.to_string());
    if let Some(expected) = expected {
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
    }
    let payload = match value {
        Value::Lease { owner, epoch } => pipeline::Lease { owner, epoch }.encode_to_vec().into(),
        Value::Member => Bytes::new(),
        Value::Nobody => {
            headers.insert(OPERATION, "DEL");
            Bytes::new()
        }
    };
    let published = async {
        let acked = broker
            .jetstream
            .publish_with_headers(subject, headers, payload)
            .await?;
        acked.await
    };
    match published.await {
        Ok(ack) => Ok(Some(ack.sequence)),
        Err(error) if is_conflict(&error) => Ok(None),
        Err(error) => Err(Error::unavailable(error)),
    }
}

fn is_conflict(error: &PublishError) -> bool {
    error.kind() == PublishErrorKind::WrongLastSequence
}

/// Reads an entry from the stream's leader: a direct get may be answered by a
/// replica that lags behind.
pub(super) async fn read(broker: &Broker, subject: &str) -> Result<Entry, Error> {
    let stream = broker
        .jetstream
        .get_stream_no_info(LEASES)
        .await
        .map_err(Error::unavailable)?;
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => {
            let value = value_of(Some(&message.headers), message.payload);
            Ok(Entry::decode(message.sequence, value))
        }
        Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => {
            Ok(Entry::NOTHING)
        }
        Err(error) => Err(Error::unavailable(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(revision: u64, owner: &str, epoch: u64) -> Entry {
        let owner = owner.to_owned();
        let value = pipeline::Lease { owner, epoch }.encode_to_vec();
        Entry::decode(revision, Some(value.into()))
    }

    #[test]
    fn the_first_entry_of_a_lease_is_its_epoch() {
        assert!(entry(7, "a", 0).is_held_by("a", 7));
        assert!(entry(9, "a", 7).is_held_by("a", 7));
    }

    #[test]
    fn a_lease_is_one_owner_in_one_epoch() {
        assert!(!entry(9, "a", 7).is_held_by("b", 7));
        assert!(!entry(9, "a", 8).is_held_by("a", 7));
        assert!(!Entry::decode(9, None).is_held_by("a", 9));
        assert!(!Entry::NOTHING.is_held_by("", 0));
    }

    #[test]
    fn what_cannot_be_read_belongs_to_somebody_else() {
        let entry = Entry::decode(9, Some(Bytes::from_static(b"\xff")));
        assert!(entry.holder.is_some() && !entry.is_held_by("a", 9));
    }
}

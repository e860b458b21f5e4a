//! Writing the directories: control's side.

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::context::PublishErrorKind;
use bytes::Bytes;
use domain::key::KeyRecord;
use domain::{AccountId, Endpoint, EndpointId, EventType};
use futures::StreamExt as _;
use prost::Message as _;
use tokio::time::timeout;

use super::{Bucket, endpoint_key, event_type_key};
use crate::connection::CALL_TIMEOUT;
use crate::{Broker, Error};

/// Which entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// An endpoint.
    Endpoint(AccountId, EndpointId),
    /// A key, by its id.
    Key(String),
    /// An event type.
    EventType(EventType),
}

/// What is to stand in an entry.
#[derive(Debug, Clone)]
pub enum Value {
    /// An endpoint.
    Endpoint(Box<Endpoint>),
    /// A key.
    Key(KeyRecord),
    /// An event type and its version.
    EventType(EventType, u64),
}

impl Key {
    fn bucket(&self) -> Bucket {
        match self {
            Self::Endpoint(..) => Bucket::Endpoints,
            Self::Key(_) => Bucket::Keys,
            Self::EventType(_) => Bucket::EventTypes,
        }
    }

    fn text(&self, broker: &Broker) -> String {
        match self {
            Self::Endpoint(account, id) => endpoint_key(broker, account, *id),
            Self::Key(id) => id.clone(),
            Self::EventType(name) => event_type_key(name),
        }
    }

    fn parse(bucket: Bucket, text: &str) -> Option<Self> {
        Some(match bucket {
            Bucket::Endpoints => {
                let (_, rest) = text.split_once('.')?;
                let (account, id) = rest.split_once('.')?;
                Self::Endpoint(AccountId::parse(account).ok()?, id.parse().ok()?)
            }
            Bucket::Keys => Self::Key(text.to_owned()),
            Bucket::EventTypes => Self::EventType(EventType::parse(text).ok()?),
            // Not control's.
            Bucket::Erased => return None,
        })
    }
}

impl Value {
    /// Where it belongs.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Endpoint(endpoint) => Key::Endpoint(endpoint.account.clone(), endpoint.id),
            Self::Key(key) => Key::Key(key.id.clone()),
            Self::EventType(name, _) => Key::EventType(name.clone()),
        }
    }

    fn encode(&self) -> Bytes {
        match self {
            Self::Endpoint(endpoint) => {
                proto::pipeline::DirectoryEndpoint::from(&**endpoint).encode_to_vec()
            }
            Self::Key(key) => proto::pipeline::DirectoryKey::from(key).encode_to_vec(),
            Self::EventType(name, version) => proto::pipeline::DirectoryEventType {
                name: name.to_string(),
                version: *version,
            }
            .encode_to_vec(),
        }
        .into()
    }
}

impl Broker {
    /// The revision of an entry, 0 if it never was, and whether it holds a
    /// value. Read it before reading what is to be written: then a write that
    /// names it cannot bring back what is outdated.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn directory_revision(&self, key: &Key) -> Result<(u64, bool), Error> {
        let (revision, value) = super::read(self, key.bucket(), &key.text(self)).await?;
        Ok((revision, value.is_some()))
    }

    /// Writes an entry whose revision is still `expected`.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`], or an outage.
    pub async fn put_directory(&self, value: &Value, expected: u64) -> Result<(), Error> {
        self.write(&value.key(), HeaderMap::new(), value.encode(), expected)
            .await
    }

    /// Deletes an entry whose revision is still `expected`.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`], or an outage.
    pub async fn delete_directory(&self, key: &Key, expected: u64) -> Result<(), Error> {
        let mut headers = HeaderMap::new();
        headers.insert("KV-Operation", "DEL");
        self.write(key, headers, Bytes::new(), expected).await
    }

    /// Every entry of a bucket that holds a value. Entries that are not of
    /// Postrider's form are left out.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn list_directory(&self, bucket: Bucket) -> Result<Vec<Key>, Error> {
        let list = async {
            let store = self
                .jetstream
                .get_key_value(bucket.name())
                .await
                .map_err(Error::unavailable)?;
            let mut keys = store.keys().await.map_err(Error::unavailable)?;
            let mut found = Vec::new();
            while let Some(key) = keys.next().await {
                found.extend(Key::parse(bucket, &key.map_err(Error::unavailable)?));
            }
            Ok(found)
        };
        timeout(6 * CALL_TIMEOUT, list)
            .await
            .map_err(|_| Error::unavailable("no answer in time"))?
    }

    async fn write(
        &self,
        key: &Key,
        mut headers: HeaderMap,
        payload: Bytes,
        expected: u64,
    ) -> Result<(), Error> {
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        let subject = key.bucket().subject(&key.text(self));
        let classify = |error: async_nats::jetstream::context::PublishError| match error.kind() {
            PublishErrorKind::WrongLastSequence => Error::Conflict,
            _ => Error::unavailable(error),
        };
        let write = async {
            let acked = self
                .jetstream
                .publish_with_headers(subject, headers, payload)
                .await;
            acked.map_err(classify)?.await.map_err(classify)
        };
        timeout(CALL_TIMEOUT, write)
            .await
            .map_err(|_| Error::unavailable("no answer in time"))?
            .map(|_| ())
    }
}

//! An event, before and after it is accepted.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::problem::{Problem, Reason};
use crate::{AccountId, EndpointId, EventId, EventType, JsonObject, Timestamp, TraceContext};

/// How long accepted events are kept; a retry later than this finds no body.
pub const RETENTION: Duration = Duration::from_secs(7 * 86_400);

/// A publisher's own id of an event, which makes a repeat safe:
/// `[A-Za-z0-9_.:-]{1,128}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PublisherId(String);

impl PublisherId {
    /// Checks the form.
    ///
    /// # Errors
    ///
    /// [`Reason::FieldInvalid`] on the field `id`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-');
        if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err(Problem::of_field(
            Reason::FieldInvalid,
            "id",
            "use 1 to 128 of the characters A-Z, a-z, 0-9, _ . : and -",
        ))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PublisherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a publisher ties to an event to find it again: at most 16 pairs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags(BTreeMap<String, String>);

impl Tags {
    /// At most this many pairs.
    pub const MAX: usize = 16;

    /// A key or a value has at most this many characters.
    pub const MAX_CHARS: usize = 256;

    /// Checks the limits. Keys are not empty; control characters are refused.
    ///
    /// # Errors
    ///
    /// [`Reason::FieldInvalid`] on the field `tags`.
    pub fn parse(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, Problem> {
        let tags: BTreeMap<String, String> = pairs.into_iter().collect();
        let bad = |message| Problem::of_field(Reason::FieldInvalid, "tags", message);
        if tags.len() > Self::MAX {
            return Err(bad("an event may have at most 16 tags; send fewer"));
        }
        let fits = |text: &str| {
            text.chars().count() <= Self::MAX_CHARS && !text.chars().any(char::is_control)
        };
        if tags
            .iter()
            .all(|(key, value)| !key.is_empty() && fits(key) && fits(value))
        {
            return Ok(Self(tags));
        }
        Err(bad(
            "a tag's key has 1 to 256 characters and its value at most 256, without control \
             characters; shorten it or put it into the object",
        ))
    }

    /// The pairs, by key.
    #[must_use]
    pub const fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

/// An event as its publisher hands it over, every part checked.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub account: AccountId,
    pub event_type: EventType,
    pub object: JsonObject,
    pub publisher_id: Option<PublisherId>,
    pub tags: Tags,
    pub live_mode: bool,
}

impl NewEvent {
    /// The event's id if it is accepted at `at`.
    #[must_use]
    pub fn id(&self, at: Timestamp) -> EventId {
        match &self.publisher_id {
            Some(id) => EventId::for_publisher_id(&self.account, id, at),
            None => EventId::new(),
        }
    }

    /// By which a repeat is found, if the publisher gave an id.
    #[must_use]
    pub fn key(&self) -> Option<Uuid> {
        let id = self.publisher_id.as_ref();
        id.map(|id| id.key(&self.account))
    }

    /// A digest of the payload, the same on every repeat, by which a repeat is
    /// told from another event under the same id: SHA-256 of type, object, tags
    /// and live mode, each behind its length.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let mut part = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        part(self.event_type.as_str().as_bytes());
        part(self.object.as_bytes());
        part(&[u8::from(self.live_mode)]);
        for (key, value) in self.tags.as_map() {
            part(key.as_bytes());
            part(value.as_bytes());
        }
        digest.finalize().into()
    }
}

/// An event that JetStream holds, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedEvent {
    pub id: EventId,
    pub account: AccountId,
    pub event_type: EventType,
    /// What every endpoint gets: see [`crate::envelope::build`].
    pub body: Bytes,
    pub tags: Tags,
    pub live_mode: bool,
    pub accepted_at: Timestamp,
    /// The context it was accepted in.
    pub trace: TraceContext,
    /// Set for a test event: to this endpoint only, whatever it subscribes to.
    pub target: Option<EndpointId>,
    /// Set for an operational event: the endpoint it is about, which does not
    /// get it.
    pub excluded: Option<EndpointId>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn event() -> NewEvent {
        NewEvent {
            account: AccountId::parse("acme").unwrap(),
            event_type: EventType::parse("message.report").unwrap(),
            object: JsonObject::parse(Bytes::from_static(b"{\"a\":1}")).unwrap(),
            publisher_id: None,
            tags: Tags::parse([("k".to_owned(), "v".to_owned())]).unwrap(),
            live_mode: true,
        }
    }

    #[test]
    fn a_repeat_has_the_same_key_and_fingerprint() {
        let id = PublisherId::parse("order:1").unwrap();
        let first = NewEvent {
            publisher_id: Some(id),
            ..event()
        };
        assert!(first.key().is_some());
        assert_eq!(first.key(), first.clone().key());
        assert_eq!(event().key(), None);
        let at = Timestamp::from_unix_millis(1);
        assert_ne!(event().id(at), event().id(at));
        assert_eq!(event().fingerprint(), event().fingerprint());
    }

    #[test]
    fn each_part_of_the_payload_is_in_the_fingerprint() {
        let others = [
            NewEvent {
                event_type: EventType::parse("message.repor").unwrap(),
                ..event()
            },
            NewEvent {
                object: JsonObject::parse(Bytes::from_static(b"{\"a\":2}")).unwrap(),
                ..event()
            },
            NewEvent {
                tags: Tags::default(),
                ..event()
            },
            NewEvent {
                tags: Tags::parse([("kv".to_owned(), String::new())]).unwrap(),
                ..event()
            },
            NewEvent {
                live_mode: false,
                ..event()
            },
        ];
        for other in others {
            assert_ne!(other.fingerprint(), event().fingerprint(), "{other:?}");
        }
    }

    #[test]
    fn ids_and_tags_have_limits() {
        for good in ["a", "A_.:-9", &"x".repeat(128)] {
            assert!(PublisherId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "é", "a\n", &"x".repeat(129)] {
            assert_eq!(PublisherId::parse(bad).unwrap_err().fields[0].field, "id");
        }
        let many = |count: usize| (0..count).map(|n| (n.to_string(), String::new()));
        assert!(Tags::parse(many(16)).is_ok());
        assert!(Tags::parse(many(17)).is_err());
        for (key, value) in [("", "v"), ("k\0", "v"), ("k", "\n")] {
            assert!(
                Tags::parse([(key.to_owned(), value.to_owned())]).is_err(),
                "{key:?}"
            );
        }
        let long = |chars| Tags::parse([("k".to_owned(), "é".repeat(chars))]);
        assert!(long(256).is_ok());
        assert!(long(257).is_err());
    }
}

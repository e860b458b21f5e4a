//! Ids: a prefix that says what it is, and a UUID.

use std::fmt;
use std::str::FromStr;

use uuid::{Builder, Uuid, Version};

use crate::{AccountId, PublisherId, Timestamp};

/// UUIDv5 namespace of everything derived here. Never changes.
pub(crate) const NAMESPACE: Uuid = Uuid::from_u128(0x8f2c_6a0e_51d4_4b0b_9f6e_2d3c_70a1_be55);

/// The text or bytes are not an id of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id looks like {prefix}00000000-0000-4000-8000-000000000000")]
pub struct ParseIdError {
    /// The prefix that was expected, e.g. `evt_`.
    pub prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])+ $name:ident $prefix:literal;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What stands before the UUID.
            pub const PREFIX: &'static str = $prefix;

            /// A fresh id, UUIDv7, so that ids sort by the time they were made.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "each one is another")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id of a known UUID.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID without the prefix.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// The 16 bytes of the UUID.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The id of 16 bytes.
            ///
            /// # Errors
            ///
            /// When there are not 16.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, ParseIdError> {
                Uuid::from_slice(bytes).map(Self).map_err(|_| ParseIdError { prefix: $prefix })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.as_hyphenated())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            /// Accepts the one canonical form only: lower case, with hyphens.
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.strip_prefix($prefix)
                    .and_then(canonical_uuid)
                    .map(Self)
                    .ok_or(ParseIdError { prefix: $prefix })
            }
        }
    )+};
}

ids! {
    /// An event, published once.
    EventId "evt_";
    /// A customer's URL that receives events.
    EndpointId "ep_";
    /// One event on its way to one endpoint.
    DeliveryId "dlv_";
    /// One HTTP POST of a delivery.
    AttemptId "att_";
    /// A span of events sent to an endpoint again.
    ReplayId "rpl_";
    /// Something that was asked to be erased.
    ErasureId "ers_";
}

fn canonical_uuid(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    let mut buffer = Uuid::encode_buffer();
    (uuid.as_hyphenated().encode_lower(&mut buffer) == text).then_some(uuid)
}

impl EventId {
    /// The id of the event that a publisher calls `id`, accepted at `at`: the
    /// instant, then bits of account and id, as UUIDv7. An event that is accepted
    /// later under the same `id` has another; a repeat is not accepted, and is
    /// answered with the id of the event that was.
    #[must_use]
    pub fn for_publisher_id(account: &AccountId, id: &PublisherId, at: Timestamp) -> Self {
        let key = id.key(account);
        let key = key.as_bytes();
        let mut derived = [0; 10];
        // The others hold UUIDv5's version and variant.
        derived[..6].copy_from_slice(&key[..6]);
        derived[6..].copy_from_slice(&key[12..]);
        let millis = u64::try_from(at.unix_millis()).unwrap_or(0);
        Self(Builder::from_unix_timestamp_millis(millis, &derived).into_uuid())
    }

    /// The id of the operational event that is raised as `id`: the same on
    /// every repeat, and none that a publisher's id leads to.
    #[must_use]
    pub fn for_raised(account: &AccountId, id: Uuid) -> Self {
        let name = format!("raised\0{account}\0{id}");
        Self(Uuid::new_v5(&NAMESPACE, name.as_bytes()))
    }

    /// The id of the operational event of this type about one thing: the same
    /// however often it is raised.
    #[must_use]
    pub fn operational(event_type: &str, about: &[u8]) -> Self {
        let name = [b"operational\0", event_type.as_bytes(), b"\0", about].concat();
        Self(Uuid::new_v5(&NAMESPACE, &name))
    }
}

impl PublisherId {
    /// By which a repeat is found: the same on every call, another in every
    /// account.
    #[must_use]
    pub fn key(&self, account: &AccountId) -> Uuid {
        let name = format!("event\0{account}\0{self}");
        Uuid::new_v5(&NAMESPACE, name.as_bytes())
    }
}

impl ErasureId {
    /// The id of the erasure of what is left of a deleted endpoint: there is one.
    #[must_use]
    pub fn of_endpoint(endpoint: EndpointId) -> Self {
        let name = [b"erasure\0".as_slice(), endpoint.as_bytes()].concat();
        Self(Uuid::new_v5(&NAMESPACE, &name))
    }
}

impl DeliveryId {
    /// The id of the delivery that fan-out plans for this event and endpoint:
    /// the same however often the event is planned.
    #[must_use]
    pub fn planned(event: EventId, endpoint: EndpointId) -> Self {
        let mut name = [0; 32];
        name[..16].copy_from_slice(event.as_bytes());
        name[16..].copy_from_slice(endpoint.as_bytes());
        Self::named(event, &name)
    }

    /// The id of the delivery that sends an event to an endpoint once more, which
    /// has got `earlier` deliveries of it before: the same for all who ask at once.
    #[must_use]
    pub fn resent(event: EventId, endpoint: EndpointId, earlier: u64) -> Self {
        let name = [
            b"resend\0".as_slice(),
            event.as_bytes(),
            endpoint.as_bytes(),
            &earlier.to_be_bytes(),
        ];
        Self::named(event, &name.concat())
    }

    /// The id of the delivery that a replay makes of this event: the same
    /// however often it is made, another in every replay. A replay has one
    /// endpoint.
    #[must_use]
    pub fn replayed(replay: ReplayId, event: EventId) -> Self {
        let name = [b"replay\0".as_slice(), replay.as_bytes(), event.as_bytes()].concat();
        Self::named(event, &name)
    }

    /// With its event's instant in front, as UUIDv7, so that deliveries of one
    /// time stand side by side in an index, and are looked for there; of an
    /// event whose id holds none, without.
    fn named(event: EventId, name: &[u8]) -> Self {
        let hash = Uuid::new_v5(&NAMESPACE, name);
        if event.0.get_version() != Some(Version::SortRand) {
            return Self(hash);
        }
        let mut bytes = hash.into_bytes();
        bytes[..6].copy_from_slice(&event.as_bytes()[..6]);
        let id = Builder::from_bytes(bytes).with_version(Version::SortRand);
        Self(id.into_uuid())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_lead_back_to_the_id() {
        let id = EventId::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(EventId::from_slice(id.as_bytes()), Ok(id));
    }

    #[test]
    fn only_the_canonical_text_is_an_id() {
        let text = "evt_85e59919-3147-454b-bade-75d1f0c5a1f2";
        assert_eq!(text.parse::<EventId>().unwrap().to_string(), text);
        for wrong in [
            "85e59919-3147-454b-bade-75d1f0c5a1f2",
            "ep_85e59919-3147-454b-bade-75d1f0c5a1f2",
            "evt_85E59919-3147-454b-bade-75d1f0c5a1f2",
            "evt_85e599193147454bbade75d1f0c5a1f2",
            "evt_{85e59919-3147-454b-bade-75d1f0c5a1f2}",
            "evt_85e59919-3147-454b-bade-75d1f0c5a1f2 ",
            "evt_",
            "",
        ] {
            assert!(wrong.parse::<EventId>().is_err(), "{wrong}");
        }
        assert!(EventId::from_slice(&[0; 15]).is_err());
    }

    #[test]
    fn a_publishers_id_leads_to_another_event_each_time_it_is_accepted() {
        let account = |name| AccountId::parse(name).unwrap();
        let order = PublisherId::parse("order-1").unwrap();
        let id = |name, millis| {
            let at = Timestamp::from_unix_millis(millis);
            EventId::for_publisher_id(&account(name), &order, at)
        };
        assert_eq!(id("acme", 1), id("acme", 1));
        assert!(id("acme", 1) < id("acme", 2), "ids sort by time");
        assert_ne!(id("acme", 1), id("other", 1));
    }

    #[test]
    fn derived_ids_never_change() {
        let account = AccountId::parse("acme").unwrap();
        let order = PublisherId::parse("order-1").unwrap();
        assert_eq!(
            order.key(&account).to_string(),
            "8b8039b6-facf-523f-b401-834846d08242"
        );
        let at = Timestamp::from_unix_millis(1_778_676_894_719);
        assert_eq!(
            EventId::for_publisher_id(&account, &order, at).to_string(),
            "evt_019e2167-8bff-7b80-b9b6-facf46d08242"
        );
        let endpoint = EndpointId::from_uuid(Uuid::from_u128(1));
        assert_eq!(
            EventId::for_raised(&account, Uuid::from_u128(3)).to_string(),
            "evt_a2958b11-90ab-5d38-b2d4-f5d4495734d7"
        );
        let event = EventId::from_uuid(Uuid::from_u128(2));
        assert_eq!(
            DeliveryId::planned(event, endpoint).to_string(),
            "dlv_fa392407-392d-5652-867d-a101843ccaa2"
        );
        let timed = EventId::for_publisher_id(&account, &order, at);
        assert_eq!(
            DeliveryId::planned(timed, endpoint).to_string(),
            "dlv_019e2167-8bff-74a0-a984-f12e792cd587"
        );
        let replay = ReplayId::from_uuid(Uuid::from_u128(4));
        assert_eq!(
            DeliveryId::replayed(replay, event).to_string(),
            "dlv_b579956f-4194-5cd9-b140-df0f23b960a7"
        );
    }
}

//! An endpoint and a delivery for unit tests.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use domain::custom_headers::SealedHeaders;
use domain::signature::Secret;
use domain::vault::{MasterKey, RANDOM_BYTES, SealedSecret, Vault};
use domain::{
    AccountId, Cause, Content, Delivery, DeliveryEvent, DeliveryId, DeliveryPolicy, Endpoint,
    EndpointId, EventId, EventType, Timestamp, TraceContext, Verification,
};

use crate::item::{Item, Source};

pub(crate) fn vault() -> Vault {
    MasterKey::from_bytes([7; 32]).into()
}

/// The secret that [`endpoint`] has, made of `byte`.
pub(crate) fn secret(byte: u8) -> Secret {
    Secret::from_random([byte; 32])
}

pub(crate) fn sealed(
    endpoint: EndpointId,
    secret: &Secret,
    valid_until: Option<Timestamp>,
) -> SealedSecret {
    let text = secret.expose().as_bytes();
    let sealed = vault().seal(text, endpoint.as_bytes(), [1; RANDOM_BYTES]);
    SealedSecret {
        master_key_id: sealed.master_key_id,
        sealed: sealed.bytes,
        valid_until,
    }
}

/// Headers as an endpoint's policy holds them; they are not checked.
pub(crate) fn sealed_headers(endpoint: EndpointId, pairs: &[(&str, &str)]) -> SealedHeaders {
    let owner = [endpoint.as_bytes().as_slice(), b" headers"].concat();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("[{name:?},{value:?}]"))
        .collect();
    let plaintext = format!("[{}]", pairs.join(","));
    let sealed = vault().seal(plaintext.as_bytes(), &owner, [2; RANDOM_BYTES]);
    SealedHeaders {
        master_key_id: sealed.master_key_id,
        sealed: sealed.bytes,
    }
}

pub(crate) fn endpoint() -> Endpoint {
    let id = EndpointId::new();
    Endpoint {
        id,
        account: AccountId::parse("acme").unwrap(),
        version: 1,
        url: "https://example.com/hook".to_owned(),
        event_types: vec![EventType::parse("message.report").unwrap()],
        disabled: false,
        disabled_reason: String::new(),
        generation: 0,
        verification: Verification::NotRequired,
        rate_limit: None,
        policy: DeliveryPolicy::default(),
        created_at: Timestamp::from_unix_millis(1),
        secrets: vec![sealed(id, &secret(1), None)],
    }
}

/// An attempt that has just arrived, from nowhere.
pub(crate) fn item(endpoint_id: EndpointId) -> Item {
    Item {
        delivery: delivery(endpoint_id),
        source: Source::nowhere(),
        epoch: 1,
        arrived_at: Instant::now(),
    }
}

/// A challenge, for the endpoint to echo.
pub(crate) fn challenge(endpoint_id: EndpointId) -> Delivery {
    let mut challenge = delivery(endpoint_id);
    challenge.cause = Cause::Test;
    let event = Arc::make_mut(&mut challenge.event);
    event.event_type = EventType::parse("endpoint.verification").unwrap();
    challenge
}

pub(crate) fn delivery(endpoint_id: EndpointId) -> Delivery {
    Delivery {
        id: DeliveryId::new(),
        endpoint_id,
        event: Arc::new(DeliveryEvent {
            id: EventId::new(),
            account: AccountId::parse("acme").unwrap(),
            event_type: EventType::parse("message.report").unwrap(),
            accepted_at: Timestamp::from_unix_millis(1_000),
            content: Content::Inline(Bytes::from_static(b"{}")),
            trace: TraceContext::root([1; 24]),
        }),
        cause: Cause::Event,
        attempt_number: 1,
        directory_revision: 1,
        endpoint_generation: 0,
        previous_attempt: None,
    }
}

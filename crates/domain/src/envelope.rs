//! The body that endpoints receive.

use bytes::Bytes;

use crate::{EventId, EventType, JsonObject, Timestamp};

/// The version of the envelope, sent in every body.
pub const API_VERSION: &str = "2026-02-04";

/// Builds the body: once per event, and every endpoint, every attempt and the
/// history get these same bytes. The object is embedded as it came; no other
/// part has a character that JSON would escape.
#[must_use]
pub fn build(
    id: EventId,
    event_type: &EventType,
    created_at: Timestamp,
    live_mode: bool,
    object: &JsonObject,
) -> Bytes {
    let head = format!(
        "{{\"id\":\"{id}\",\"type\":\"{event_type}\",\"api_version\":\"{API_VERSION}\",\
         \"created_at\":{},\"liveMode\":{live_mode},\"data\":{{\"object\":",
        created_at.unix_seconds()
    );
    [head.as_bytes(), object.as_bytes(), b"}}"].concat().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_object_stands_in_the_envelope_as_it_came() {
        let object = "{\"n\": 12345678901234567890,\"e\":\"\\u00e9\"}";
        let body = build(
            "evt_85e59919-3147-454b-bade-75d1f0c5a1f2".parse().unwrap(),
            &EventType::parse("message.report").unwrap(),
            Timestamp::from_unix_millis(1_747_147_674_999),
            true,
            &JsonObject::parse(Bytes::from_static(object.as_bytes())).unwrap(),
        );
        assert_eq!(
            std::str::from_utf8(&body).unwrap(),
            "{\"id\":\"evt_85e59919-3147-454b-bade-75d1f0c5a1f2\",\"type\":\"message.report\",\
             \"api_version\":\"2026-02-04\",\"created_at\":1747147674,\"liveMode\":true,\
             \"data\":{\"object\":{\"n\": 12345678901234567890,\"e\":\"\\u00e9\"}}}"
        );
    }
}

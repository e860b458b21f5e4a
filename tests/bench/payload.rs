//! What is published: an object of about 300 bytes that carries its number and
//! the time it was to be sent, and the body that is made of it.

use std::time::SystemTime;

use anyhow::{Result, anyhow};
use bytes::Bytes;
use domain::{EventId, EventType, JsonObject};

const NUMBER: &[u8] = b"\"number\":";
const SENT: &[u8] = b"\"sent_ns\":";

/// The publisher's JSON object.
pub(crate) fn object(number: u32, sent_ns: u64) -> String {
    format!(
        "{{\"number\":{number},\"sent_ns\":{sent_ns},\
         \"recipient\":{{\"customer_id\":\"wamid.HBgNOTE4MTg5MjIyMzEzFQIAERgSQ0Q4\",\
         \"phone_number\":\"+918189222313\"}},\"status\":\"READ\",\
         \"reported_at\":\"2026-05-13T12:54:54.719Z\",\
         \"timestamp\":\"2026-05-13T12:46:25Z\",\"conversation\":{{\"origin\":\"utility\",\
         \"expires_at\":\"2026-05-14T12:46:25Z\"}}}}"
    )
}

/// The body that an endpoint receives for it.
///
/// # Errors
///
/// Never, unless the domain's rules become stricter than this object.
pub(crate) fn body(number: u32, sent_ns: u64) -> Result<Bytes> {
    let event_type = EventType::parse("message.report").map_err(|_| anyhow!("an event type"))?;
    let object = JsonObject::parse(Bytes::from(object(number, sent_ns)))
        .map_err(|_| anyhow!("a JSON object"))?;
    let now = SystemTime::now().into();
    Ok(domain::envelope::build(
        EventId::new(),
        &event_type,
        now,
        true,
        &object,
    ))
}

/// Number and time from a body, zeros if it is another kind of body.
pub(crate) fn read(body: &[u8]) -> (u32, u64) {
    let number = digits_behind(body, NUMBER).and_then(|digits| digits.parse().ok());
    let sent = digits_behind(body, SENT).and_then(|digits| digits.parse().ok());
    (number.unwrap_or_default(), sent.unwrap_or_default())
}

fn digits_behind<'a>(body: &'a [u8], key: &[u8]) -> Option<&'a str> {
    let start = body.windows(key.len()).position(|window| window == key)? + key.len();
    let digits = &body[start..];
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()
}

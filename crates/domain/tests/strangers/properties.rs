//! What holds of anything that strangers write: shared by what bends a corpus at
//! random (`strangers`) and what is led by coverage (`tests/fuzz`). Each fails by
//! a panic.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use domain::challenge::Challenge;
use domain::custom_headers::CustomHeaders;
use domain::egress::{Allowance, Policy};
use domain::page::PageToken;
use domain::retry::{Schedule, parse_duration, parse_retry_after};
use domain::signature::Secret;
use domain::vault::Vault;
use domain::{
    AccountId, EndpointUrl, EventId, EventType, JsonObject, PublisherId, Tags, Timestamp,
    TraceContext, envelope, key,
};
use serde_json::Value;
use serde_json::value::RawValue;
use url::Host;

/// Its name, and what it does with any bytes.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// The corpus in `tests/fuzz` is of these.
pub(crate) const TARGETS: [Target; 7] = [
    ("urls", |bytes| with_text(bytes, url)),
    ("objects", |bytes| with_text(bytes, object)),
    ("delays", |bytes| {
        let (number, rest) = number(bytes);
        with_text(rest, |text| delay(text, number));
    }),
    ("names", |bytes| {
        with_text(bytes, |text| {
            name(text);
            token(text, "events acme");
        });
    }),
    ("headers", |bytes| {
        with_text(bytes, |text| {
            let (name, value) = text.split_once(':').unwrap_or((text, ""));
            header(name, value);
        });
    }),
    ("echoes", |bytes| {
        let (number, rest) = number(bytes);
        let at = usize::try_from(number.unsigned_abs()).unwrap_or(0);
        with_text(rest, |text| echo(text, [7; 32], at));
    }),
    ("sealed", sealed),
];

fn with_text(bytes: &[u8], property: impl FnOnce(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        property(text);
    }
}

/// A number, and what follows it.
fn number(bytes: &[u8]) -> (i64, &[u8]) {
    match bytes.split_first_chunk() {
        Some((number, rest)) => (i64::from_le_bytes(*number), rest),
        None => (0, bytes),
    }
}

/// An accepted URL is https, names no user, and its host, if it is an address,
/// is public.
pub(crate) fn url(text: &str) {
    let policy = Policy::default();
    let Ok(accepted) = EndpointUrl::parse(text, &policy) else {
        return;
    };
    assert_eq!(accepted.as_str(), text);
    let url = accepted.url();
    assert_eq!(url.scheme(), "https");
    assert!(url.username().is_empty() && url.password().is_none());
    assert!(!text.chars().any(|it| it.is_control() || it == '\\'));
    match accepted.host() {
        Host::Ipv4(address) => assert!(policy.permits(address.into())),
        Host::Ipv6(address) => assert!(policy.permits(address.into())),
        Host::Domain(name) => {
            assert!(name.contains('.') && !name.contains(':'));
            // A resolver must not take it for an address.
            assert!(name.parse::<IpAddr>().is_err(), "{name}");
        }
    }
}

/// An object that is accepted stands in the body as it came, and the body is
/// JSON that says so.
pub(crate) fn object(text: &str) {
    let Ok(object) = JsonObject::parse(Bytes::copy_from_slice(text.as_bytes())) else {
        return;
    };
    assert_eq!(object.as_bytes(), text.as_bytes());
    let event_type = EventType::parse("message.report").expect("a name");
    let at = Timestamp::from_unix_millis(0);
    let body = envelope::build(EventId::new(), &event_type, at, true, &object);
    let parsed: Result<Parts<'_>, _> = serde_json::from_slice(&body);
    let parsed = parsed.expect("the body is JSON");
    assert_eq!(parsed.data.object.get().trim(), text.trim());
}

#[derive(serde::Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(serde::Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    object: &'a RawValue,
}

/// What a server asks us to wait for has a bound.
pub(crate) fn delay(text: &str, now: i64) {
    let now = Timestamp::from_unix_millis(now);
    if let Some(wait) = parse_retry_after(text, now) {
        assert!(wait <= Duration::from_secs(86_400), "{wait:?}");
    }
    let _ = parse_duration(text);
    if let Ok(schedule) = text.parse::<Schedule>() {
        assert_eq!(
            schedule.to_string().parse::<Schedule>().ok(),
            Some(schedule)
        );
    }
}

/// A token that nobody made opens nothing, and no other list.
pub(crate) fn token(text: &str, context: &str) {
    assert!(PageToken::decode(text, context).is_err());
    if let Some(id) = key::lookup_id(text) {
        assert!(!id.is_empty() && id.len() <= 33, "{id}");
    }
}

/// Words that are accepted keep to their letters.
pub(crate) fn name(text: &str) {
    if let Ok(account) = AccountId::parse(text) {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        assert!(account.as_str().bytes().all(letters));
    }
    if let Ok(name) = EventType::parse(text) {
        assert!(!name.as_str().contains(char::is_whitespace));
    }
    if let Ok(allowance) = text.parse::<Allowance>() {
        assert_eq!(
            allowance.to_string().parse::<Allowance>().ok(),
            Some(allowance)
        );
    }
    if let Some(trace) = TraceContext::parse(text, Some(text)) {
        assert!(TraceContext::parse(&trace.traceparent(), None).is_some());
    }
    let _ = (
        PublisherId::parse(text),
        text.parse::<EventId>(),
        Secret::parse(text),
    );
    let _ = (Timestamp::parse_rfc3339(text), Vault::parse(text));
    let _ = Tags::parse([(text.to_owned(), text.to_owned())]);
}

/// Headers that are accepted cannot end a line, nor be Postrider's own.
pub(crate) fn header(name: &str, value: &str) {
    let Ok(headers) = CustomHeaders::check(vec![(name.to_owned(), value.to_owned())]) else {
        return;
    };
    for (name, value) in headers.expose() {
        let mut bytes = name.bytes().chain(value.bytes());
        assert!(!bytes.any(|byte| byte < b' ' || byte == 0x7f));
        assert!(!name.to_ascii_lowercase().starts_with("webhook-"));
    }
}

/// Only an answer that holds the challenge can be its echo, and it holds little
/// else.
pub(crate) fn echo(text: &str, random: [u8; 32], at: usize) {
    let challenge = Challenge::from_random(random);
    if challenge.is_echoed_by(text.as_bytes()) {
        assert!(says(text, challenge.as_str()), "{text:?}");
    }
    let mut told: Vec<char> = text.chars().collect();
    let at = at % (told.len() + 1);
    told.splice(at..at, challenge.as_str().chars());
    let told: String = told.into_iter().collect();
    if challenge.is_echoed_by(told.as_bytes()) {
        assert!(says(&told, challenge.as_str()), "{told:?}");
    }
}

fn says(answer: &str, challenge: &str) -> bool {
    let answer = answer.trim_ascii();
    let object = serde_json::from_str::<Value>(answer).unwrap_or_default();
    answer == challenge || object == challenge || object["challenge"] == challenge
}

/// Bytes that nobody sealed open nothing.
pub(crate) fn sealed(bytes: &[u8]) {
    let vault = Vault::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").expect("a key");
    assert!(vault.open(bytes, b"owner").is_err());
}

//! What strangers write, taken apart: from a corpus of what they do write, bent
//! at random. Nothing panics, and what is accepted keeps its promise.
//!
//! `PROPTEST_CASES=1000000 cargo test -p postrider-domain --test strangers` looks
//! for longer. What was found is kept in the corpus.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
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
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use url::Host;

const URLS: &str = include_str!("corpus/urls.txt");
const WORDS: &str = include_str!("corpus/words.txt");
const OBJECTS: &str = include_str!("corpus/objects.txt");

/// A bend of a text: at which part of it, how, with what.
type Bend = (u16, u8, char);

/// Lines of a corpus, bent a few times, or anything at all.
fn bent(corpus: &'static str) -> impl Strategy<Value = String> {
    let lines: Vec<&str> = corpus.lines().collect();
    let bend = (any::<u16>(), 0_u8..4, any::<char>());
    let bent = (select(lines.clone()), select(lines), vec(bend, 0..6));
    prop_oneof![
        9 => bent.prop_map(|(line, other, bends)| bend_all(line, other, &bends)),
        1 => any::<String>(),
    ]
}

fn bend_all(line: &str, other: &str, bends: &[Bend]) -> String {
    let mut text: Vec<char> = line.chars().collect();
    for (at, how, with) in bends {
        let at = usize::from(*at) % (text.len() + 1);
        match how {
            0 => text.insert(at, *with),
            1 if at < text.len() => drop(text.remove(at)),
            2 if at < text.len() => text[at] = *with,
            _ => text.splice(at.., other.chars().skip(at)).for_each(drop),
        }
    }
    text.into_iter().collect()
}

fn cases() -> ProptestConfig {
    // `PROPTEST_CASES` wins.
    let given = std::env::var_os("PROPTEST_CASES").is_some();
    let mut config = ProptestConfig::default();
    if !given {
        config.cases = 3_000;
    }
    config.failure_persistence = None;
    config
}

proptest! {
    #![proptest_config(cases())]

    /// An accepted URL is https, names no user, and its host, if it is an
    /// address, is public.
    #[test]
    fn urls(text in bent(URLS)) {
        let policy = Policy::default();
        if let Ok(url) = EndpointUrl::parse(&text, &policy) {
            prop_assert_eq!(url.as_str(), &text);
            prop_assert_eq!(url.url().scheme(), "https");
            prop_assert!(url.url().username().is_empty() && url.url().password().is_none());
            match url.host() {
                Host::Ipv4(address) => prop_assert!(policy.permits(address.into())),
                Host::Ipv6(address) => prop_assert!(policy.permits(address.into())),
                Host::Domain(name) => {
                    prop_assert!(name.contains('.') && !name.contains(':'));
                    // A resolver must not take it for an address.
                    prop_assert!(name.parse::<std::net::IpAddr>().is_err(), "{}", name);
                }
            }
        }
    }

    /// An object that is accepted stands in the body as it came, and the body is
    /// JSON.
    #[test]
    fn objects(text in bent(OBJECTS)) {
        if let Ok(object) = JsonObject::parse(Bytes::from(text.clone())) {
            prop_assert_eq!(object.as_bytes(), text.as_bytes());
            let body = envelope::build(
                EventId::new(),
                &EventType::parse("message.report").unwrap(),
                Timestamp::from_unix_millis(0),
                true,
                &object,
            );
            let parsed: Result<Box<serde_json::value::RawValue>, _> = serde_json::from_slice(&body);
            prop_assert!(parsed.is_ok(), "{:?}", body);
        }
    }

    /// What a server asks us to wait for has a bound.
    #[test]
    fn delays(text in bent(WORDS), now in any::<i64>()) {
        let now = Timestamp::from_unix_millis(now);
        if let Some(wait) = parse_retry_after(&text, now) {
            prop_assert!(wait <= Duration::from_secs(86_400), "{:?}", wait);
        }
        let _ = parse_duration(&text);
        if let Ok(schedule) = text.parse::<Schedule>() {
            prop_assert_eq!(schedule.to_string().parse::<Schedule>().ok(), Some(schedule));
        }
    }

    /// A token that nobody made opens nothing, and no other list.
    #[test]
    fn tokens(text in bent(WORDS), context in "[a-z ]{0,20}") {
        prop_assert!(PageToken::decode(&text, &context).is_err());
        if let Some(id) = key::lookup_id(&text) {
            prop_assert!(!id.is_empty() && id.len() <= 33, "{}", id);
        }
    }

    /// Words that are accepted keep to their letters.
    #[test]
    fn names(text in bent(WORDS)) {
        if let Ok(account) = AccountId::parse(&text) {
            let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            prop_assert!(account.as_str().bytes().all(letters));
        }
        if let Ok(name) = EventType::parse(&text) {
            prop_assert!(!name.as_str().contains(char::is_whitespace));
        }
        if let Ok(allowance) = text.parse::<Allowance>() {
            prop_assert_eq!(allowance.to_string().parse::<Allowance>().ok(), Some(allowance));
        }
        if let Some(trace) = TraceContext::parse(&text, Some(&text)) {
            prop_assert!(TraceContext::parse(&trace.traceparent(), None).is_some());
        }
        let _ = (PublisherId::parse(&text), text.parse::<EventId>(), Secret::parse(&text));
        let _ = (Timestamp::parse_rfc3339(&text), Vault::parse(&text));
        let _ = Tags::parse([(text.clone(), text)]);
    }

    /// Headers that are accepted cannot end a line.
    #[test]
    fn headers(name in bent(WORDS), value in bent(WORDS)) {
        if let Ok(headers) = CustomHeaders::check(vec![(name, value)]) {
            for (name, value) in headers.expose() {
                prop_assert!(!name.bytes().chain(value.bytes()).any(|byte| byte < b' '));
            }
        }
    }

    /// Bytes that nobody sealed open nothing.
    #[test]
    fn sealed(bytes in vec(any::<u8>(), 0..200)) {
        let vault = Vault::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        prop_assert!(vault.open(&bytes, b"owner").is_err());
    }
}

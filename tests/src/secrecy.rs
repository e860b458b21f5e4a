//! What no log and no page of metrics may tell: secrets, signatures, tokens,
//! bodies, the queries of URLs.
//!
//! Whatever part of the harness learns such a value plants it, and when a
//! deployment ends, all that its processes have told is searched for every value
//! that was planted, and for whatever has the shape of one. What is found fails
//! the test program: see [`crate::suite`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aho_corasick::AhoCorasick;
use anyhow::{Context, Result};
use serde_json::Value;

/// What is shorter may stand in a log for another reason.
const MIN_BYTES: usize = 12;
/// A body is known by its beginning.
const MAX_BYTES: usize = 160;
/// Of a kind that has more, the others are left to its shape.
const OF_A_KIND: usize = 2_000;
/// Of the line in which something was found, and how much of that before it.
const SHOWN_BYTES: usize = 300;
const SHOWN_BEFORE: usize = 150;

/// Values by what they are.
type Planted = BTreeMap<&'static str, BTreeSet<String>>;

static PLANTED: LazyLock<Mutex<Planted>> = LazyLock::new(Mutex::default);

/// What was found in this test program and nobody has been told of.
static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes a value that must be told nowhere. What has less than 12 bytes is left
/// alone.
pub fn plant(what: &'static str, value: &str) {
    if value.len() < MIN_BYTES {
        return;
    }
    let value = &value[..value.floor_char_boundary(MAX_BYTES)];
    let mut planted = lock(&PLANTED);
    let of_kind = planted.entry(what).or_default();
    if of_kind.len() < OF_A_KIND {
        of_kind.insert(value.to_owned());
    }
}

/// Plants what a call of REST carries and is answered.
pub(crate) fn plant_call(path: &str, body: Option<&Value>, answer: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let path = path.split('?').next().unwrap_or(path);
    plant("a signing secret", &text(&answer["secret"]));
    if path == "/v1/keys" {
        plant("a key", &text(&answer["key"]));
    }
    if path.ends_with("/portal-sessions") {
        let url = text(&answer["url"]);
        plant("a portal link", url.rsplit('/').next().unwrap_or_default());
    }
    let Some(body) = body else { return };
    if path.contains("/endpoints") {
        let url = text(&body["url"]);
        plant(
            "a URL's query",
            url.split_once('?').map_or("", |(_, query)| query),
        );
        for value in body["headers"].as_object().into_iter().flatten() {
            plant("a header's value", &text(value.1));
        }
    }
    let events = body["events"].as_array().map_or(&[][..], Vec::as_slice);
    for event in events
        .iter()
        .chain([body])
        .filter(|one| one["object"].is_object())
    {
        let object = event["object"].to_string();
        // `{}` and the like are no secret.
        if object.len() >= 2 * MIN_BYTES {
            plant("a body", &object);
        }
    }
}

/// How a value looks that nobody planted.
struct Shape {
    what: &'static str,
    begins: &'static str,
    /// What of the rest of the line makes it one.
    goes_on: fn(&[u8]) -> bool,
}

const SHAPES: [Shape; 14] = [
    Shape::new("a signing secret", "whsec_", |rest| {
        run(rest, is_base64) >= 8
    }),
    Shape::new("a key", "pr_admin_", is_key),
    Shape::new("a key", "pr_publish_", is_key),
    Shape::new("a key", "pr_read_", is_key),
    Shape::new("a key", "pr_service_", is_key),
    Shape::new("a token", "Bearer ", |rest| run(rest, is_word) >= MIN_BYTES),
    Shape::new("a signature", "v1,", |rest| run(rest, is_base64) >= 40),
    Shape::new("a portal link", "/portal/", |rest| run(rest, is_word) >= 20),
    Shape::new("a session", "postrider_session=", |rest| {
        run(rest, is_word) >= 20
    }),
    Shape::new("a body", r#""data":{"object":"#, |_| true),
    Shape::new("a body", r#"\"data\":{\"object\":"#, |_| true),
    Shape::new("a URL's query", "http://", has_query),
    Shape::new("a URL's query", "https://", has_query),
    Shape::new("a password", "postgres://", |rest| {
        let authority = &rest[..run(rest, |byte| !b"/ \"'\\".contains(&byte))];
        let user = authority
            .split(|byte| *byte == b'@')
            .next()
            .unwrap_or_default();
        user.len() < authority.len() && user.contains(&b':')
    }),
];

impl Shape {
    const fn new(what: &'static str, begins: &'static str, goes_on: fn(&[u8]) -> bool) -> Self {
        Self {
            what,
            begins,
            goes_on,
        }
    }
}

/// How many bytes at the beginning are of a kind.
fn run(bytes: &[u8], kind: fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| kind(**byte)).count()
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn is_key(rest: &[u8]) -> bool {
    run(rest, is_word) >= 32
}

fn has_query(rest: &[u8]) -> bool {
    let ends = |byte: u8| byte.is_ascii_whitespace() || b"\"'\\<>`,;".contains(&byte);
    let url = rest.split(|byte| ends(*byte)).next().unwrap_or_default();
    let query = url.iter().position(|byte| *byte == b'?');
    query.is_some_and(|at| at + 1 < url.len())
}

/// Looks for all that was planted until now.
struct Search {
    patterns: AhoCorasick,
    /// What the first patterns are; the rest are the beginnings of [`SHAPES`].
    planted: Vec<&'static str>,
}

impl Search {
    fn of(planted: &Planted) -> Result<Self> {
        let mut values = Vec::new();
        let mut kinds = Vec::new();
        for (what, value) in planted
            .iter()
            .flat_map(|(what, values)| values.iter().map(move |value| (*what, value)))
        {
            // As it stands in JSON, too.
            let quoted = Value::from(value.as_str()).to_string();
            let escaped = quoted[1..quoted.len() - 1].to_owned();
            if escaped != *value {
                values.push(escaped);
                kinds.push(what);
            }
            values.push(value.clone());
            kinds.push(what);
        }
        values.extend(SHAPES.iter().map(|shape| shape.begins.to_owned()));
        Ok(Self {
            patterns: AhoCorasick::new(values).context("the values that were planted")?,
            planted: kinds,
        })
    }

    /// What a text tells, each line once.
    fn told(&self, place: &str, text: &[u8]) -> Vec<String> {
        let mut told = Vec::new();
        let mut end_of_last = 0;
        for found in self.patterns.find_overlapping_iter(text) {
            if found.start() < end_of_last {
                continue;
            }
            let newline = |byte: &u8| *byte == b'\n';
            let begin = text[..found.start()].iter().rposition(newline);
            let begin = begin.map_or(0, |at| at + 1);
            let end = text[found.end()..].iter().position(newline);
            let end = end.map_or(text.len(), |at| found.end() + at);
            let index = found.pattern().as_usize();
            let what = match self.planted.get(index) {
                Some(what) => what,
                None => {
                    let shape = &SHAPES[index - self.planted.len()];
                    if !(shape.goes_on)(&text[found.end()..end]) {
                        continue;
                    }
                    shape.what
                }
            };
            let shown = begin.max(found.start().saturating_sub(SHOWN_BEFORE));
            let line = &text[shown..end.min(shown + SHOWN_BYTES)];
            let line = String::from_utf8_lossy(line);
            told.push(format!("{place} tells {what}: {line}"));
            end_of_last = end;
        }
        told
    }
}

/// Searches what was told in another way.
///
/// # Errors
///
/// When too much was planted.
pub(crate) fn search_text(place: &str, text: &str) -> Result<Vec<String>> {
    let search = Search::of(&lock(&PLANTED))?;
    Ok(search.told(place, text.as_bytes()))
}

/// Searches logs, and the metrics of processes that run.
///
/// # Errors
///
/// When a log cannot be read.
pub(crate) fn search(logs: &[PathBuf], admins: &[(&str, SocketAddr)]) -> Result<Vec<String>> {
    let search = Search::of(&lock(&PLANTED))?;
    let mut told = Vec::new();
    for log in logs {
        let text = std::fs::read(log).with_context(|| log.display().to_string())?;
        let name = log.file_name().unwrap_or_default().to_string_lossy();
        told.extend(search.told(&name, &text));
    }
    for (name, address) in admins {
        // One that was stopped tells nothing.
        let page = metrics(*address).unwrap_or_default();
        told.extend(search.told(&format!("{name}'s metrics"), &page));
    }
    Ok(told)
}

/// Asks without a runtime: a deployment ends wherever it is dropped.
fn metrics(address: SocketAddr) -> Result<Vec<u8>> {
    const LIMIT: Duration = Duration::from_secs(2);
    let mut connection = TcpStream::connect_timeout(&address, LIMIT)?;
    connection.set_read_timeout(Some(LIMIT))?;
    let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    connection.write_all(request.as_bytes())?;
    let mut page = Vec::new();
    connection.read_to_end(&mut page)?;
    Ok(page)
}

/// Leaves what was found to whoever looks next.
pub(crate) fn leave(found: Vec<String>) {
    lock(&FOUND).extend(found);
}

/// Takes what was found since somebody looked last.
pub(crate) fn take() -> Vec<String> {
    std::mem::take(&mut lock(&FOUND))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    fn told(text: &str) -> Vec<String> {
        let planted = lock(&PLANTED).clone();
        Search::of(&planted).unwrap().told("a log", text.as_bytes())
    }

    #[test]
    fn what_was_planted_is_found_as_it_is_and_within_json() {
        plant("a token", "planted \"quoted\" value");
        let found = told("one\ntwo planted \"quoted\" value\nthree");
        assert_eq!(found, ["a log tells a token: two planted \"quoted\" value"]);
        let found = told(r#"{"message":"planted \"quoted\" value"}"#);
        assert_eq!(found.len(), 1, "{found:?}");
        plant("a token", "too short");
        assert_eq!(told("too short and planted quoted value"), [""; 0]);
    }

    #[test]
    fn what_a_call_carries_and_is_answered_is_planted() {
        let endpoint = json!({"url": "https://a.example/in?token=of-a-query",
            "headers": {"X-Own": "of-a-custom-header"}});
        plant_call("/v1/accounts/a/endpoints", Some(&endpoint), &Value::Null);
        let event = json!({"type": "a", "object": {"text": "of-an-event's-body"}});
        let batch = json!({"events": [event]});
        plant_call("/v1/accounts/a/events/batch", Some(&batch), &Value::Null);
        plant_call("/v1/keys", None, &json!({"key": "of-a-key-itself"}));
        let door = json!({"url": "http://b.example/portal/of-a-portal-link"});
        plant_call("/v1/accounts/a/portal-sessions", None, &door);
        for value in [
            "token=of-a-query",
            "of-a-custom-header",
            "{\"text\":\"of-an-event's-body\"}",
            r#"{\"text\":\"of-an-event's-body\"}"#,
            "of-a-key-itself",
            "of-a-portal-link",
        ] {
            assert_eq!(told(&format!("refused {value} there")).len(), 1, "{value}");
        }
    }

    #[test]
    fn what_looks_like_a_secret_is_found_and_nothing_else() {
        let hex = "0123456789abcdef".repeat(4);
        for secret in [
            "secret=whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned(),
            format!("key pr_admin_0123456789abcdef_{hex}"),
            "authorization: Bearer abcdefghijkl".to_owned(),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned(),
            "GET /portal/abcdefghijklmnopqrstuv 303".to_owned(),
            "cookie postrider_session=abcdefghijklmnopqrstuv".to_owned(),
            r#"body {"id":"evt_1","data":{"object":{"a":1}}}"#.to_owned(),
            r#"{"body":"{\"data\":{\"object\":{}}}"}"#.to_owned(),
            "POST http://127.0.0.1:80/hook?a=b failed".to_owned(),
            "connect postgres://app:secret@db/postrider".to_owned(),
        ] {
            let text = format!("before\n{secret}\nbehind");
            let found = told(&text);
            assert_eq!(found.len(), 1, "{secret}: {found:?}");
            assert!(found[0].ends_with(&secret), "{found:?}");
        }
        for harmless in [
            "postrider ready http=http://127.0.0.1:8080 grpc=http://127.0.0.1:50051",
            "key_id=0123456789abcdef pr_admin_ is how it begins",
            "send `authorization: Bearer <key>`",
            "route /portal/{link} answered 303",
            "connect postgres://db:5432/postrider?sslmode=verify-full",
            "is https://a.example/ down?",
            "v1, v2",
        ] {
            assert_eq!(told(harmless), [""; 0], "{harmless}");
        }
    }

    #[test]
    fn logs_are_searched_as_they_stand() {
        let folder = TempDir::new().unwrap();
        let log = folder.path().join("control.log");
        std::fs::write(&log, "\u{fffd}\ntold whsec_C2FVsBQIhrscChlQIMV\n").unwrap();
        let found = search(std::slice::from_ref(&log), &[]).unwrap();
        let expected = "control.log tells a signing secret: told whsec_C2FVsBQIhrscChlQIMV";
        assert_eq!(found, [expected]);
        std::fs::remove_file(&log).unwrap();
        assert!(search(&[log], &[]).is_err(), "a log that is not there");
    }
}

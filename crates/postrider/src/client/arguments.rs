//! What commands take, checked before anything is sent. Each text says what
//! would be right; ids say so themselves.

use std::ops::RangeInclusive;
use std::str::FromStr;

use clap::builder::PossibleValuesParser;
use domain::attempt::STATUSES;
use domain::{AccountId, EventType, FailureClass, ReplayStatus, page, trace};
use reqwest::Url;

/// The id of an account.
pub(super) fn account(text: &str) -> Result<String, String> {
    let account = AccountId::parse(text).map_err(|problem| problem.message().to_owned())?;
    Ok(account.to_string())
}

/// The name of an event type, registered or not.
pub(super) fn event_type(text: &str) -> Result<String, String> {
    let event_type = EventType::parse(text).map_err(|problem| problem.message().to_owned())?;
    Ok(event_type.as_str().to_owned())
}

/// A tag's name and value.
pub(super) fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write name=value, e.g. person=4711".to_owned()),
    }
}

/// The id of a trace, in lower case.
pub(super) fn trace_id(text: &str) -> Result<String, String> {
    trace::parse_id(text)
        .ok_or_else(|| "write 32 hex digits, e.g. 4bf92f3577b34da6a3ce929d0e0e4736".to_owned())
}

/// Items of a page.
pub(super) fn page_size(text: &str) -> Result<u32, String> {
    within(text, 1..=page::MAX_SIZE)
}

/// The HTTP status of an answer.
pub(super) fn response_status(text: &str) -> Result<u32, String> {
    within(text, STATUSES)
}

/// How an attempt failed.
pub(super) fn failure_class() -> PossibleValuesParser {
    FailureClass::ALL.iter().map(|class| class.as_str()).into()
}

/// Which events a replay sends.
pub(super) fn replay_status() -> PossibleValuesParser {
    ReplayStatus::ALL
        .iter()
        .map(|status| status.as_str())
        .into()
}

/// A whole number; its range is the server's to check.
pub(super) fn number(text: &str) -> Result<u32, String> {
    let number = text.parse().ok();
    number.ok_or_else(|| "write a whole number, e.g. 10".to_owned())
}

fn within(text: &str, range: RangeInclusive<u32>) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        let (least, most) = range.into_inner();
        format!("write a whole number from {least} to {most}")
    })
}

/// Where something answers HTTP.
pub(super) fn url(text: &str) -> Result<Url, String> {
    let url = Url::from_str(text).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| {
            "write http:// or https:// and a host, e.g. http://127.0.0.1:8080".to_owned()
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_answered_with_what_would_be_right() {
        let refused = [
            (account("no spaces").map(drop), "A-Z, a-z, 0-9"),
            (event_type("Message").map(drop), "message.incoming"),
            (tag("person").map(drop), "person=4711"),
            (tag("=4711").map(drop), "person=4711"),
            (trace_id(&"g".repeat(32)).map(drop), "32 hex digits"),
            (page_size("0").map(drop), "from 1 to 100"),
            (page_size("101").map(drop), "from 1 to 100"),
            (page_size("many").map(drop), "from 1 to 100"),
            (response_status("99").map(drop), "from 100 to 999"),
            (number("-1").map(drop), "a whole number"),
            (url("example.com").map(drop), "http://127.0.0.1:8080"),
            (url("localhost:8080").map(drop), "http://127.0.0.1:8080"),
            (url("ftp://example.com").map(drop), "http://127.0.0.1:8080"),
        ];
        for (refused, text) in refused {
            let error = refused.unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn what_is_right_is_taken_as_it_is() {
        assert_eq!(account("acme").unwrap(), "acme");
        assert_eq!(event_type("form.submitted").unwrap(), "form.submitted");
        let pair = ("a".to_owned(), "b=c".to_owned());
        assert_eq!(tag("a=b=c").unwrap(), pair);
        assert_eq!(trace_id(&"AB".repeat(16)).unwrap(), "ab".repeat(16));
        assert_eq!(page_size("100").unwrap(), 100);
        assert_eq!(
            url("https://a.example/b").unwrap().as_str(),
            "https://a.example/b"
        );
    }
}

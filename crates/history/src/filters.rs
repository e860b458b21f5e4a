//! What a list is asked for.

use domain::attempt::STATUSES;
use domain::page::check_span;
use domain::{AccountId, EventType, FailureClass, Problem, Reason, Tags, Timestamp, trace};
use proto::time::from_proto;
use proto::v1::{ListAttemptsRequest, ListEventsRequest, Tag};
use store::{AttemptFilter, EventFilter};

use crate::service::endpoint_not_found;

pub(crate) fn attempts(message: &ListAttemptsRequest) -> Result<AttemptFilter, Problem> {
    let (after, before) = span(message.after.as_ref(), message.before.as_ref())?;
    Ok(AttemptFilter {
        endpoint: match message.endpoint_id.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| endpoint_not_found())?),
        },
        event: id("event_id", &message.event_id, "use an id like evt_<uuid>")?,
        delivery: id(
            "delivery_id",
            &message.delivery_id,
            "use an id like dlv_<uuid>",
        )?,
        event_type: event_type(&message.event_type)?,
        trace_id: trace_id(&message.trace_id)?,
        succeeded: match message.status.as_str() {
            "" => None,
            "succeeded" => Some(true),
            "failed" => Some(false),
            _ => return Err(malformed("status", "use succeeded or failed")),
        },
        response_status: message
            .response_status
            .map(|status| {
                let status = Some(status).filter(|status| STATUSES.contains(status));
                status
                    .and_then(|status| u16::try_from(status).ok())
                    .ok_or_else(|| malformed("response_status", "use a number from 100 to 999"))
            })
            .transpose()?,
        failure_class: match message.failure_class.as_str() {
            "" => String::new(),
            word => {
                let class: Result<FailureClass, _> = word.parse();
                let class = class.map_err(|_| {
                    let what = "use dns, connect, tls, timeout, egress_denied, http_status or \
                                response_invalid";
                    malformed("failure_class", what)
                })?;
                class.as_str().to_owned()
            }
        },
        after,
        before,
    })
}

/// Names the list, so that its tokens are of no other. The time is left out: the
/// last hour is another one at each page.
pub(crate) fn attempts_context(account: &AccountId, message: &ListAttemptsRequest) -> String {
    let filters = ListAttemptsRequest {
        account: String::new(),
        after: None,
        before: None,
        page_size: 0,
        page_token: String::new(),
        ..message.clone()
    };
    format!("attempts {account} {filters:?}")
}

pub(crate) fn events(message: &ListEventsRequest) -> Result<EventFilter, Problem> {
    let (after, before) = span(message.after.as_ref(), message.before.as_ref())?;
    let tag = message.tag.as_ref();
    if tag.is_some() && !message.trace_id.is_empty() {
        let what = "events are found by their trace or by a tag; leave one of the two out";
        return Err(malformed("trace_id", what));
    }
    Ok(EventFilter {
        event_type: event_type(&message.event_type)?,
        trace_id: trace_id(&message.trace_id)?,
        tag: tag.map(pair).transpose()?,
        after,
        before,
    })
}

/// Names the list, so that its tokens are of no other. The time is left out: the
/// last hour is another one at each page.
pub(crate) fn events_context(account: &AccountId, message: &ListEventsRequest) -> String {
    let filters = ListEventsRequest {
        account: String::new(),
        after: None,
        before: None,
        page_size: 0,
        page_token: String::new(),
        ..message.clone()
    };
    format!("events {account} {filters:?}")
}

/// The ends of a span of time, each of which may be open.
pub(crate) fn span(
    after: Option<&prost_types::Timestamp>,
    before: Option<&prost_types::Timestamp>,
) -> Result<(Option<Timestamp>, Option<Timestamp>), Problem> {
    let (after, before) = (instant("after", after)?, instant("before", before)?);
    check_span(after, before)?;
    Ok((after, before))
}

pub(crate) fn instant(
    field: &str,
    at: Option<&prost_types::Timestamp>,
) -> Result<Option<Timestamp>, Problem> {
    at.map(|at| from_proto(at).ok_or_else(|| malformed(field, "use an instant within range")))
        .transpose()
}

fn id<T: std::str::FromStr>(field: &str, text: &str, what: &str) -> Result<Option<T>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| malformed(field, what))
}

fn event_type(text: &str) -> Result<String, Problem> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let name = EventType::parse_field("event_type", text)?;
    Ok(name.as_str().to_owned())
}

/// What no event can have finds nothing.
pub(crate) fn pair(tag: &Tag) -> Result<(String, String), Problem> {
    let pair = (tag.name.clone(), tag.value.clone());
    Tags::parse([pair.clone()])
        .map_err(|problem| Problem::of_field(Reason::FieldInvalid, "tag", problem.message()))?;
    Ok(pair)
}

fn trace_id(text: &str) -> Result<String, Problem> {
    if text.is_empty() {
        return Ok(String::new());
    }
    trace::parse_id(text).ok_or_else(|| malformed("trace_id", "use 32 hex digits"))
}

fn malformed(field: &str, what: &str) -> Problem {
    Problem::of_field(Reason::RequestMalformed, field, what)
}

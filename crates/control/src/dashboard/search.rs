//! One box for an event, a delivery, an attempt, a trace or a tag.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::{AttemptId, DeliveryId, EndpointId, EventId, Problem, Reason};
use proto::status::to_problem;
use proto::v1::{Attempt, Event, GetDeliveryRequest, ListAttemptsRequest, ListEventsRequest, Tag};
use serde::Deserialize;

use super::forms::Query;
use super::history::Row;
use super::page::{Answer, Frame, render};
use super::visitor::Scope;
use crate::core::Control;

const PAGE_SIZE: u32 = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    q: String,
}

/// What the text looks like, if it is of many things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sought {
    Trace,
    Tag,
    /// Nothing that can be found.
    Unknown,
}

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    frame: Frame,
    attempts: String,
    events: String,
    sought: Sought,
    found_events: Vec<(String, String)>,
    /// There are older ones.
    has_more: bool,
    rows: Vec<Row>,
}

/// What was typed is what it looks like.
pub(super) async fn find(
    State(control): State<Control>,
    scope: Scope,
    Query(asked): Query<Asked>,
) -> Answer {
    let text = asked.q.trim();
    let base = format!("/accounts/{}", scope.account);
    let to = |path: String| Ok(Redirect::to(&format!("{base}{path}")).into_response());
    if let Ok(event) = text.parse::<EventId>() {
        return to(format!("/events/{event}"));
    }
    if let Ok(attempt) = text.parse::<AttemptId>() {
        return to(format!("/attempts/{attempt}"));
    }
    if let Ok(endpoint) = text.parse::<EndpointId>() {
        return to(format!("/webhooks/{endpoint}"));
    }
    if let Ok(delivery) = text.parse::<DeliveryId>() {
        let request = GetDeliveryRequest {
            account: scope.account.to_string(),
            id: delivery.to_string(),
        };
        let found = control.history().get_delivery(request).await;
        let found = found.map_err(unavailable)?.into_inner();
        return to(format!("/events/{}#{delivery}", found.event_id));
    }
    if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return trace(&control, &scope, text).await;
    }
    if let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) {
        return tagged(&control, &scope, text, name, value).await;
    }
    // The page says what can be found.
    Ok(render(StatusCode::OK, &page(&scope, text, Sought::Unknown)))
}

/// The newest events that have this tag now.
async fn tagged(control: &Control, scope: &Scope, text: &str, name: &str, value: &str) -> Answer {
    let of_tag = ListEventsRequest {
        account: scope.account.to_string(),
        tag: Some(Tag {
            name: name.to_owned(),
            value: value.to_owned(),
        }),
        page_size: PAGE_SIZE,
        ..ListEventsRequest::default()
    };
    let listed = control.history().list_events(of_tag).await;
    let listed = listed.map_err(unavailable)?.into_inner();
    let found = SearchPage {
        has_more: !listed.next_page_token.is_empty(),
        found_events: named(listed.events),
        ..page(scope, text, Sought::Tag)
    };
    Ok(found.answer())
}

fn named(events: Vec<Event>) -> Vec<(String, String)> {
    events.into_iter().map(|one| (one.id, one.r#type)).collect()
}

/// Events are published in a trace, and retries have one of their own each.
async fn trace(control: &Control, scope: &Scope, trace_id: &str) -> Answer {
    let of_events = ListEventsRequest {
        account: scope.account.to_string(),
        trace_id: trace_id.to_owned(),
        page_size: PAGE_SIZE,
        ..ListEventsRequest::default()
    };
    let of_attempts = ListAttemptsRequest {
        account: scope.account.to_string(),
        trace_id: trace_id.to_owned(),
        page_size: PAGE_SIZE,
        ..ListAttemptsRequest::default()
    };
    let (mut one, mut other) = (control.history(), control.history());
    let (events, attempts) =
        tokio::join!(one.list_events(of_events), other.list_attempts(of_attempts));
    let events = events.map_err(unavailable)?.into_inner().events;
    let attempts = attempts.map_err(unavailable)?.into_inner().attempts;
    let found = SearchPage {
        found_events: named(events),
        rows: attempts
            .into_iter()
            .map(|one: Attempt| one.into())
            .collect(),
        ..page(scope, trace_id, Sought::Trace)
    };
    Ok(found.answer())
}

impl SearchPage {
    /// The one that was found, or all.
    fn answer(self) -> Response {
        match (&self.found_events[..], &self.rows[..]) {
            ([(event, _)], _) => Redirect::to(&format!("{}/{event}", self.events)).into_response(),
            ([], [row]) => Redirect::to(&format!("{}/{}", self.attempts, row.id)).into_response(),
            ([], []) => render(StatusCode::NOT_FOUND, &self),
            _ => render(StatusCode::OK, &self),
        }
    }
}

fn page(scope: &Scope, text: &str, sought: Sought) -> SearchPage {
    let frame = Frame {
        searched: text.to_owned(),
        ..Frame::of("Search", scope)
    };
    SearchPage {
        frame,
        attempts: format!("/accounts/{}/attempts", scope.account),
        events: format!("/accounts/{}/events", scope.account),
        sought,
        found_events: Vec::new(),
        has_more: false,
        rows: Vec::new(),
    }
}

fn unavailable(status: tonic::Status) -> Problem {
    to_problem(&status, Reason::HistoryUnavailable)
}

//! An event's page: where it went, each attempt, and where it did not go and
//! why.

use std::collections::HashMap;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect};
use domain::audit::Action;
use domain::key::Need;
use domain::{Problem, Reason};
use proto::status::to_problem;
use proto::v1::{
    Attempt, Delivery, Event, GetEventRequest, ListAttemptsRequest, ResendEventRequest,
};

use super::forms::Form;
use super::history::shown_time;
use super::page::{Answer, Frame, render};
use super::payload::Step;
use super::plain::{inert, pretty};
use super::visitor::Scope;
use crate::core::Control;

/// Attempts and endpoints that one page shows.
const SHOWN: u32 = 100;

/// A delivery with its attempts, oldest first.
struct Fate {
    id: String,
    endpoint_id: String,
    endpoint: String,
    cause: &'static str,
    state: String,
    reason: &'static str,
    next_attempt_at: String,
    steps: Vec<Step>,
}

/// An endpoint that does not get it, and why.
struct Left {
    endpoint_id: String,
    endpoint: String,
    reason: &'static str,
}

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    frame: Frame,
    webhooks: String,
    events: String,
    attempts: String,
    id: String,
    event_type: String,
    created_at: String,
    live_mode: bool,
    tags: Vec<(String, String)>,
    trace_id: String,
    trace_url: Option<String>,
    fates: Vec<Fate>,
    left: Vec<Left>,
    formatted: String,
}

pub(super) async fn show(State(control): State<Control>, scope: Scope) -> Answer {
    let account = scope.account.to_string();
    let of_event = GetEventRequest {
        account: account.clone(),
        id: scope.id.clone(),
    };
    let event = control.history().get_event(of_event).await;
    let event = event.map_err(unavailable)?.into_inner();
    let of_attempts = ListAttemptsRequest {
        account,
        event_id: event.id.clone(),
        page_size: SHOWN,
        ..ListAttemptsRequest::default()
    };
    let attempts = control.history().list_attempts(of_attempts).await;
    let attempts = attempts.map_err(unavailable)?.into_inner().attempts;
    let names = names(&control, &scope).await?;
    Ok(render(
        StatusCode::OK,
        &page(&scope, event, attempts, &names),
    ))
}

/// What the endpoints of the account are called.
async fn names(control: &Control, scope: &Scope) -> Result<HashMap<String, String>, Problem> {
    let listed = control.list_endpoints(&scope.identity, &scope.account, Some(SHOWN), "");
    let named = listed.await?.items.into_iter();
    Ok(named
        .map(|view| (view.id.to_string(), view.description))
        .collect())
}

fn page(
    scope: &Scope,
    event: Event,
    attempts: Vec<Attempt>,
    names: &HashMap<String, String>,
) -> EventPage {
    let name = |id: &str| names.get(id).cloned().unwrap_or_else(|| id.to_owned());
    let fate = |delivery: Delivery| Fate {
        endpoint: name(&delivery.endpoint_id),
        cause: cause(&delivery.cause),
        reason: reason(&delivery.reason),
        next_attempt_at: shown_time(delivery.next_attempt_at.as_ref()),
        steps: attempts
            .iter()
            .rev()
            .filter(|attempt| attempt.delivery_id == delivery.id)
            .cloned()
            .map(Step::from)
            .collect(),
        id: delivery.id,
        endpoint_id: delivery.endpoint_id,
        state: delivery.state,
    };
    let fates = event.deliveries.into_iter().map(fate).collect();
    let left = event.not_sent.into_iter().map(|one| Left {
        endpoint: name(&one.endpoint_id),
        reason: not_sent(&one.reason),
        endpoint_id: one.endpoint_id,
    });
    let base = format!("/accounts/{}", scope.account);
    let body = String::from_utf8_lossy(&event.body);
    EventPage {
        frame: Frame::of("Event", scope),
        webhooks: format!("{base}/webhooks"),
        events: format!("{base}/events"),
        attempts: format!("{base}/attempts"),
        created_at: shown_time(event.created_at.as_ref()),
        live_mode: event.live_mode,
        tags: event.tags.into_iter().collect(),
        trace_url: scope.brand.trace_url(&event.trace_id),
        trace_id: event.trace_id,
        fates,
        left: left.collect(),
        formatted: inert(&pretty(&body)),
        id: event.id,
        event_type: event.r#type,
    }
}

fn cause(word: &str) -> &'static str {
    match word {
        "test" => "Test event",
        "resend" => "Resent",
        "replay" => "Recovered",
        _ => "Event",
    }
}

/// Why a delivery waits or has ended, in words; empty: its state says it.
fn reason(word: &str) -> &'static str {
    match word {
        "retrying" => "It failed and is tried again.",
        "throttled" => "It waits for the endpoint's limits.",
        "paused" => "The endpoint keeps failing, so it is paused and tried now and then.",
        "endpoint_disabled" => "The endpoint was disabled.",
        "endpoint_unverified" => "The endpoint was not verified when its turn came.",
        "endpoint_deleted" => "The endpoint was deleted.",
        "body_expired" => "The body is no longer kept.",
        "erased" => "It was erased.",
        _ => "",
    }
}

fn not_sent(word: &str) -> &'static str {
    match word {
        "not_subscribed" => "It is not subscribed to this event type.",
        "disabled" => "It was disabled when the event came.",
        "created_later" => "It was created after the event came.",
        "unverified" => "It was not verified yet when the event came.",
        _ => "The event was not meant for it.",
    }
}

pub(super) async fn resend(State(control): State<Control>, scope: Scope, form: Form) -> Answer {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let request = ResendEventRequest {
        account: scope.account.to_string(),
        event_id: scope.id.clone(),
        endpoint_id: form.text("endpoint_id"),
    };
    let resent = control.history().resend_event(request).await;
    let delivery = resent.map_err(unavailable)?.into_inner().delivery_id;
    scope.note(&control, Action::EventResent, &delivery).await;
    let to = format!("/accounts/{}/events/{}", scope.account, scope.id);
    Ok(Redirect::to(&to).into_response())
}

fn unavailable(status: tonic::Status) -> Problem {
    to_problem(&status, Reason::HistoryUnavailable)
}

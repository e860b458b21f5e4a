//! An event's page: where it went, each attempt, and where it did not go and
//! why.

use std::collections::HashMap;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect};
use domain::{Problem, Reason};
use proto::status::to_problem;
use proto::v1::{Delivery, Event, GetEventRequest, ListAttemptsRequest, ListAttemptsResponse};

use super::forms::Form;
use super::history::shown_time;
use super::page::{Answer, Frame, render};
use super::payload::Step;
use super::plain::{inert, pretty};
use super::resend::{self, Refused};
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
    unseen: Unseen,
}

/// Attempts of a delivery that its page does not show.
#[derive(Debug, PartialEq, Eq)]
struct Unseen {
    /// Why; empty: all are shown.
    words: String,
    /// Message History has them.
    elsewhere: bool,
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
    /// Why it was not sent again just now.
    refused: Option<Refused>,
    id: String,
    event_type: String,
    created_at: String,
    live_mode: bool,
    /// Body, tags and attempts are gone, and nothing is left to send.
    erased: bool,
    tags: Vec<(String, String)>,
    trace_id: String,
    trace_url: Option<String>,
    fates: Vec<Fate>,
    left: Vec<Left>,
    formatted: String,
}

pub(super) async fn show(State(control): State<Control>, scope: Scope) -> Answer {
    let page = read(&control, &scope).await?;
    Ok(render(StatusCode::OK, &page))
}

async fn read(control: &Control, scope: &Scope) -> Result<EventPage, Problem> {
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
    let attempts = attempts.map_err(unavailable)?.into_inner();
    let names = names(control, scope).await?;
    Ok(page(scope, event, &attempts, &names))
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
    listed: &ListAttemptsResponse,
    names: &HashMap<String, String>,
) -> EventPage {
    let name = |id: &str| names.get(id).cloned().unwrap_or_else(|| id.to_owned());
    let has_more = !listed.next_page_token.is_empty();
    let fate = |delivery: Delivery| {
        let attempts = listed.attempts.iter().rev();
        let steps: Vec<Step> = attempts
            .filter(|attempt| attempt.delivery_id == delivery.id)
            .cloned()
            .map(Step::from)
            .collect();
        Fate {
            unseen: unseen(&delivery, steps.len(), event.erased, has_more),
            endpoint: name(&delivery.endpoint_id),
            cause: cause(&delivery.cause),
            reason: reason(&delivery.reason),
            next_attempt_at: shown_time(delivery.next_attempt_at.as_ref()),
            steps,
            id: delivery.id,
            endpoint_id: delivery.endpoint_id,
            state: delivery.state,
        }
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
        refused: None,
        live_mode: event.live_mode,
        erased: event.erased,
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

/// What there is to say about attempts that were made and are not `shown`. `has_more`:
/// the event has older ones than the page has read.
fn unseen(delivery: &Delivery, shown: usize, erased: bool, has_more: bool) -> Unseen {
    let made = delivery.attempts;
    let missing = made.saturating_sub(u32::try_from(shown).unwrap_or(u32::MAX));
    let elsewhere = missing > 0 && has_more && !erased;
    let words = match (made, missing) {
        (0, _) if shown > 0 => String::new(),
        (0, _) if erased || delivery.state != "pending" => "No attempt was made.".to_owned(),
        (0, _) => "No attempt yet.".to_owned(),
        (_, 0) => String::new(),
        (1, _) if erased => "1 attempt, erased with the event.".to_owned(),
        _ if erased => format!("{made} attempts, erased with the event."),
        _ if elsewhere => format!("{missing} of {made} attempts are older than those here."),
        _ => format!(
            "{missing} of {made} not shown: not recorded yet, or no longer kept; look again in a \
             moment."
        ),
    };
    Unseen { words, elsewhere }
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
        "erased" => "The event was erased before it was delivered.",
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
    let endpoint = form.text("endpoint_id");
    match resend::send(&control, &scope, scope.id.clone(), endpoint).await? {
        None => {
            let to = format!("/accounts/{}/events/{}", scope.account, scope.id);
            Ok(Redirect::to(&to).into_response())
        }
        Some(refused) => {
            let status = refused.status;
            let page = EventPage {
                refused: Some(refused),
                ..read(&control, &scope).await?
            };
            Ok(render(status, &page))
        }
    }
}

fn unavailable(status: tonic::Status) -> Problem {
    to_problem(&status, Reason::HistoryUnavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_that_are_not_shown_are_accounted_for() {
        let words = |state: &str, attempts, shown, erased| {
            let delivery = Delivery {
                state: state.to_owned(),
                attempts,
                ..Delivery::default()
            };
            unseen(&delivery, shown, erased, false).words
        };
        assert_eq!(words("pending", 0, 0, false), "No attempt yet.");
        assert_eq!(words("cancelled", 0, 0, false), "No attempt was made.");
        assert_eq!(words("failed", 0, 0, true), "No attempt was made.");
        let erased = words("succeeded", 1, 0, true);
        assert_eq!(erased, "1 attempt, erased with the event.");
        let erased = words("failed", 2, 0, true);
        assert_eq!(erased, "2 attempts, erased with the event.");
        // The event was read a moment before its attempts.
        for (made, shown) in [(0, 1), (1, 2), (2, 2)] {
            assert_eq!(words("pending", made, shown, false), "");
        }
        let gone = words("succeeded", 3, 0, false);
        assert!(gone.starts_with("3 of 3 not shown:"), "{gone}");
    }

    #[test]
    fn attempts_that_are_older_than_the_page_stand_elsewhere() {
        let delivery = Delivery {
            state: "failed".to_owned(),
            attempts: 10,
            ..Delivery::default()
        };
        let missing = unseen(&delivery, 1, false, true);
        assert_eq!(missing.words, "9 of 10 attempts are older than those here.");
        assert!(missing.elsewhere);
        assert!(!unseen(&delivery, 10, false, true).elsewhere);
        assert!(!unseen(&delivery, 0, true, true).elsewhere);
    }
}

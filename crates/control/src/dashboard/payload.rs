//! "Message payload": what was sent, what was answered, all attempts of the
//! delivery.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect};
use domain::audit::Action;
use domain::key::Need;
use domain::{Problem, Reason};
use proto::status::to_problem;
use proto::v1::{AttemptDetail, GetAttemptRequest, ListAttemptsRequest, ResendEventRequest};

use super::endpoints;
use super::history::{response, shown_time};
use super::page::{Answer, Frame, render};
use super::plain::{curl, inert, pretty};
use super::visitor::Scope;
use crate::core::Control;

/// A delivery has 21 attempts at most; resends of its event stand beside them.
const TIMELINE: u32 = 100;

/// An attempt for people.
pub(super) struct AttemptView {
    pub(super) id: String,
    pub(super) number: u32,
    pub(super) event_id: String,
    pub(super) event_type: String,
    pub(super) delivery_id: String,
    pub(super) endpoint_id: String,
    pub(super) succeeded: bool,
    pub(super) response: String,
    pub(super) failure: String,
    pub(super) at: String,
    pub(super) duration_ms: u32,
    pub(super) tags: Vec<(String, String)>,
    pub(super) formatted: String,
    pub(super) raw: String,
    pub(super) request_headers: Vec<(String, String)>,
    pub(super) response_headers: Vec<(String, String)>,
    pub(super) response_body: String,
    pub(super) truncated: bool,
    /// Empty: there is none.
    pub(super) next_attempt_at: String,
    pub(super) trace_id: String,
    pub(super) curl: String,
}

impl From<AttemptDetail> for AttemptView {
    fn from(detail: AttemptDetail) -> Self {
        let raw = String::from_utf8_lossy(&detail.request_body);
        let pairs = |map: std::collections::BTreeMap<String, String>| {
            let mut pairs: Vec<_> = map.into_iter().map(|(k, v)| (k, inert(&v))).collect();
            pairs.sort();
            pairs
        };
        let request_headers = pairs(detail.request_headers);
        Self {
            curl: curl(&detail.url, &request_headers, &raw),
            formatted: inert(&pretty(&raw)),
            raw: inert(&raw),
            request_headers,
            number: detail.number,
            succeeded: detail.status == "succeeded",
            response: response(detail.response_status, &detail.failure_class),
            failure: inert(&detail.failure_message),
            at: shown_time(detail.started_at.as_ref()),
            duration_ms: detail.duration_ms,
            tags: pairs(detail.tags),
            response_headers: pairs(detail.response_headers),
            response_body: match std::str::from_utf8(&detail.response_body) {
                Ok(text) => inert(text),
                Err(_) => format!("{} bytes that are not text", detail.response_body.len()),
            },
            truncated: detail.response_truncated,
            next_attempt_at: shown_time(detail.next_attempt_at.as_ref()),
            trace_id: detail.trace_id,
            id: detail.id,
            event_id: detail.event_id,
            event_type: detail.event_type,
            delivery_id: detail.delivery_id,
            endpoint_id: detail.endpoint_id,
        }
    }
}

/// An attempt of the visitor's account.
pub(super) async fn attempt(
    control: &Control,
    scope: &Scope,
    id: &str,
) -> Result<AttemptView, Problem> {
    scope.identity.authorise(&scope.account, Need::Read)?;
    let request = GetAttemptRequest {
        account: scope.account.to_string(),
        id: id.to_owned(),
    };
    let attempt = control.history().get_attempt(request).await;
    let attempt = attempt.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    Ok(attempt.into_inner().into())
}

struct Step {
    id: String,
    number: u32,
    succeeded: bool,
    response: String,
    at: String,
}

#[derive(Template)]
#[template(path = "payload.html")]
struct PayloadPage {
    frame: Frame,
    /// The address of the endpoint's history.
    history: String,
    attempts: String,
    attempt: AttemptView,
    /// Oldest first.
    timeline: Vec<Step>,
}

pub(super) async fn show(State(control): State<Control>, scope: Scope) -> Answer {
    let attempt = attempt(&control, &scope, &scope.id).await?;
    let request = ListAttemptsRequest {
        account: scope.account.to_string(),
        endpoint_id: attempt.endpoint_id.clone(),
        event_id: attempt.event_id.clone(),
        page_size: TIMELINE,
        ..ListAttemptsRequest::default()
    };
    let listed = control.history().list_attempts(request).await;
    let listed = listed.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    let steps = listed.into_inner().attempts.into_iter().rev();
    let timeline = steps
        .filter(|one| one.delivery_id == attempt.delivery_id)
        .map(|one| Step {
            number: one.number,
            succeeded: one.status == "succeeded",
            response: response(one.response_status, &one.failure_class),
            at: shown_time(one.started_at.as_ref()),
            id: one.id,
        })
        .collect();
    let page = PayloadPage {
        frame: Frame::of("Message payload", &scope),
        history: messages(&scope, &attempt.endpoint_id),
        attempts: format!("/accounts/{}/attempts", scope.account),
        attempt,
        timeline,
    };
    Ok(render(StatusCode::OK, &page))
}

pub(super) async fn resend(State(control): State<Control>, scope: Scope) -> Answer {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let attempt = attempt(&control, &scope, &scope.id).await?;
    let history = messages(&scope, &attempt.endpoint_id);
    let to = format!("{history}?event_id={}", attempt.event_id);
    let request = ResendEventRequest {
        account: scope.account.to_string(),
        event_id: attempt.event_id,
        endpoint_id: attempt.endpoint_id,
    };
    let resent = control.history().resend_event(request).await;
    let resent = resent.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    let delivery = resent.into_inner().delivery_id;
    let account = Some(&scope.account);
    let note = control.note(&scope.identity, account, Action::EventResent, &delivery);
    note.await;
    Ok(Redirect::to(&to).into_response())
}

fn messages(scope: &Scope, endpoint: &str) -> String {
    format!("{}/{endpoint}/messages", endpoints::base(scope))
}

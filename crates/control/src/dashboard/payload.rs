//! "Message payload": what was sent, what was answered, all attempts of the
//! delivery.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect};
use domain::key::Need;
use domain::{Problem, Reason};
use proto::status::to_problem;
use proto::v1::{Attempt, AttemptDetail, GetAttemptRequest, ListAttemptsRequest};

use super::endpoints;
use super::history::{response, shown_time};
use super::page::{Answer, Frame, render};
use super::plain::{curl, inert, pretty};
use super::resend::{self, Refused};
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
    /// Empty: it succeeded.
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
    /// What the delivery's state means; empty: nothing more happens.
    pub(super) outlook: &'static str,
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
        let waits = detail.next_attempt_at.is_some();
        Self {
            outlook: outlook(&detail.delivery_state, &detail.status, waits),
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

/// What becomes of the delivery of an attempt that failed.
fn outlook(delivery_state: &str, status: &str, waits: bool) -> &'static str {
    match (status, delivery_state) {
        ("succeeded", _) => "",
        (_, "succeeded") => "A later attempt succeeded.",
        (_, "failed") => "All retries are used up; resend it when your receiver works again.",
        (_, "cancelled") => "The endpoint was disabled, so it is not tried again.",
        _ if waits => "It is tried again.",
        _ => "A later attempt was made or is due.",
    }
}

/// What a failure class means, and where to look.
pub(super) fn advice(class: &str) -> &'static str {
    match class {
        "dns" => "The host name could not be resolved. Check its DNS records.",
        "connect" => {
            "No connection could be made. Check that the server runs and that no firewall blocks it."
        }
        "tls" => {
            "No secure connection could be made. Check the certificate: its name, its dates and its chain."
        }
        "timeout" => {
            "The receiver took too long. Answer at once with a 2xx and do the work afterwards."
        }
        "egress_denied" => {
            "The address is not on the public internet, and messages are not sent there."
        }
        "http_status" => "The receiver did not answer with a 2xx. Its own log will say why.",
        "response_invalid" => "What came back is not HTTP. Check the port and the scheme.",
        _ => "",
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

/// An attempt in a timeline.
pub(super) struct Step {
    pub(super) id: String,
    pub(super) number: u32,
    pub(super) succeeded: bool,
    pub(super) response: String,
    pub(super) advice: &'static str,
    pub(super) at: String,
}

impl From<Attempt> for Step {
    fn from(attempt: Attempt) -> Self {
        Self {
            number: attempt.number,
            succeeded: attempt.status == "succeeded",
            response: response(attempt.response_status, &attempt.failure_class),
            advice: advice(&attempt.failure_class),
            at: shown_time(attempt.started_at.as_ref()),
            id: attempt.id,
        }
    }
}

#[derive(Template)]
#[template(path = "payload.html")]
struct PayloadPage {
    frame: Frame,
    /// Why it was not sent again just now.
    refused: Option<Refused>,
    /// The address of the endpoint's history.
    history: String,
    attempts: String,
    /// The address of its event.
    event: String,
    trace_url: Option<String>,
    attempt: AttemptView,
    /// Oldest first.
    timeline: Vec<Step>,
}

pub(super) async fn show(State(control): State<Control>, scope: Scope) -> Answer {
    let attempt = attempt(&control, &scope, &scope.id).await?;
    let page = page(&control, &scope, attempt).await?;
    Ok(render(StatusCode::OK, &page))
}

async fn page(
    control: &Control,
    scope: &Scope,
    attempt: AttemptView,
) -> Result<PayloadPage, Problem> {
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
        .map(Step::from)
        .collect();
    Ok(PayloadPage {
        frame: Frame::of("Message payload", scope),
        refused: None,
        history: messages(scope, &attempt.endpoint_id),
        attempts: format!("/accounts/{}/attempts", scope.account),
        event: format!("/accounts/{}/events/{}", scope.account, attempt.event_id),
        trace_url: scope.brand.trace_url(&attempt.trace_id),
        attempt,
        timeline,
    })
}

pub(super) async fn resend(State(control): State<Control>, scope: Scope) -> Answer {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let attempt = attempt(&control, &scope, &scope.id).await?;
    let (event, endpoint) = (attempt.event_id.clone(), attempt.endpoint_id.clone());
    match resend::send(&control, &scope, event, endpoint).await? {
        None => {
            let history = messages(&scope, &attempt.endpoint_id);
            let to = format!("{history}?event_id={}", attempt.event_id);
            Ok(Redirect::to(&to).into_response())
        }
        Some(refused) => {
            let status = refused.status;
            let page = PayloadPage {
                refused: Some(refused),
                ..page(&control, &scope, attempt).await?
            };
            Ok(render(status, &page))
        }
    }
}

fn messages(scope: &Scope, endpoint: &str) -> String {
    format!("{}/{endpoint}/messages", endpoints::base(scope))
}

//! "Recover failed since…": how many there are, then a paced run with its
//! progress, which can be cancelled.

use std::time::{Duration, SystemTime};

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect};
use domain::audit::Action;
use domain::key::Need;
use domain::{Problem, Reason, Timestamp};
use proto::status::to_problem;
use proto::time::to_proto;
use proto::v1::{CancelReplayRequest, GetReplayRequest, Replay, StartReplayRequest};
use serde::Deserialize;

use super::editor::{self, endpoint_id};
use super::endpoints;
use super::forms::{Errors, Form, Query};
use super::history::shown_time;
use super::page::{Answer, Frame, render, status_of};
use super::plain::shown;
use super::visitor::Scope;
use crate::core::{Control, EndpointView};

/// The spans offered: a word of the address, its name, its seconds.
const SPANS: [(&str, &str, u64); 5] = [
    ("1h", "1 hour ago", 3_600),
    ("6h", "6 hours ago", 6 * 3_600),
    ("24h", "24 hours ago", 86_400),
    ("7d", "7 days ago", 7 * 86_400),
    ("30d", "30 days ago", 30 * 86_400),
];
/// Since the endpoint began to fail.
const FAILING: &str = "failing";
/// An event is accepted a little before its first attempt fails.
const BEFORE_FAILURE: Duration = Duration::from_secs(300);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    since: String,
}

/// What would be sent again.
struct Preview {
    matched: u64,
    /// RFC 3339, for the form that starts it.
    after: String,
    before: String,
    shown_after: String,
}

#[derive(Template)]
#[template(path = "recover.html")]
struct RecoverPage {
    frame: Frame,
    /// The endpoint's address.
    base: String,
    view: EndpointView,
    spans: [(&'static str, &'static str, u64); 5],
    since: String,
    /// Empty: it does not fail.
    failing_since: String,
    preview: Option<Preview>,
    errors: Errors,
}

/// The choice of a span and, once one is chosen, what it would mean.
pub(super) async fn ask(
    State(control): State<Control>,
    scope: Scope,
    Query(asked): Query<Asked>,
) -> Answer {
    show(
        &control,
        &scope,
        asked.since,
        StatusCode::OK,
        Errors::default(),
    )
    .await
}

async fn show(
    control: &Control,
    scope: &Scope,
    since: String,
    status: StatusCode,
    errors: Errors,
) -> Answer {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let id = endpoint_id(scope)?;
    let view = control.get_endpoint(&scope.identity, &scope.account, id);
    let view = view.await?;
    let now = Timestamp::from(SystemTime::now());
    let failing_since = view.health.failing_since;
    let span = SPANS.iter().find(|(word, ..)| *word == since);
    let after = match span {
        Some((.., seconds)) => Some(now.minus(Duration::from_secs(*seconds))),
        None if since == FAILING => failing_since.map(|at| at.minus(BEFORE_FAILURE)),
        None => None,
    };
    let preview = match after {
        Some(after) => {
            let counted = start(control, scope, after, now, true).await?;
            Some(Preview {
                matched: counted.matched,
                after: after.rfc3339(),
                before: now.rfc3339(),
                shown_after: shown(after),
            })
        }
        None => None,
    };
    let page = RecoverPage {
        frame: Frame::of("Recover failed messages", scope),
        base: editor::base(scope),
        view,
        spans: SPANS,
        since,
        failing_since: failing_since.map_or_else(String::new, shown),
        preview,
        errors,
    };
    Ok(render(status, &page))
}

/// Sends again what the preview counted; what came since is left out.
pub(super) async fn begin(State(control): State<Control>, scope: Scope, form: Form) -> Answer {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    endpoint_id(&scope)?;
    let instant = |name: &str| {
        Timestamp::parse_rfc3339(&form.text(name)).ok_or_else(|| {
            let what = "choose since when, and look at the preview first";
            Problem::of_field(Reason::FieldInvalid, "since", what)
        })
    };
    let begun = match (instant("after"), instant("before")) {
        (Ok(after), Ok(before)) => start(&control, &scope, after, before, false).await,
        (Err(problem), _) | (_, Err(problem)) => Err(problem),
    };
    match begun {
        Ok(replay) => {
            scope
                .note(&control, Action::ReplayStarted, &replay.id)
                .await;
            let to = format!("{}/recoveries/{}", account(&scope), replay.id);
            Ok(Redirect::to(&to).into_response())
        }
        Err(problem) if problem.reason == Reason::EndpointNotFound => Err(problem.into()),
        Err(problem) => {
            let status = status_of(&problem);
            show(&control, &scope, String::new(), status, problem.into()).await
        }
    }
}

async fn start(
    control: &Control,
    scope: &Scope,
    after: Timestamp,
    before: Timestamp,
    dry_run: bool,
) -> Result<Replay, Problem> {
    let request = StartReplayRequest {
        account: scope.account.to_string(),
        endpoint_id: scope.id.clone(),
        after: Some(to_proto(after)),
        before: Some(to_proto(before)),
        status: "failed".to_owned(),
        event_types: Vec::new(),
        dry_run,
    };
    let started = control.history().start_replay(request).await;
    started
        .map(tonic::Response::into_inner)
        .map_err(|status| unavailable(&status))
}

#[derive(Template)]
#[template(path = "recovery.html")]
struct RecoveryPage {
    frame: Frame,
    /// The endpoint's address.
    base: String,
    /// This page's.
    here: String,
    replay: Replay,
    running: bool,
    /// Of those that matched.
    settled: u64,
    after: String,
    before: String,
    ended_at: String,
}

/// How far a run is.
pub(super) async fn progress(State(control): State<Control>, scope: Scope) -> Answer {
    let request = GetReplayRequest {
        account: scope.account.to_string(),
        id: scope.id.clone(),
    };
    let replay = control.history().get_replay(request).await;
    let replay = replay.map_err(|status| unavailable(&status))?.into_inner();
    let page = RecoveryPage {
        frame: Frame::of("Recovery", &scope),
        base: format!("{}/{}", endpoints::base(&scope), replay.endpoint_id),
        here: here(&scope),
        running: replay.state == "running",
        settled: (replay.succeeded + replay.failed).min(replay.matched),
        after: shown_time(replay.after.as_ref()),
        before: shown_time(replay.before.as_ref()),
        ended_at: shown_time(replay.ended_at.as_ref()),
        replay,
    };
    Ok(render(StatusCode::OK, &page))
}

pub(super) async fn cancel(State(control): State<Control>, scope: Scope) -> Answer {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let request = CancelReplayRequest {
        account: scope.account.to_string(),
        id: scope.id.clone(),
    };
    let cancelled = control.history().cancel_replay(request).await;
    cancelled.map_err(|status| unavailable(&status))?;
    scope
        .note(&control, Action::ReplayCancelled, &scope.id)
        .await;
    Ok(Redirect::to(&here(&scope)).into_response())
}

fn here(scope: &Scope) -> String {
    format!("{}/recoveries/{}", account(scope), scope.id)
}

fn account(scope: &Scope) -> String {
    format!("/accounts/{}", scope.account)
}

fn unavailable(status: &tonic::Status) -> Problem {
    to_problem(status, Reason::HistoryUnavailable)
}

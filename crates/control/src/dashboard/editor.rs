//! "Edit Endpoint" and its dialogs.

use std::time::Duration;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect};
use domain::key::Need;
use domain::{EndpointId, Problem, Reason};
use proto::status::to_problem;
use proto::v1::{GetEndpointStatsRequest, ListAttemptsRequest};

use super::endpoint_form::{EndpointForm, catalogue};
use super::endpoints;
use super::forms::{Errors, Form};
use super::page::{Answer, Frame, render, status_of};
use super::payload::attempt;
use super::plain::shown;
use super::test_event::TestDialog;
use super::visitor::Scope;
use crate::core::{Control, EndpointView, endpoint_not_found};

/// The dialog over the editor.
pub(super) enum Dialog {
    Regenerate(Errors),
    /// With how many messages go.
    Delete(u64),
    Test(Box<TestDialog>),
}

#[derive(Template)]
#[template(path = "editor.html")]
struct EditorPage {
    frame: Frame,
    /// The list's address.
    list: String,
    /// This page's address.
    base: String,
    view: EndpointView,
    form: EndpointForm,
    /// Only for those who may see it.
    secret: Option<String>,
    /// Empty unless it fails.
    failing_since: String,
    /// Empty: none is known of.
    next_retry: String,
    saved: bool,
    challenged: bool,
    dialog: Option<Dialog>,
}

/// The endpoint that the address names.
pub(super) fn endpoint_id(scope: &Scope) -> Result<EndpointId, Problem> {
    scope.id.parse().map_err(|_| endpoint_not_found())
}

pub(super) async fn show(
    State(control): State<Control>,
    scope: Scope,
    RawQuery(query): RawQuery,
) -> Answer {
    Editor {
        saved: query.as_deref() == Some("saved"),
        challenged: query.as_deref() == Some("challenged"),
        ..Editor::default()
    }
    .show(&control, &scope)
    .await
}

/// What a page of the editor shows beyond the endpoint.
#[derive(Default)]
pub(super) struct Editor {
    pub(super) status: StatusCode,
    /// What was typed, if it could not be saved.
    pub(super) form: Option<EndpointForm>,
    pub(super) saved: bool,
    /// A challenge was sent just now.
    pub(super) challenged: bool,
    pub(super) dialog: Option<Dialog>,
}

impl Editor {
    pub(super) async fn show(self, control: &Control, scope: &Scope) -> Answer {
        let id = endpoint_id(scope)?;
        let (identity, account) = (&scope.identity, &scope.account);
        let view = control.get_endpoint(identity, account, id).await?;
        let frame = Frame::of(format!("Edit {}", view.description), scope);
        let secret = match frame.may_change {
            true => Some(control.secret(identity, account, id).await?),
            false => None,
        };
        let since = view.health.failing_since;
        let next_retry = match since {
            Some(_) => next_retry(control, scope).await?,
            None => String::new(),
        };
        let form = match self.form {
            Some(form) => form,
            None => EndpointForm::of(&view, catalogue(control).await?),
        };
        let page = EditorPage {
            frame,
            list: endpoints::base(scope),
            base: base(scope),
            failing_since: since.map_or_else(String::new, shown),
            next_retry,
            view,
            form,
            secret,
            saved: self.saved,
            challenged: self.challenged,
            dialog: self.dialog,
        };
        Ok(render(self.status, &page))
    }
}

/// When the delivery that failed last is tried again.
async fn next_retry(control: &Control, scope: &Scope) -> Result<String, Problem> {
    let request = ListAttemptsRequest {
        account: scope.account.to_string(),
        endpoint_id: scope.id.clone(),
        status: "failed".to_owned(),
        page_size: 1,
        ..ListAttemptsRequest::default()
    };
    let listed = control.history().list_attempts(request).await;
    let listed = listed.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    match listed.into_inner().attempts.first() {
        Some(last) => Ok(attempt(control, scope, &last.id).await?.next_attempt_at),
        None => Ok(String::new()),
    }
}

pub(super) async fn save(State(control): State<Control>, scope: Scope, form: Form) -> Answer {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let id = endpoint_id(&scope)?;
    let mut form = EndpointForm::sent(&form, catalogue(&control).await?);
    let view = control.get_endpoint(&scope.identity, &scope.account, id);
    form.compare(&view.await?);
    let mut status = match form.errors.is_empty() {
        true => StatusCode::UNPROCESSABLE_ENTITY,
        false => StatusCode::CONFLICT,
    };
    if let Some(change) = form.change() {
        let changed = control.update_endpoint(&scope.identity, &scope.account, id, change);
        match changed.await {
            Ok(_) => {
                let to = format!("{}?saved", base(&scope));
                return Ok(Redirect::to(&to).into_response());
            }
            Err(problem) if problem.reason == Reason::EndpointNotFound => {
                return Err(problem.into());
            }
            Err(problem) => {
                status = status_of(&problem);
                form.errors = Errors::from(problem);
            }
        }
    }
    Editor {
        status,
        form: Some(form),
        ..Editor::default()
    }
    .show(&control, &scope)
    .await
}

pub(super) async fn ask_regenerate(State(control): State<Control>, scope: Scope) -> Answer {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let dialog = Some(Dialog::Regenerate(Errors::default()));
    Editor {
        dialog,
        ..Editor::default()
    }
    .show(&control, &scope)
    .await
}

pub(super) async fn regenerate(State(control): State<Control>, scope: Scope, form: Form) -> Answer {
    let id = endpoint_id(&scope)?;
    let grace = match form.text("grace_period_seconds").parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => Duration::MAX,
    };
    let (identity, account) = (&scope.identity, &scope.account);
    match control
        .regenerate_secret(identity, account, id, grace)
        .await
    {
        Ok(_) => Ok(Redirect::to(&base(&scope)).into_response()),
        Err(problem) if problem.fields.is_empty() => Err(problem.into()),
        Err(problem) => {
            let status = status_of(&problem);
            let dialog = Some(Dialog::Regenerate(problem.into()));
            Editor {
                status,
                dialog,
                ..Editor::default()
            }
            .show(&control, &scope)
            .await
        }
    }
}

pub(super) async fn ask_delete(State(control): State<Control>, scope: Scope) -> Answer {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let request = GetEndpointStatsRequest {
        account: scope.account.to_string(),
        endpoint_id: endpoint_id(&scope)?.to_string(),
        after: None,
        before: None,
    };
    let stats = control.history().get_endpoint_stats(request).await;
    let stats = stats.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    let dialog = Some(Dialog::Delete(stats.into_inner().total_messages));
    Editor {
        dialog,
        ..Editor::default()
    }
    .show(&control, &scope)
    .await
}

pub(super) async fn delete(State(control): State<Control>, scope: Scope) -> Answer {
    let id = endpoint_id(&scope)?;
    control
        .delete_endpoint(&scope.identity, &scope.account, id)
        .await?;
    Ok(Redirect::to(&endpoints::base(&scope)).into_response())
}

pub(super) async fn challenge(State(control): State<Control>, scope: Scope) -> Answer {
    let id = endpoint_id(&scope)?;
    control
        .verify_endpoint(&scope.identity, &scope.account, id)
        .await?;
    Ok(Redirect::to(&format!("{}?challenged", base(&scope))).into_response())
}

pub(super) async fn enable(State(control): State<Control>, scope: Scope) -> Answer {
    set_enabled(&control, &scope, true).await
}

pub(super) async fn disable(State(control): State<Control>, scope: Scope) -> Answer {
    set_enabled(&control, &scope, false).await
}

async fn set_enabled(control: &Control, scope: &Scope, enabled: bool) -> Answer {
    let id = endpoint_id(scope)?;
    control
        .set_enabled(&scope.identity, &scope.account, id, enabled)
        .await?;
    Ok(Redirect::to(&base(scope)).into_response())
}

/// Where the editor of this endpoint is.
pub(super) fn base(scope: &Scope) -> String {
    format!("{}/{}", endpoints::base(scope), scope.id)
}

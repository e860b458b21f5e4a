//! "Send Test Event": an example to edit, and the receiver's answer in place.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use bytes::Bytes;
use domain::key::Need;
use domain::{EndpointId, Problem, Reason};
use proto::status::to_problem;
use proto::v1::ListAttemptsRequest;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::editor::{Dialog, Editor, endpoint_id};
use super::endpoint_form::catalogue;
use super::forms::{Errors, Form, Query};
use super::page::{Answer, status_of};
use super::payload::{AttemptView, attempt};
use super::plain::pretty;
use super::visitor::Scope;
use crate::core::Control;

/// A receiver's answer is waited for a little longer than an attempt takes by
/// default.
const PATIENCE: Duration = Duration::from_secs(12);
const PAUSE: Duration = Duration::from_millis(200);

/// What the dialog shows.
#[derive(Default)]
pub(super) struct TestDialog {
    /// The types to choose from: those that the endpoint is subscribed to.
    pub(super) types: Vec<String>,
    pub(super) chosen: String,
    /// The JSON object to send.
    pub(super) object: String,
    pub(super) errors: Errors,
    pub(super) answer: Option<AttemptView>,
    /// It was sent, and no answer is known yet.
    pub(super) waits: bool,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Chosen {
    #[serde(default)]
    event_type: String,
}

pub(super) async fn show(
    State(control): State<Control>,
    scope: Scope,
    Query(chosen): Query<Chosen>,
) -> Answer {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let dialog = dialog(&control, &scope, chosen.event_type).await?;
    with(StatusCode::OK, dialog).show(&control, &scope).await
}

pub(super) async fn send(State(control): State<Control>, scope: Scope, form: Form) -> Answer {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let id = endpoint_id(&scope)?;
    let mut dialog = dialog(&control, &scope, form.text("event_type")).await?;
    dialog.object = form.text("object");
    let object = Bytes::from(dialog.object.clone());
    let (identity, account) = (&scope.identity, &scope.account);
    let sent = control
        .send_test_event(identity, account, id, &dialog.chosen, Some(object))
        .await;
    let mut status = StatusCode::OK;
    match sent {
        Ok(sent) => {
            dialog.answer = answer(&control, &scope, id, sent.event_id).await?;
            dialog.waits = dialog.answer.is_none();
        }
        Err(problem) => {
            status = status_of(&problem);
            dialog.errors = problem.into();
        }
    }
    with(status, dialog).show(&control, &scope).await
}

fn with(status: StatusCode, dialog: TestDialog) -> Editor {
    Editor {
        status,
        dialog: Some(Dialog::Test(Box::new(dialog))),
        ..Editor::default()
    }
}

/// The first subscribed type unless another is chosen, with its example.
async fn dialog(control: &Control, scope: &Scope, chosen: String) -> Result<TestDialog, Problem> {
    let id = endpoint_id(scope)?;
    let view = control.get_endpoint(&scope.identity, &scope.account, id);
    let types = view.await?.event_types;
    let chosen = match types.first() {
        Some(first) if !types.contains(&chosen) => first.clone(),
        _ => chosen,
    };
    let catalogue = catalogue(control).await?;
    let example = catalogue.into_iter().find(|one| one.name == chosen);
    let object = example.map_or_else(|| "{}".to_owned(), |one| pretty(&one.example));
    Ok(TestDialog {
        types,
        chosen,
        object,
        ..TestDialog::default()
    })
}

/// The first attempt, once history knows it.
async fn answer(
    control: &Control,
    scope: &Scope,
    endpoint: EndpointId,
    event_id: String,
) -> Result<Option<AttemptView>, Problem> {
    let end = Instant::now() + PATIENCE;
    let request = ListAttemptsRequest {
        account: scope.account.to_string(),
        endpoint_id: endpoint.to_string(),
        event_id,
        page_size: 1,
        ..ListAttemptsRequest::default()
    };
    while Instant::now() < end {
        let listed = control.history().list_attempts(request.clone()).await;
        let listed = listed.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
        if let Some(first) = listed.into_inner().attempts.into_iter().next() {
            return attempt(control, scope, &first.id).await.map(Some);
        }
        sleep(PAUSE).await;
    }
    Ok(None)
}

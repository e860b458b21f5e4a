//! "Verify signatures": how a receiver does it, in several languages, and a
//! checker that says what is wrong with a signature.

mod check;
mod snippets;

use std::time::SystemTime;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use domain::key::Need;
use domain::signature::Secret;
use domain::{EventId, Problem, Timestamp};
use proto::v1::GetEventRequest;
use serde::Deserialize;

use super::editor::{self, endpoint_id};
use super::forms::{Form, Query};
use super::page::{Answer, Frame, render};
use super::visitor::Scope;
use crate::core::{Control, EndpointView};
use check::{Pasted, Verdict};
use snippets::{SNIPPETS, Snippet};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    language: String,
}

#[derive(Template)]
#[template(path = "verify.html")]
struct VerifyPage {
    frame: Frame,
    base: String,
    view: EndpointView,
    snippets: &'static [Snippet],
    shown: &'static Snippet,
    /// As they were pasted.
    headers: String,
    body: String,
    verdict: Option<Verdict>,
}

pub(super) async fn show(
    State(control): State<Control>,
    scope: Scope,
    Query(asked): Query<Asked>,
) -> Answer {
    let page = page(&control, &scope, &asked.language).await?;
    Ok(render(StatusCode::OK, &page))
}

/// Says what is wrong with what was pasted. Nothing of it is kept.
pub(super) async fn check(
    State(control): State<Control>,
    scope: Scope,
    Query(asked): Query<Asked>,
    form: Form,
) -> Answer {
    let (identity, account) = (&scope.identity, &scope.account);
    let text = control.secret(identity, account, endpoint_id(&scope)?);
    let text = text.await?;
    let mut page = page(&control, &scope, &asked.language).await?;
    (page.headers, page.body) = (form.raw("headers"), form.raw("body"));
    let pasted = Pasted::read(&page.headers, &page.body);
    let sent = match pasted.event_id() {
        Some(id) => sent_body(&control, &scope, id).await?,
        None => None,
    };
    let now = Timestamp::from(SystemTime::now()).unix_seconds();
    let secret = Secret::parse(&text).map_err(|_| unreadable())?;
    page.verdict = Some(pasted.judge(&secret, sent.as_deref(), now));
    Ok(render(StatusCode::OK, &page))
}

async fn page(control: &Control, scope: &Scope, language: &str) -> Result<VerifyPage, Problem> {
    scope.identity.authorise(&scope.account, Need::Read)?;
    let id = endpoint_id(scope)?;
    let view = control.get_endpoint(&scope.identity, &scope.account, id);
    let shown = SNIPPETS.iter().find(|snippet| snippet.word == language);
    Ok(VerifyPage {
        frame: Frame::of("Verify signatures", scope),
        base: editor::base(scope),
        view: view.await?,
        snippets: SNIPPETS,
        shown: shown.unwrap_or(&SNIPPETS[0]),
        headers: String::new(),
        body: String::new(),
        verdict: None,
    })
}

/// The body as it was sent, if the event is one of the account's.
async fn sent_body(
    control: &Control,
    scope: &Scope,
    id: EventId,
) -> Result<Option<Vec<u8>>, Problem> {
    let request = GetEventRequest {
        account: scope.account.to_string(),
        id: id.to_string(),
    };
    match control.history().get_event(request).await {
        Ok(event) => Ok(Some(event.into_inner().body.to_vec()).filter(|body| !body.is_empty())),
        Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
        Err(status) => Err(proto::status::to_problem(
            &status,
            domain::Reason::HistoryUnavailable,
        )),
    }
}

fn unreadable() -> Problem {
    let detail = "the secret cannot be read; ask the operator whether the master key changed";
    Problem::new(domain::Reason::Internal, detail)
}

//! Attempts.

use axum::Json;
use axum::extract::State;
use domain::Reason;
use domain::key::Need;
use proto::status::to_problem;
use proto::v1::{GetAttemptRequest, ListAttemptsRequest};

use super::bodies::{AttemptQuery, SpanQuery};
use super::endpoints::endpoint_id;
use super::problem::Answer;
use super::request::{PageQuery, Query, Scope};
use super::shapes::{AttemptDetail, Attempts};
use crate::core::Control;

/// Lists the attempts of an endpoint
#[utoipa::path(get, path = "/v1/accounts/{account}/endpoints/{id}/attempts", tag = "history",
    operation_id = "listAttempts", params(AttemptQuery, SpanQuery, PageQuery),
    responses((status = 200, description = "A page.", body = Attempts)))]
pub(super) async fn list(
    State(control): State<Control>,
    scope: Scope,
    mut query: Query,
) -> Answer<Json<Attempts>> {
    scope.identity.authorise(&scope.account, Need::Read)?;
    let page = query.page()?;
    let request = ListAttemptsRequest {
        account: scope.account.to_string(),
        endpoint_id: endpoint_id(&scope.id)?.to_string(),
        status: query.word("status", &["succeeded", "failed"])?,
        event_type: query.text("event_type"),
        event_id: query.text("event_id"),
        after: query.instant("after")?,
        before: query.instant("before")?,
        page_size: page.page_size.unwrap_or(0),
        page_token: page.page_token.unwrap_or_default(),
    };
    query.finish()?;
    let listed = control.history().list_attempts(request).await;
    let listed = listed.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    let listed = listed.into_inner();
    Ok(Json(Attempts {
        attempts: listed.attempts.into_iter().map(Into::into).collect(),
        next_page_token: listed.next_page_token,
        prev_page_token: listed.prev_page_token,
    }))
}

/// Shows an attempt: all that was sent and answered
#[utoipa::path(get, path = "/v1/accounts/{account}/attempts/{id}", tag = "history",
    operation_id = "getAttempt",
    responses((status = 200, description = "The attempt.", body = AttemptDetail)))]
pub(super) async fn get(
    State(control): State<Control>,
    scope: Scope,
) -> Answer<Json<AttemptDetail>> {
    scope.identity.authorise(&scope.account, Need::Read)?;
    let request = GetAttemptRequest {
        account: scope.account.to_string(),
        id: scope.id,
    };
    let attempt = control.history().get_attempt(request).await;
    let attempt = attempt.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    Ok(Json(attempt.into_inner().into()))
}

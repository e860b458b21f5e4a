//! Attempts.

use axum::Json;
use axum::extract::State;
use domain::key::Need;
use domain::{AccountId, Reason};
use proto::status::to_problem;
use proto::v1::{GetAttemptRequest, ListAttemptsRequest};

use super::bodies::{AttemptQuery, EndpointQuery, SpanQuery};
use super::endpoints::endpoint_id;
use super::problem::Answer;
use super::request::{PageQuery, Query, Scope};
use super::shapes::{AttemptDetail, Attempts};
use crate::core::Control;

/// Lists the attempts of an endpoint
#[utoipa::path(get, path = "/v1/accounts/{account}/endpoints/{id}/attempts", tag = "history",
    operation_id = "listAttempts",
    security(("key" = ["read"])), params(AttemptQuery, SpanQuery, PageQuery),
    responses((status = 200, description = "A page.", body = Attempts)))]
pub(super) async fn list(
    State(control): State<Control>,
    scope: Scope,
    query: Query,
) -> Answer<Json<Attempts>> {
    scope.identity.authorise(&scope.account, Need::Read)?;
    let endpoint = endpoint_id(&scope.id)?.to_string();
    attempts(&control, &scope.account, endpoint, query).await
}

/// Lists the attempts of an account
///
/// Finds those of a delivery, an event or a trace, or what failed and how. A
/// page that looked at 1,000 rows may hold fewer than `page_size`, and none,
/// though there is a next one.
#[utoipa::path(get, path = "/v1/accounts/{account}/attempts", tag = "history",
    operation_id = "listAccountAttempts", security(("key" = ["read"])),
    params(EndpointQuery, AttemptQuery, SpanQuery, PageQuery),
    responses((status = 200, description = "A page.", body = Attempts)))]
pub(super) async fn list_all(
    State(control): State<Control>,
    scope: Scope,
    mut query: Query,
) -> Answer<Json<Attempts>> {
    scope.identity.authorise(&scope.account, Need::Read)?;
    let endpoint = query.text("endpoint_id");
    attempts(&control, &scope.account, endpoint, query).await
}

async fn attempts(
    control: &Control,
    account: &AccountId,
    endpoint_id: String,
    mut query: Query,
) -> Answer<Json<Attempts>> {
    let page = query.page()?;
    let request = ListAttemptsRequest {
        account: account.to_string(),
        endpoint_id,
        status: query.word("status", &["succeeded", "failed"])?,
        event_type: query.text("event_type"),
        event_id: query.text("event_id"),
        delivery_id: query.text("delivery_id"),
        trace_id: query.text("trace_id"),
        response_status: query.number("response_status")?,
        failure_class: query.text("failure_class"),
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
    operation_id = "getAttempt", security(("key" = ["read"])),
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

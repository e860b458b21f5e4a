//! `/v1/accounts/{account}/endpoints`.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bytes::Bytes;
use domain::key::Need;
use domain::{EndpointId, Problem, Reason};
use proto::status::to_problem;
use proto::v1::GetEndpointStatsRequest;
use serde::Serialize;
use utoipa::ToSchema;

use super::bodies::{CreateEndpoint, RegenerateSecret, SendTestEvent, SpanQuery, UpdateEndpoint};
use super::fields::Fields;
use super::policy;
use super::problem::Answer;
use super::request::{Body, PageQuery, Query, Scope};
use super::shapes::{Endpoint, Endpoints, Stats};
use crate::core::{Control, EndpointChange, NewEndpoint, endpoint_not_found};

const URL: &str = "a URL as text";
const DESCRIPTION: &str = "a text of 1 to 256 characters";
const EVENT_TYPES: &str = "a list of names of event types";
const RATE_LIMIT: &str = "a whole number from 1 to 10000, or null";
const GRACE: &str = "a whole number of seconds, 0 to 604800";

/// An id that is no id belongs to nothing.
pub(super) fn endpoint_id(text: &str) -> Result<EndpointId, Problem> {
    text.parse().map_err(|_| endpoint_not_found())
}

/// Registers a URL
///
/// Its signing secret is made with it.
#[utoipa::path(post, path = "/v1/accounts/{account}/endpoints", tag = "endpoints",
    operation_id = "createEndpoint", security(("key" = ["admin"])), request_body = CreateEndpoint,
    responses((status = 201, description = "Registered.", body = Endpoint)))]
pub(super) async fn create(
    State(control): State<Control>,
    scope: Scope,
    Body(body): Body,
) -> Answer<(StatusCode, Json<Endpoint>)> {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let mut fields = Fields::parse(&body)?;
    let new = NewEndpoint {
        url: fields.required("url", URL)?,
        description: fields.required("description", DESCRIPTION)?,
        event_types: fields.required("event_types", EVENT_TYPES)?,
        rate_limit: policy::whole(&mut fields, "rate_limit", RATE_LIMIT)?.flatten(),
        policy: policy::take(&mut fields)?,
    };
    fields.finish()?;
    let view = control
        .create_endpoint(&scope.identity, &scope.account, new)
        .await?;
    Ok((StatusCode::CREATED, Json(view.into())))
}

/// Lists the endpoints
#[utoipa::path(get, path = "/v1/accounts/{account}/endpoints", tag = "endpoints",
    operation_id = "listEndpoints", security(("key" = ["read"])), params(PageQuery),
    responses((status = 200, description = "A page.", body = Endpoints)))]
pub(super) async fn list(
    State(control): State<Control>,
    scope: Scope,
    mut query: Query,
) -> Answer<Json<Endpoints>> {
    let page = query.page()?;
    query.finish()?;
    let token = page.page_token.unwrap_or_default();
    let Scope {
        identity, account, ..
    } = scope;
    let page = control
        .list_endpoints(&identity, &account, page.page_size, &token)
        .await?;
    Ok(Json(page.into()))
}

/// Shows an endpoint
#[utoipa::path(get, path = "/v1/accounts/{account}/endpoints/{id}", tag = "endpoints",
    operation_id = "getEndpoint", security(("key" = ["read"])),
    responses((status = 200, description = "The endpoint.", body = Endpoint)))]
pub(super) async fn get(State(control): State<Control>, scope: Scope) -> Answer<Json<Endpoint>> {
    let id = endpoint_id(&scope.id)?;
    let view = control
        .get_endpoint(&scope.identity, &scope.account, id)
        .await?;
    Ok(Json(view.into()))
}

/// Changes an endpoint
///
/// The change holds for every event that is accepted after the answer.
#[utoipa::path(patch, path = "/v1/accounts/{account}/endpoints/{id}", tag = "endpoints",
    operation_id = "updateEndpoint", security(("key" = ["admin"])), request_body = UpdateEndpoint,
    responses((status = 200, description = "As it is now.", body = Endpoint)))]
pub(super) async fn update(
    State(control): State<Control>,
    scope: Scope,
    Body(body): Body,
) -> Answer<Json<Endpoint>> {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let id = endpoint_id(&scope.id)?;
    let mut fields = Fields::parse(&body)?;
    let change = EndpointChange {
        url: fields.optional("url", URL)?,
        description: fields.optional("description", DESCRIPTION)?,
        event_types: fields.optional("event_types", EVENT_TYPES)?,
        rate_limit: policy::whole(&mut fields, "rate_limit", RATE_LIMIT)?,
        policy: policy::take(&mut fields)?,
    };
    fields.finish()?;
    let view = control
        .update_endpoint(&scope.identity, &scope.account, id, change)
        .await?;
    Ok(Json(view.into()))
}

/// Deletes an endpoint
///
/// It and its history are invisible from the answer on; what waits for it is
/// not sent.
#[utoipa::path(delete, path = "/v1/accounts/{account}/endpoints/{id}", tag = "endpoints",
    operation_id = "deleteEndpoint",
    security(("key" = ["admin"])), responses((status = 204, description = "Deleted.")))]
pub(super) async fn delete(State(control): State<Control>, scope: Scope) -> Answer<StatusCode> {
    let id = endpoint_id(&scope.id)?;
    control
        .delete_endpoint(&scope.identity, &scope.account, id)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The key that signs what an endpoint receives.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Secret {
    /// `whsec_` and the standard base64 of 32 bytes.
    secret: String,
}

/// Shows the signing secret
#[utoipa::path(get, path = "/v1/accounts/{account}/endpoints/{id}/secret", tag = "endpoints",
    operation_id = "getEndpointSecret", security(("key" = ["admin"])),
    responses((status = 200, description = "The current secret.", body = Secret)))]
pub(super) async fn secret(State(control): State<Control>, scope: Scope) -> Answer<Json<Secret>> {
    let id = endpoint_id(&scope.id)?;
    let secret = control.secret(&scope.identity, &scope.account, id).await?;
    Ok(Json(Secret { secret }))
}

/// Makes a new signing secret
///
/// The old one is invalid at once, unless a grace period is given: then
/// `webhook-signature` carries both until it ends, while `X-Webhook-Signature`
/// uses the new one at once.
#[utoipa::path(post, path = "/v1/accounts/{account}/endpoints/{id}/secret/regenerate",
    tag = "endpoints", operation_id = "regenerateEndpointSecret", security(("key" = ["admin"])),
    request_body = Option<RegenerateSecret>,
    responses((status = 200, description = "The new secret.", body = Secret)))]
pub(super) async fn regenerate_secret(
    State(control): State<Control>,
    scope: Scope,
    Body(body): Body,
) -> Answer<Json<Secret>> {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let id = endpoint_id(&scope.id)?;
    let mut fields = Fields::parse_optional(&body)?;
    let seconds = fields
        .nullable::<u32>("grace_period_seconds", GRACE)?
        .flatten();
    fields.finish()?;
    let grace = Duration::from_secs(seconds.unwrap_or(0).into());
    let secret = control
        .regenerate_secret(&scope.identity, &scope.account, id, grace)
        .await?;
    Ok(Json(Secret { secret }))
}

/// What was sent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TestEvent {
    event_id: String,
    delivery_id: String,
}

/// Sends a test event
///
/// A sample with `liveMode: false`, to this endpoint only, outside its stats
/// and health.
#[utoipa::path(post, path = "/v1/accounts/{account}/endpoints/{id}/test", tag = "endpoints",
    operation_id = "sendTestEvent", security(("key" = ["admin"])), request_body = SendTestEvent,
    responses((status = 202, description = "Accepted.", body = TestEvent)))]
pub(super) async fn test(
    State(control): State<Control>,
    scope: Scope,
    Body(body): Body,
) -> Answer<(StatusCode, Json<TestEvent>)> {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let id = endpoint_id(&scope.id)?;
    let mut fields = Fields::parse(&body)?;
    let event_type: String = fields.required("event_type", "the name of an event type")?;
    let object = fields
        .raw("object")
        .map(|raw| Bytes::copy_from_slice(raw.get().as_bytes()));
    fields.finish()?;
    let Scope {
        identity, account, ..
    } = scope;
    let sent = control
        .send_test_event(&identity, &account, id, &event_type, object)
        .await?;
    let sent = TestEvent {
        event_id: sent.event_id,
        delivery_id: sent.delivery_id,
    };
    Ok((StatusCode::ACCEPTED, Json(sent)))
}

/// Sends a challenge again
///
/// To an endpoint that is not verified yet, at most every 10 seconds; others are
/// left as they are. It is verified when it answers with the value of the
/// header `webhook-challenge` as the whole body.
#[utoipa::path(post, path = "/v1/accounts/{account}/endpoints/{id}/verify", tag = "endpoints",
    operation_id = "verifyEndpoint", security(("key" = ["admin"])),
    responses((status = 200, description = "As it is now.", body = Endpoint)))]
pub(super) async fn verify(State(control): State<Control>, scope: Scope) -> Answer<Json<Endpoint>> {
    let id = endpoint_id(&scope.id)?;
    let view = control
        .verify_endpoint(&scope.identity, &scope.account, id)
        .await?;
    Ok(Json(view.into()))
}

/// Enables an endpoint
///
/// It gets what is published from now on.
#[utoipa::path(post, path = "/v1/accounts/{account}/endpoints/{id}/enable", tag = "endpoints",
    operation_id = "enableEndpoint", security(("key" = ["admin"])),
    responses((status = 200, description = "As it is now.", body = Endpoint)))]
pub(super) async fn enable(State(control): State<Control>, scope: Scope) -> Answer<Json<Endpoint>> {
    set_enabled(&control, scope, true).await
}

/// Disables an endpoint
///
/// What waits for it is cancelled.
#[utoipa::path(post, path = "/v1/accounts/{account}/endpoints/{id}/disable", tag = "endpoints",
    operation_id = "disableEndpoint", security(("key" = ["admin"])),
    responses((status = 200, description = "As it is now.", body = Endpoint)))]
pub(super) async fn disable(
    State(control): State<Control>,
    scope: Scope,
) -> Answer<Json<Endpoint>> {
    set_enabled(&control, scope, false).await
}

async fn set_enabled(control: &Control, scope: Scope, enabled: bool) -> Answer<Json<Endpoint>> {
    let id = endpoint_id(&scope.id)?;
    let view = control
        .set_enabled(&scope.identity, &scope.account, id, enabled)
        .await?;
    Ok(Json(view.into()))
}

/// Counts an endpoint's deliveries
///
/// `after` and `before` are about when the event was accepted, whenever its
/// deliveries were made: a resend or a replay counts where its event does. What was
/// sent in a span of time, resends and replays included, is told by the list of
/// attempts, whose `after` and `before` are about when an attempt started.
#[utoipa::path(get, path = "/v1/accounts/{account}/endpoints/{id}/stats", tag = "history",
    operation_id = "getEndpointStats", security(("key" = ["read"])), params(SpanQuery),
    responses((status = 200, description = "The counts.", body = Stats)))]
pub(super) async fn stats(
    State(control): State<Control>,
    scope: Scope,
    mut query: Query,
) -> Answer<Json<Stats>> {
    scope.identity.authorise(&scope.account, Need::Read)?;
    let id = endpoint_id(&scope.id)?;
    let request = GetEndpointStatsRequest {
        account: scope.account.to_string(),
        endpoint_id: id.to_string(),
        after: query.instant("after")?,
        before: query.instant("before")?,
    };
    query.finish()?;
    let stats = control.history().get_endpoint_stats(request).await;
    let stats = stats.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    Ok(Json(stats.into_inner().into()))
}

//! Events: published and looked up.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use domain::audit::Action;
use domain::key::Need;
use domain::{AccountId, Problem, Reason};
use proto::metadata::ON_BEHALF_OF;
use proto::status::to_problem;
use proto::v1::{
    GetEventRequest, ListEventsRequest, PublishEventRequest, PublishEventsRequest,
    ResendEventRequest,
};
use serde::Serialize;
use serde_json::value::RawValue;
use telemetry::trace::{self, attribute};
use tonic::Request;
use tonic::metadata::AsciiMetadataValue;
use utoipa::ToSchema;

use super::bodies::{EventQuery, PublishEvent, PublishEvents, ResendEvent, SpanQuery};
use super::fields::{Fields, invalid};
use super::problem::{Answer, ProblemDocument};
use super::request::{Body, MAX_BATCH_BYTES, PageQuery, Query, Scope};
use super::shapes::{Event, Events};
use crate::core::Control;

/// Events of a batch.
const MAX_BATCH: usize = 1_000;

/// An accepted event.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Published {
    id: String,
    /// It was accepted before; nothing is sent again.
    duplicate: bool,
}

/// What became of the events, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PublishedBatch {
    results: Vec<PublishResult>,
}

/// What became of one event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum PublishResult {
    Published(Published),
    Refused { error: ProblemDocument },
}

/// Publishes an event
///
/// It is durable before the answer. Repeat a call that ended with 503 or
/// without an answer, with the same `id`.
#[utoipa::path(post, path = "/v1/accounts/{account}/events", tag = "events",
    operation_id = "publishEvent", security(("key" = ["publish"])), request_body = PublishEvent,
    params(("idempotency-key" = Option<String>, Header, description = "The same as `id`.")),
    responses((status = 202, description = "Accepted.", body = Published)))]
pub(super) async fn publish(
    State(control): State<Control>,
    scope: Scope,
    headers: HeaderMap,
    Body(body): Body,
) -> Answer<(StatusCode, Json<Published>)> {
    scope.identity.authorise(&scope.account, Need::Publish)?;
    let mut request = event(&scope.account, Fields::parse(&body)?)?;
    take_idempotency_key(&mut request, &headers)?;
    let published = send(&control, &scope, request).await?;
    Ok((StatusCode::ACCEPTED, Json(published)))
}

/// Publishes up to 1,000 events
///
/// Each succeeds or fails by itself; at most 8 MiB together. Events of one `id`
/// are decided in their order.
#[utoipa::path(post, path = "/v1/accounts/{account}/events/batch", tag = "events",
    operation_id = "publishEvents", security(("key" = ["publish"])), request_body = PublishEvents,
    responses((status = 200, description = "A result for each.", body = PublishedBatch)))]
pub(super) async fn publish_batch(
    State(control): State<Control>,
    scope: Scope,
    Body(body): Body<MAX_BATCH_BYTES>,
) -> Answer<Json<PublishedBatch>> {
    scope.identity.authorise(&scope.account, Need::Publish)?;
    let mut fields = Fields::parse(&body)?;
    let events: Vec<Box<RawValue>> = fields.required("events", "a list of events")?;
    fields.finish()?;
    if !(1..=MAX_BATCH).contains(&events.len()) {
        let message = format!("send 1 to {MAX_BATCH} events, not {}", events.len());
        return Err(invalid("events", message).into());
    }
    let mut refused: Vec<Option<Problem>> = Vec::with_capacity(events.len());
    let mut accepted = Vec::with_capacity(events.len());
    for raw in &events {
        let request =
            Fields::parse(raw.get().as_bytes()).and_then(|fields| event(&scope.account, fields));
        match request {
            Ok(request) => {
                accepted.push(request);
                refused.push(None);
            }
            Err(problem) => refused.push(Some(problem)),
        }
    }
    let mut sent = send_batch(&control, &scope, accepted).await.into_iter();
    let results = refused.into_iter().map(|refused| {
        let result = refused.map_or_else(|| sent.next().unwrap_or_else(no_answer), Err);
        match result {
            Ok(published) => PublishResult::Published(published),
            Err(problem) => PublishResult::Refused {
                error: problem.into(),
            },
        }
    });
    let results = results.collect();
    Ok(Json(PublishedBatch { results }))
}

/// Publishes events in one call; a result for each, in their order.
async fn send_batch(
    control: &Control,
    scope: &Scope,
    events: Vec<PublishEventRequest>,
) -> Vec<Result<Published, Problem>> {
    let count = events.len();
    if count == 0 {
        return Vec::new();
    }
    let request = by_caller(scope, PublishEventsRequest { events });
    match control.ingest().publish_events(request).await {
        Ok(answer) => {
            let results = answer.into_inner().results.into_iter();
            results
                .map(|result| match result.error {
                    Some(error) => Err(error.into()),
                    None => Ok(Published {
                        id: result.id,
                        duplicate: result.duplicate,
                    }),
                })
                .collect()
        }
        Err(status) => {
            let problem = to_problem(&status, Reason::IngestUnavailable);
            (0..count).map(|_| Err(problem.clone())).collect()
        }
    }
}

fn no_answer() -> Result<Published, Problem> {
    let detail = "ingest did not answer for this event; repeat it with the same id";
    Err(Problem::new(Reason::IngestUnavailable, detail))
}

fn event(account: &AccountId, mut fields: Fields) -> Result<PublishEventRequest, Problem> {
    let object = fields.raw("object");
    let object =
        object.ok_or_else(|| invalid("object", "it is missing; send a JSON object".to_owned()))?;
    let request = PublishEventRequest {
        account: account.to_string(),
        r#type: fields.required("type", "the name of an event type")?,
        object: Bytes::copy_from_slice(object.get().as_bytes()),
        id: match fields.optional::<String>("id", "a text of 1 to 128 characters")? {
            // Absent means none; empty is a mistake.
            Some(id) if id.is_empty() => {
                let message =
                    "use 1 to 128 of the characters A-Z, a-z, 0-9, _ . : and -, or leave it out";
                return Err(invalid("id", message.to_owned()));
            }
            id => id.unwrap_or_default(),
        },
        tags: fields
            .optional("tags", "an object of texts")?
            .unwrap_or_default(),
        live_mode: fields.optional("live_mode", "true or false")?,
        traceparent: fields
            .optional("traceparent", "a text")?
            .unwrap_or_default(),
    };
    fields.finish()?;
    Ok(request)
}

fn take_idempotency_key(
    request: &mut PublishEventRequest,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(());
    };
    let key = value.to_str().unwrap_or("\0");
    if request.id.is_empty() {
        domain::PublisherId::parse(key).map_err(|problem| Problem {
            fields: problem
                .fields
                .into_iter()
                .map(|field| domain::FieldViolation::new("idempotency-key", field.message))
                .collect(),
            ..problem
        })?;
        request.id = key.to_owned();
    }
    if request.id != key {
        let message = "the body's id says something else; send one of them";
        return Err(invalid("idempotency-key", message.to_owned()));
    }
    Ok(())
}

async fn send(
    control: &Control,
    scope: &Scope,
    event: PublishEventRequest,
) -> Result<Published, Problem> {
    let request = by_caller(scope, event);
    let published = control.ingest().publish_event(request).await;
    let published = published.map_err(|status| to_problem(&status, Reason::IngestUnavailable))?;
    let published = published.into_inner();
    trace::note(attribute::EVENT, || published.id.clone());
    Ok(Published {
        id: published.id,
        duplicate: published.duplicate,
    })
}

/// A call on behalf of whoever called here, whose quota it counts for.
fn by_caller<T>(scope: &Scope, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Ok(key_id) = AsciiMetadataValue::try_from(&scope.identity.key_id) {
        request.metadata_mut().insert(ON_BEHALF_OF, key_id);
    }
    request
}

/// Lists the events
#[utoipa::path(get, path = "/v1/accounts/{account}/events", tag = "history",
    operation_id = "listEvents",
    security(("key" = ["read"])), params(EventQuery, SpanQuery, PageQuery),
    responses((status = 200, description = "A page.", body = Events)))]
pub(super) async fn list(
    State(control): State<Control>,
    scope: Scope,
    mut query: Query,
) -> Answer<Json<Events>> {
    scope.identity.authorise(&scope.account, Need::Read)?;
    let page = query.page()?;
    let request = ListEventsRequest {
        account: scope.account.to_string(),
        event_type: query.text("event_type"),
        after: query.instant("after")?,
        before: query.instant("before")?,
        page_size: page.page_size.unwrap_or(0),
        page_token: page.page_token.unwrap_or_default(),
        trace_id: query.text("trace_id"),
        tag: query.tag()?,
    };
    query.finish()?;
    let listed = control.history().list_events(request).await;
    let listed = listed.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    let listed = listed.into_inner();
    Ok(Json(Events {
        events: listed.events.into_iter().map(Into::into).collect(),
        next_page_token: listed.next_page_token,
        prev_page_token: listed.prev_page_token,
    }))
}

/// Shows an event and what became of it
#[utoipa::path(get, path = "/v1/accounts/{account}/events/{id}", tag = "history",
    operation_id = "getEvent", security(("key" = ["read"])),
    responses((status = 200, description = "The event.", body = Event)))]
pub(super) async fn get(State(control): State<Control>, scope: Scope) -> Answer<Json<Event>> {
    scope.identity.authorise(&scope.account, Need::Read)?;
    let request = GetEventRequest {
        account: scope.account.to_string(),
        id: scope.id,
    };
    let event = control.history().get_event(request).await;
    let event = event.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    Ok(Json(event.into_inner().into()))
}

/// What will be sent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Resent {
    /// The new delivery, or the one that is pending.
    delivery_id: String,
    /// `created`: a new delivery; `brought_forward`: the next attempt of the one
    /// that waited for its retry is made now; `already_pending`: one is on its way,
    /// and nothing was changed.
    outcome: String,
    /// What one that is `already_pending` waits for: `throttled` (the endpoint's
    /// limits) or `paused` (until it works again); null otherwise.
    reason: Option<String>,
}

/// Sends an event again
///
/// A new delivery with the same `webhook-id`; while one is pending, that one's
/// next attempt is brought forward instead, unless it waits for a limit or for a
/// pause to end: that stays as it is, and the answer says so. A test event stays a
/// test, and goes to its own endpoint only. Of an erased event nothing is left to
/// send: 409, `BODY_EXPIRED`.
#[utoipa::path(post, path = "/v1/accounts/{account}/events/{id}/resend", tag = "history",
    operation_id = "resendEvent", security(("key" = ["admin"])), request_body = ResendEvent,
    responses((status = 202, description = "Accepted.", body = Resent)))]
pub(super) async fn resend(
    State(control): State<Control>,
    scope: Scope,
    Body(body): Body,
) -> Answer<(StatusCode, Json<Resent>)> {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let mut fields = Fields::parse(&body)?;
    let request = ResendEventRequest {
        account: scope.account.to_string(),
        event_id: scope.id.clone(),
        endpoint_id: fields.required("endpoint_id", "the id of an endpoint")?,
    };
    fields.finish()?;
    let resent = control.history().resend_event(request).await;
    let resent = resent.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    let resent = resent.into_inner();
    scope
        .note(&control, Action::EventResent, &resent.delivery_id)
        .await;
    let resent = Resent {
        delivery_id: resent.delivery_id,
        outcome: resent.outcome,
        reason: (!resent.reason.is_empty()).then_some(resent.reason),
    };
    Ok((StatusCode::ACCEPTED, Json(resent)))
}

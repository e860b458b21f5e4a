//! `/v1/event-types`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::key::Need;

use super::bodies::CreateEventType;
use super::fields::{Fields, invalid};
use super::problem::Answer;
use super::request::{Body, Caller, PageQuery, Query};
use super::shapes::{EventType, EventTypes};
use crate::core::{Control, NewEventType};

/// Lists the event types
#[utoipa::path(get, path = "/v1/event-types", tag = "event types",
    operation_id = "listEventTypes", security(("key" = [])), params(PageQuery),
    responses((status = 200, description = "A page.", body = EventTypes)))]
pub(super) async fn list(
    State(control): State<Control>,
    _: Caller,
    mut query: Query,
) -> Answer<Json<EventTypes>> {
    let page = query.page()?;
    query.finish()?;
    let token = page.page_token.unwrap_or_default();
    Ok(Json(
        control
            .list_event_types(page.page_size, &token)
            .await?
            .into(),
    ))
}

/// Registers an event type
#[utoipa::path(post, path = "/v1/event-types", tag = "event types",
    operation_id = "createEventType", security(("key" = ["admin"])), request_body = CreateEventType,
    responses((status = 201, description = "Registered.", body = EventType)))]
pub(super) async fn create(
    State(control): State<Control>,
    Caller(identity): Caller,
    Body(body): Body,
) -> Answer<(StatusCode, Json<EventType>)> {
    identity.authorise_everywhere(Need::Admin)?;
    let mut fields = Fields::parse(&body)?;
    let mut raw = |name: &str| {
        let missing = || invalid(name, "it is missing; send a JSON object".to_owned());
        fields
            .raw(name)
            .map(|raw| raw.get().to_owned())
            .ok_or_else(missing)
    };
    let (schema, example) = (raw("schema")?, raw("example")?);
    let new = NewEventType {
        name: fields.required("name", "a name like order.shipped")?,
        description: fields.required("description", "a text of 1 to 256 characters")?,
        schema,
        example,
    };
    fields.finish()?;
    let view = control.create_event_type(&identity, new).await?;
    Ok((StatusCode::CREATED, Json(view.into())))
}

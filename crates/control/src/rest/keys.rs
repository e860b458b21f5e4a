//! `/v1/keys`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::Timestamp;
use domain::key::Need;
use serde::Serialize;
use utoipa::ToSchema;

use super::bodies::CreateKey;
use super::fields::{Fields, invalid};
use super::problem::Answer;
use super::request::{Body, Caller, PageQuery, Query};
use super::shapes::Keys;
use crate::core::{Control, NewKey};

/// A key, shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CreatedKey {
    id: String,
    key: String,
}

/// Makes a key
///
/// The answer shows it once.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", operation_id = "createKey",
    security(("key" = ["admin"])),
    request_body = CreateKey,
    responses((status = 201, description = "Made.", body = CreatedKey)))]
pub(super) async fn create(
    State(control): State<Control>,
    Caller(identity): Caller,
    Body(body): Body,
) -> Answer<(StatusCode, Json<CreatedKey>)> {
    identity.authorise_everywhere(Need::Admin)?;
    let mut fields = Fields::parse(&body)?;
    let new = NewKey {
        description: fields.required("description", "a text of 1 to 256 characters")?,
        scope: fields.required("scope", "one of admin, publish, read")?,
        account: fields
            .nullable("account", "an account's id, or null")?
            .flatten(),
        expires_at: match fields
            .nullable::<String>("expires_at", "an instant, or null")?
            .flatten()
        {
            None => None,
            Some(text) => Some(Timestamp::parse_rfc3339(&text).ok_or_else(|| {
                invalid(
                    "expires_at",
                    "use RFC 3339, e.g. 2027-01-01T00:00:00Z".to_owned(),
                )
            })?),
        },
    };
    fields.finish()?;
    let made = control.create_key(&identity, new).await?;
    Ok((
        StatusCode::CREATED,
        Json(CreatedKey {
            id: made.id,
            key: made.key,
        }),
    ))
}

/// Lists the keys, without the keys themselves
#[utoipa::path(get, path = "/v1/keys", tag = "keys", operation_id = "listKeys",
    security(("key" = ["admin"])),
    params(PageQuery), responses((status = 200, description = "A page.", body = Keys)))]
pub(super) async fn list(
    State(control): State<Control>,
    Caller(identity): Caller,
    mut query: Query,
) -> Answer<Json<Keys>> {
    let page = query.page()?;
    query.finish()?;
    let token = page.page_token.unwrap_or_default();
    Ok(Json(
        control
            .list_keys(&identity, page.page_size, &token)
            .await?
            .into(),
    ))
}

/// Revokes a key
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", operation_id = "deleteKey",
    security(("key" = ["admin"])),
    responses((status = 204, description = "Revoked.")))]
pub(super) async fn delete(
    State(control): State<Control>,
    Caller(identity): Caller,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    control.delete_key(&identity, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

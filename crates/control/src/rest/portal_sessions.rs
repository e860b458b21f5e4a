//! `/v1/accounts/{account}/portal-sessions`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::key::Need;
use serde::Serialize;
use utoipa::ToSchema;

use super::fields::Fields;
use super::problem::Answer;
use super::request::{Body, Scope};
use crate::core::Control;

/// A link for a customer. Only described: the body is read field by field.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "described, not made")]
pub(super) struct OpenPortal {
    /// Null or absent: an hour.
    #[schema(minimum = 1, maximum = 86_400)]
    ttl_seconds: Option<u32>,
}

/// A customer's door to the dashboard.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PortalSession {
    /// Whoever has it gets in: hand it to this account's people only.
    url: String,
    /// RFC 3339. The link and the session end then.
    expires_at: String,
}

/// Opens the dashboard for a customer
///
/// The link opens this account only; it ends with its time, or with the key
/// that made it.
#[utoipa::path(post, path = "/v1/accounts/{account}/portal-sessions", tag = "portal",
    operation_id = "createPortalSession",
    security(("key" = ["admin"])), request_body = Option<OpenPortal>,
    responses((status = 201, description = "Made.", body = PortalSession)))]
pub(super) async fn create(
    State(control): State<Control>,
    scope: Scope,
    Body(body): Body,
) -> Answer<(StatusCode, Json<PortalSession>)> {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let mut fields = Fields::parse_optional(&body)?;
    let kind = "a whole number of seconds from 1 to 86400, or null";
    let ttl_seconds = fields.nullable("ttl_seconds", kind)?.flatten();
    fields.finish()?;
    let made = control
        .open_portal(&scope.identity, &scope.account, ttl_seconds)
        .await?;
    let made = PortalSession {
        url: made.url,
        expires_at: made.expires_at.rfc3339(),
    };
    Ok((StatusCode::CREATED, Json(made)))
}

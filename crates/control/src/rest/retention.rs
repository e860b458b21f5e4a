//! How long an account's things are kept.

use axum::Json;
use axum::extract::State;
use domain::audit::Action;
use domain::key::Need;
use domain::{Problem, Reason};
use proto::status::to_problem;
use proto::v1::{self, GetRetentionRequest, UpdateRetentionRequest};
use serde::Serialize;
use utoipa::ToSchema;

use super::fields::{Fields, invalid};
use super::problem::Answer;
use super::request::{Body, Scope};
use crate::core::Control;

const KIND: &str = "a whole number of days, or null";

/// How long the account's things are kept.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Retention {
    /// Days for which events are kept with their bodies and tags; null: as the
    /// deployment keeps them.
    event_days: Option<u32>,
    /// Days for which deliveries, attempts and counts are kept; null: as the
    /// deployment keeps them.
    record_days: Option<u32>,
    /// The deployment's, which are the most.
    deployment_event_days: u32,
    deployment_record_days: u32,
}

impl From<v1::Retention> for Retention {
    fn from(retention: v1::Retention) -> Self {
        Self {
            event_days: retention.event_days,
            record_days: retention.record_days,
            deployment_event_days: retention.deployment_event_days,
            deployment_record_days: retention.deployment_record_days,
        }
    }
}

/// What to change; what is absent stays.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "described, not made")]
pub(super) struct UpdateRetention {
    /// From 1 to the deployment's; null: as the deployment keeps them.
    event_days: Option<u32>,
    /// From 9 (retries may take that long) to the deployment's, and not less than
    /// `event_days`; null: as the deployment keeps them.
    record_days: Option<u32>,
}

/// 0 for null, as history has it.
fn days(fields: &mut Fields, name: &str) -> Result<Option<u32>, Problem> {
    match fields.nullable(name, KIND)? {
        Some(Some(0)) => Err(invalid(name, "use at least 1, or null".to_owned())),
        days => Ok(days.map(Option::unwrap_or_default)),
    }
}

/// Shows how long the account's things are kept
#[utoipa::path(get, path = "/v1/accounts/{account}/retention", tag = "history",
    operation_id = "getRetention", security(("key" = ["read"])),
    responses((status = 200, description = "How long.", body = Retention)))]
pub(super) async fn get(State(control): State<Control>, scope: Scope) -> Answer<Json<Retention>> {
    scope.identity.authorise(&scope.account, Need::Read)?;
    let request = GetRetentionRequest {
        account: scope.account.to_string(),
    };
    let retention = control.history().get_retention(request).await;
    let retention = retention.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    Ok(Json(retention.into_inner().into()))
}

/// Changes how long the account's things are kept
///
/// What is older goes within the hour. The streams keep an event for up to 7
/// days, and what became of it for up to 3, whatever is set here.
#[utoipa::path(patch, path = "/v1/accounts/{account}/retention", tag = "history",
    operation_id = "updateRetention", security(("key" = ["admin"])), request_body = UpdateRetention,
    responses((status = 200, description = "How long.", body = Retention)))]
pub(super) async fn update(
    State(control): State<Control>,
    scope: Scope,
    Body(body): Body,
) -> Answer<Json<Retention>> {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let mut fields = Fields::parse(&body)?;
    let request = UpdateRetentionRequest {
        account: scope.account.to_string(),
        event_days: days(&mut fields, "event_days")?,
        record_days: days(&mut fields, "record_days")?,
    };
    fields.finish()?;
    let retention = control.history().update_retention(request).await;
    let retention = retention.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    scope.note(&control, Action::RetentionUpdated, "").await;
    Ok(Json(retention.into_inner().into()))
}

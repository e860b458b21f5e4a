//! The audit log.

use axum::Json;
use axum::extract::State;
use domain::AccountId;
use domain::audit::{Action, Entry, Via};
use domain::key::Identity;
use proto::time::from_proto;
use serde::Serialize;
use store::AuditFilter;
use utoipa::ToSchema;

use super::bodies::AuditQuery;
use super::problem::Answer;
use super::request::{Caller, PageQuery, Query, Scope};
use super::shapes::AuditEntries;
use crate::core::{Control, audit_word as word};

/// One thing that somebody did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditEntry {
    id: String,
    at: String,
    /// Null: not in an account.
    account: Option<String>,
    /// The key that was shown, or that made the portal link; null: Postrider
    /// itself.
    key_id: Option<String>,
    /// `rest`, `grpc`, `dashboard`, `portal`, `command` or `postrider`.
    via: &'static str,
    /// The caller's network address; null if nobody called.
    address: Option<String>,
    /// E.g. `endpoint.updated`.
    action: &'static str,
    /// What it was done to: an id or a name; may be empty.
    target: String,
    /// E.g. the names of the fields that changed; never their values.
    detail: String,
}

impl From<Entry> for AuditEntry {
    fn from(entry: Entry) -> Self {
        Self {
            id: format!("aud_{}", entry.id),
            at: entry.at.rfc3339(),
            account: entry.account.map(|account| account.to_string()),
            key_id: (!entry.key_id.is_empty()).then_some(entry.key_id),
            via: entry.origin.via.as_str(),
            address: entry.origin.address.map(|address| address.to_string()),
            action: entry.action.as_str(),
            target: entry.target,
            detail: entry.detail,
        }
    }
}

/// Lists who changed what in an account
///
/// Kept for 400 days. A page that looked at 1,000 entries may hold fewer than
/// `page_size`, and none, though there is a next one.
#[utoipa::path(get, path = "/v1/accounts/{account}/audit-log", tag = "audit",
    operation_id = "listAccountAuditEntries", security(("key" = ["read"])), params(AuditQuery, PageQuery),
    responses((status = 200, description = "A page.", body = AuditEntries)))]
pub(super) async fn list_of_account(
    State(control): State<Control>,
    scope: Scope,
    query: Query,
) -> Answer<Json<AuditEntries>> {
    entries(&control, &scope.identity, Some(scope.account), query).await
}

/// Lists who changed what anywhere
///
/// Keys and event types too, which belong to no account. Kept for 400 days.
#[utoipa::path(get, path = "/v1/audit-log", tag = "audit",
    operation_id = "listAuditEntries", security(("key" = ["read"])), params(AuditQuery, PageQuery),
    responses((status = 200, description = "A page.", body = AuditEntries)))]
pub(super) async fn list(
    State(control): State<Control>,
    Caller(identity): Caller,
    query: Query,
) -> Answer<Json<AuditEntries>> {
    entries(&control, &identity, None, query).await
}

async fn entries(
    control: &Control,
    identity: &Identity,
    account: Option<AccountId>,
    mut query: Query,
) -> Answer<Json<AuditEntries>> {
    let page = query.page()?;
    let instant = |at: Option<prost_types::Timestamp>| at.as_ref().and_then(from_proto);
    let filter = AuditFilter {
        account,
        key_id: query.text("key_id"),
        via: word("via", &query.text("via"), Via::ALL, Via::as_str)?,
        action: word("action", &query.text("action"), Action::ALL, Action::as_str)?,
        target: query.text("target"),
        after: instant(query.instant("after")?),
        before: instant(query.instant("before")?),
    };
    query.finish()?;
    let token = page.page_token.unwrap_or_default();
    let found = control.audit_log(identity, &filter, page.page_size, &token);
    Ok(Json(found.await?.into()))
}

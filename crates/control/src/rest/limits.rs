//! What an account may do, and how much of it it does.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Answer;
use super::request::Scope;
use crate::core::{Control, LimitsView};

/// An account's quotas.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Limits {
    endpoints: Quota,
    events_per_second: Rates,
}

/// How many there may be, and how many there are.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Quota {
    /// Null: no limit.
    limit: Option<u32>,
    used: u64,
}

/// Events a second that one process of ingest takes; null: no limit.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rates {
    per_account: Option<u32>,
    per_key: Option<u32>,
}

impl From<LimitsView> for Limits {
    fn from(view: LimitsView) -> Self {
        Self {
            endpoints: Quota {
                limit: view.limits.endpoints,
                used: view.endpoints,
            },
            events_per_second: Rates {
                per_account: view.limits.events_per_account,
                per_key: view.limits.events_per_key,
            },
        }
    }
}

/// Shows an account's quotas
#[utoipa::path(get, path = "/v1/accounts/{account}/limits", tag = "limits",
    operation_id = "getLimits", security(("key" = ["read"])),
    responses((status = 200, description = "The quotas.", body = Limits)))]
pub(super) async fn get(State(control): State<Control>, scope: Scope) -> Answer<Json<Limits>> {
    let limits = control.limits(&scope.identity, &scope.account).await?;
    Ok(Json(limits.into()))
}

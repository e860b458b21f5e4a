//! A delivery by its id.

use axum::Json;
use axum::extract::State;
use domain::key::Need;
use domain::{Problem, Reason};
use proto::status::to_problem;
use proto::v1::GetDeliveryRequest;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Answer;
use super::request::Scope;
use super::shapes::Delivery;
use crate::core::Control;

/// A delivery and what it delivers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryDetail {
    #[serde(flatten)]
    delivery: Delivery,
    event_id: String,
    event_type: String,
}

/// Shows a delivery
#[utoipa::path(get, path = "/v1/accounts/{account}/deliveries/{id}", tag = "history",
    operation_id = "getDelivery", security(("key" = ["read"])),
    responses((status = 200, description = "The delivery.", body = DeliveryDetail)))]
pub(super) async fn get(
    State(control): State<Control>,
    scope: Scope,
) -> Answer<Json<DeliveryDetail>> {
    scope.identity.authorise(&scope.account, Need::Read)?;
    let request = GetDeliveryRequest {
        account: scope.account.to_string(),
        id: scope.id,
    };
    let found = control.history().get_delivery(request).await;
    let found = found.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    let found = found.into_inner();
    let Some(delivery) = found.delivery else {
        let detail = "the history's answer is not whole; report it if it stays";
        return Err(Problem::new(Reason::Internal, detail).into());
    };
    Ok(Json(DeliveryDetail {
        delivery: delivery.into(),
        event_id: found.event_id,
        event_type: found.event_type,
    }))
}

//! "Fleet": what fails, what waits, and by how much, in all accounts.

use std::time::{Duration, SystemTime};

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use domain::{Reason, Timestamp};
use proto::status::to_problem;
use proto::v1::{ListTroubledEndpointsRequest, TroubledEndpoint};

use crate::core::Control;
use crate::dashboard::page::{Answer, Frame, render};
use crate::dashboard::plain::{inert, span};
use crate::dashboard::visitor::Operator;

struct Row {
    account: String,
    endpoint: String,
    failing: bool,
    message: String,
    /// How long it has failed; empty if it does not.
    failing_for: String,
    failures: u64,
    waiting: u64,
    /// How old the oldest pending delivery is; empty: none is pending.
    behind_by: String,
}

#[derive(Template)]
#[template(path = "fleet.html")]
struct FleetPage {
    frame: Frame,
    failing: u64,
    throttled: u64,
    paused: u64,
    waiting: u64,
    rows: Vec<Row>,
}

pub(in crate::dashboard) async fn show(
    State(control): State<Control>,
    operator: Operator,
) -> Answer {
    let request = ListTroubledEndpointsRequest {};
    let told = control.history().list_troubled_endpoints(request).await;
    let told = told.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    let told = told.into_inner();
    let now = SystemTime::now().into();
    let rows = told.endpoints.into_iter().map(|one| row(one, now));
    let page = FleetPage {
        frame: Frame::operators("Fleet", "fleet", operator.brand),
        failing: told.failing,
        throttled: told.throttled,
        paused: told.paused,
        waiting: told.waiting,
        rows: rows.collect(),
    };
    Ok(render(StatusCode::OK, &page))
}

fn row(one: TroubledEndpoint, now: Timestamp) -> Row {
    let health = one.health.unwrap_or_default();
    let age = |at: Option<&prost_types::Timestamp>| {
        let at = at.and_then(proto::time::from_proto);
        let age = at.map(|at| now.since(at).max(Duration::from_secs(1)));
        age.map_or_else(String::new, span)
    };
    Row {
        failing: health.state == "failing",
        message: inert(&health.message),
        failing_for: age(health.failing_since.as_ref()),
        account: one.account,
        endpoint: one.endpoint_id,
        failures: one.failures,
        waiting: one.throttled + one.paused,
        behind_by: age(one.oldest_pending_at.as_ref()),
    }
}

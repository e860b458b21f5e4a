//! The admin address: liveness, readiness, metrics.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::sync::watch;

use crate::metrics::Metrics;

/// What each part of the process waits for; nothing if it is ready.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Readiness {
    pub(crate) ready: bool,
    /// By part (a role, `topology`, `shutdown`); only those that wait.
    pub(crate) waits_for: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct Admin {
    readiness: watch::Receiver<Readiness>,
    metrics: Metrics,
}

/// The routes of the admin address.
pub(crate) fn router(readiness: watch::Receiver<Readiness>, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(page))
        .with_state(Admin { readiness, metrics })
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let readiness = admin.readiness.borrow().clone();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness)).into_response()
}

async fn page(State(admin): State<Admin>) -> Response {
    match admin.metrics.page() {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

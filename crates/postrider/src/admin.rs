//! The admin address: liveness, readiness, metrics, the log's level. Health is told
//! in gRPC too, so that a kubelet, which speaks no TLS to gRPC, can ask for it
//! whatever the roles' own address wants.

use std::collections::BTreeMap;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::sync::watch;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::logs::Logs;
use crate::metrics::Metrics;

/// What a new log level may have.
const MAX_DIRECTIVES_BYTES: usize = 4_096;

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
    logs: Logs,
}

/// The routes of the admin address.
pub(crate) fn router(
    readiness: watch::Receiver<Readiness>,
    metrics: Metrics,
    logs: Logs,
    health: HealthReporter,
) -> Router {
    let health = HealthServer::new(HealthService::from_health_reporter(health));
    Router::new()
        .route_service("/grpc.health.v1.Health/{method}", health)
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(page))
        .route("/log-level", get(log_level).put(set_log_level))
        .layer(DefaultBodyLimit::max(MAX_DIRECTIVES_BYTES))
        .with_state(Admin {
            readiness,
            metrics,
            logs,
        })
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

/// The directives that hold now, as text.
async fn log_level(State(admin): State<Admin>) -> String {
    format!("{}\n", admin.logs.directives())
}

/// Takes a level, or directives such as `info,dispatcher=debug`, until the
/// process ends or they are changed again.
async fn set_log_level(State(admin): State<Admin>, directives: String) -> Response {
    match admin.logs.set(directives.trim()) {
        Ok(()) => log_level(State(admin)).await.into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;
    use crate::otlp::resource;

    async fn get(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readyz_names_what_is_waited_for() {
        let (told, readiness) = watch::channel(Readiness::default());
        let router = router(
            readiness,
            Metrics::start(resource("test")).unwrap(),
            Logs::detached(),
            HealthReporter::new(),
        );
        let waits_for =
            BTreeMap::from([("ingest".to_owned(), "jetstream is not connected".to_owned())]);
        told.send_replace(Readiness {
            ready: false,
            waits_for,
        });
        let (status, body) = get(&router, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            body,
            r#"{"ready":false,"waits_for":{"ingest":"jetstream is not connected"}}"#
        );
        assert_eq!(get(&router, "/livez").await.0, StatusCode::OK);

        told.send_replace(Readiness {
            ready: true,
            waits_for: BTreeMap::new(),
        });
        assert_eq!(get(&router, "/readyz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_prometheus_text() {
        let (_told, readiness) = watch::channel(Readiness::default());
        let router = router(
            readiness,
            Metrics::start(resource("test")).unwrap(),
            Logs::detached(),
            HealthReporter::new(),
        );
        let (status, body) = get(&router, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("service_name=\"postrider-test\""), "{body}");
    }
}

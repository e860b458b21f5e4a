//! Answers that it is too early until the streams are there: a role may count
//! on them from its first call on.

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use domain::{Problem, Reason};
use serde_json::json;
use tokio::sync::watch;
use tonic::service::Routes;

const DETAIL: &str = "Postrider is starting: nats-server has not confirmed its streams yet. \
                      Repeat the call in a second.";

const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Whether calls may pass.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    open: watch::Receiver<bool>,
}

impl Gate {
    pub(super) fn new(open: watch::Receiver<bool>) -> Self {
        Self { open }
    }

    fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// The services behind the gate; health and reflection stand beside it.
    pub(super) fn before_grpc(self, routes: Routes) -> Routes {
        routes
            .into_axum_router()
            .layer(from_fn_with_state(self, grpc))
            .into()
    }

    /// The API behind the gate; its description stands beside it.
    pub(super) fn before_http(self, router: axum::Router) -> axum::Router {
        router.layer(from_fn_with_state(self, http))
    }
}

async fn grpc(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    if gate.is_open() || request.uri().path().starts_with("/grpc.") {
        return next.run(request).await;
    }
    let problem = Problem::new(Reason::BrokerUnavailable, DETAIL).retry_after(RETRY_AFTER);
    proto::status::from_problem(&problem).into_http()
}

async fn http(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    if gate.is_open() || !request.uri().path().starts_with("/v1/") {
        return next.run(request).await;
    }
    let reason = Reason::BrokerUnavailable;
    let headers = [
        (header::CONTENT_TYPE, "application/problem+json"),
        (header::RETRY_AFTER, "1"),
    ];
    let problem = json!({
        "type": "about:blank",
        "title": reason.title(),
        "status": reason.http_status(),
        "detail": DETAIL,
        "code": reason.code(),
        "errors": [],
    });
    (StatusCode::SERVICE_UNAVAILABLE, headers, Json(problem)).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn calls_pass_once_it_is_open() {
        let (told, open) = watch::channel(false);
        let router = axum::Router::new()
            .route("/v1/keys", get(|| async { "keys" }))
            .route("/openapi.json", get(|| async { "{}" }));
        let router = Gate::new(open).before_http(router);
        let status = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            (
                response.status().as_u16(),
                response.headers()[header::CONTENT_TYPE].clone(),
            )
        };
        assert_eq!(status("/v1/keys").await.0, 503);
        assert_eq!(status("/v1/keys").await.1, "application/problem+json");
        assert_eq!(status("/openapi.json").await.0, 200);
        told.send_replace(true);
        assert_eq!(status("/v1/keys").await.0, 200);
    }
}

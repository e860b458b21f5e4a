//! REST (JSON) and its OpenAPI 3.1 description at `/openapi.json`. One table of
//! routes makes both.

mod attempts;
mod audit;
mod bodies;
mod deliveries;
mod document;
mod drain;
mod endpoints;
mod erasures;
mod event_types;
mod events;
mod fields;
mod keys;
mod limits;
mod master_keys;
mod policy;
mod portal_sessions;
mod problem;
mod replays;
mod request;
mod retention;
mod shapes;
mod tail;

use std::any::Any;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use domain::{Problem, Reason};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::core::Control;
use problem::Refusal;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The whole API.
pub(crate) fn router(control: Control) -> Router {
    let (router, mut document) = table().split_for_parts();
    document::complete(&mut document);
    let document = Json(document);
    let around = ServiceBuilder::new()
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(from_fn(secure))
        .layer(from_fn(drain::read_the_rest))
        .layer(CatchPanicLayer::custom(panicked));
    router
        .route("/openapi.json", get(async move || document.clone()))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_this_method)
        .layer(around)
        .with_state(control)
}

fn table() -> OpenApiRouter<Control> {
    OpenApiRouter::with_openapi(document::outline())
        .routes(routes!(endpoints::create, endpoints::list))
        .routes(routes!(
            endpoints::get,
            endpoints::update,
            endpoints::delete
        ))
        .routes(routes!(endpoints::secret))
        .routes(routes!(endpoints::regenerate_secret))
        .routes(routes!(endpoints::test))
        .routes(routes!(endpoints::verify))
        .routes(routes!(endpoints::enable))
        .routes(routes!(endpoints::disable))
        .routes(routes!(endpoints::stats))
        .routes(routes!(attempts::list))
        .routes(routes!(attempts::list_all))
        .routes(routes!(attempts::get))
        .routes(routes!(tail::attempts))
        .routes(routes!(deliveries::get))
        .routes(routes!(replays::start))
        .routes(routes!(replays::get))
        .routes(routes!(replays::cancel))
        .routes(routes!(erasures::start))
        .routes(routes!(erasures::get))
        .routes(routes!(retention::get, retention::update))
        .routes(routes!(events::publish, events::list))
        .routes(routes!(events::publish_batch))
        .routes(routes!(events::get))
        .routes(routes!(events::resend))
        .routes(routes!(event_types::list, event_types::create))
        .routes(routes!(keys::create, keys::list))
        .routes(routes!(keys::delete))
        .routes(routes!(portal_sessions::create))
        .routes(routes!(audit::list_of_account))
        .routes(routes!(audit::list))
        .routes(routes!(master_keys::list))
        .routes(routes!(master_keys::rotate))
        .routes(routes!(limits::get))
}

async fn nothing_here(request: Request) -> Refusal {
    let detail = format!(
        "{} is no address of this API; see /openapi.json",
        request.uri().path()
    );
    Refusal(Problem::new(Reason::RouteNotFound, detail))
}

async fn not_this_method(request: Request) -> Refusal {
    let detail = format!(
        "{} is not allowed here; the header `allow` says what is, and /openapi.json what it does",
        request.method()
    );
    Refusal(Problem::new(Reason::MethodNotAllowed, detail))
}

/// Answers hold customers' data: nobody keeps or frames them.
async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a request panicked");
    let detail = "something went wrong inside; repeat the call, and report it if it stays";
    Refusal(Problem::new(Reason::Internal, detail)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What OpenAPI wants of every operation.
    #[test]
    fn every_operation_is_described() {
        let (_, mut document) = table().split_for_parts();
        document::complete(&mut document);
        let json = serde_json::to_value(&document).expect("the document is JSON");
        assert!(
            json["openapi"]
                .as_str()
                .is_some_and(|version| version.starts_with("3.1"))
        );
        let paths = json["paths"].as_object().expect("paths");
        assert_eq!(paths.len(), 30 + 3);
        let mut ids = std::collections::BTreeSet::new();
        for (path, item) in paths {
            for (method, operation) in item.as_object().expect("operations") {
                let place = format!("{method} {path}");
                assert!(operation["summary"].is_string(), "{place}");
                assert!(operation["responses"]["default"].is_object(), "{place}");
                assert!(
                    operation["security"][0]["key"].is_array(),
                    "{place}: which scope?"
                );
                let id = operation["operationId"].as_str().expect("an operation id");
                assert!(ids.insert(id.to_owned()), "{id} names two operations");
                for name in path
                    .split('{')
                    .skip(1)
                    .filter_map(|rest| rest.split('}').next())
                {
                    let parameters = operation["parameters"].as_array().expect("parameters");
                    assert!(
                        parameters.iter().any(|one| one["name"] == name),
                        "{place}: {name}"
                    );
                }
            }
        }
    }
}

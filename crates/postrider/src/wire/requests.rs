//! The spans and durations of what the servers answer.
//!
//! A request's span is inside its caller's (W3C `traceparent`), and what the
//! roles do for it runs in the span's context.

mod call;

use std::time::{Instant, SystemTime};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use domain::TraceContext;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;
use telemetry::metric;
use telemetry::trace::{self, Kind, Parent};
use tonic::Status;
use tonic::service::Routes;

use call::{Call, Watched};

/// Every call of the services, health and reflection among them.
pub(super) fn around_grpc(routes: Routes) -> Routes {
    let durations = metric::RPC_SERVER.histogram();
    routes
        .into_axum_router()
        .layer(from_fn_with_state(durations, grpc))
        .into()
}

/// Every request to a route, and what finds none.
pub(super) fn around_http(router: axum::Router) -> axum::Router {
    let durations = metric::HTTP_SERVER.histogram();
    router.layer(from_fn_with_state(durations, http))
}

async fn grpc(State(durations): State<Histogram<f64>>, request: Request, next: Next) -> Response {
    let caller = caller(request.headers());
    let context = trace::entered(caller.as_ref());
    let mut call = Call {
        method: request.uri().path().trim_start_matches('/').to_owned(),
        context: context.clone(),
        caller,
        begun: Instant::now(),
        begun_at: SystemTime::now(),
        durations,
        noted: Vec::new(),
    };
    let (response, noted) = trace::observed(context, next.run(request)).await;
    call.noted = noted;
    // A refusal is all there is; else the status comes behind the messages.
    match Status::from_header_map(response.headers()) {
        Some(status) => {
            call.end(status.code());
            response
        }
        None => response.map(|body| Watched::body(body, call)),
    }
}

async fn http(State(durations): State<Histogram<f64>>, request: Request, next: Next) -> Response {
    let caller = caller(request.headers());
    let context = trace::entered(caller.as_ref());
    let (begun, begun_at) = (Instant::now(), SystemTime::now());
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map(|route| route.as_str().to_owned());
    // Outside the API a path can hold what nobody else may know: the link of a
    // portal session does.
    let is_of_api = route
        .as_ref()
        .is_some_and(|route| route.starts_with("/v1/"));
    let path = is_of_api.then(|| request.uri().path().to_owned());
    let (response, noted) = trace::observed(context.clone(), next.run(request)).await;
    let status = response.status().as_u16();
    let mut labels = vec![
        KeyValue::new("http.request.method", method),
        KeyValue::new("http.response.status_code", i64::from(status)),
    ];
    labels.extend(
        route
            .clone()
            .map(|route| KeyValue::new("http.route", route)),
    );
    durations.record(begun.elapsed().as_secs_f64(), &labels);
    let parent = Parent::caller(caller.as_ref());
    let name = match &route {
        Some(route) => format!("{method} {route}"),
        None => method.to_owned(),
    };
    trace::record(&context, parent, Kind::Server, name, begun_at, |span| {
        span.set("http.request.method", method)
            .set("url.scheme", "http")
            .set_some("url.path", path)
            .set("http.response.status_code", i64::from(status))
            .set_some("http.route", route)
            .extend(noted);
        if status >= 500 {
            span.fail(status.to_string());
        }
    });
    response
}

fn caller(headers: &HeaderMap) -> Option<TraceContext> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    TraceContext::parse(text("traceparent")?, text("tracestate"))
}

/// A method's name, if it is one that everybody knows: callers can invent more.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}

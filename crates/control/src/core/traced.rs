//! Calls of other roles go on in the caller's trace.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use domain::TraceContext;
use http::{HeaderMap, HeaderValue, Request, Response};
use telemetry::trace::{self, Kind, Parent};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Channel, Error};
use tower::Service;

/// A channel whose calls have a span each, inside that of the work they are
/// made for. What nobody asked for has none.
#[derive(Debug, Clone)]
pub(crate) struct Traced(pub(super) Channel);

impl Service<Request<Body>> for Traced {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Service::poll_ready(&mut self.0, context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Some(parent) = trace::current() else {
            return Box::pin(self.0.call(request));
        };
        let context = trace::child(&parent);
        propagate(&context, request.headers_mut());
        let method = request.uri().path().trim_start_matches('/').to_owned();
        let begun = SystemTime::now();
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let failed = match &answer {
                Ok(response) => Status::from_header_map(response.headers())
                    .map(|status| format!("{:?}", status.code())),
                Err(_) => Some("unreachable".to_owned()),
            };
            let parent = Parent::Local(&parent);
            trace::record(
                &context,
                parent,
                Kind::Client,
                method.clone(),
                begun,
                |span| {
                    span.set("rpc.system.name", "grpc")
                        .set("rpc.method", method);
                    if let Some(code) = failed {
                        span.fail(code);
                    }
                },
            );
            answer
        })
    }
}

fn propagate(context: &TraceContext, headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::from_str(&context.traceparent()) {
        headers.insert("traceparent", value);
    }
    if let Ok(value) = HeaderValue::from_str(&context.state)
        && !value.is_empty()
    {
        headers.insert("tracestate", value);
    }
}

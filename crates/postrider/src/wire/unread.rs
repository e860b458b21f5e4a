//! Says in our own words what the layers below the roles refuse.

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use proto::status::unread;
use tonic::Status;
use tonic::service::Routes;

/// The services, their messages that cannot be read refused like all else:
/// with `INVALID_ARGUMENT` and `ErrorInfo`.
pub(super) fn explained(routes: Routes) -> Routes {
    routes.into_axum_router().layer(from_fn(explain)).into()
}

async fn explain(request: Request, next: Next) -> Response {
    let ours = request.uri().path().starts_with("/postrider.");
    let response = next.run(request).await;
    // Such a refusal is all there is: it stands in the headers.
    let status = Status::from_header_map(response.headers()).filter(|_| ours);
    match status.as_ref().and_then(unread) {
        Some(status) => status.into_http(),
        None => response,
    }
}

//! Refusals as RFC 9457 problems.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::{Problem, Reason};
use serde::Serialize;
use utoipa::ToSchema;

/// A problem on its way to the caller.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

/// RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemDocument {
    /// Names the kind of problem.
    r#type: String,
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this call, and what to do.
    detail: String,
    /// Stable, e.g. `ENDPOINT_NOT_FOUND`.
    code: &'static str,
    /// The fields that are at fault.
    errors: Vec<FieldError>,
}

/// A field that is at fault.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FieldError {
    field: String,
    message: String,
}

impl From<Problem> for ProblemDocument {
    fn from(problem: Problem) -> Self {
        let reason = problem.reason;
        let kind = reason.code().to_ascii_lowercase().replace('_', "-");
        Self {
            r#type: format!("https://postrider.dev/problems/{kind}"),
            title: reason.title(),
            status: reason.http_status(),
            detail: problem.detail,
            code: reason.code(),
            errors: problem
                .fields
                .into_iter()
                .map(|violation| FieldError {
                    field: violation.field,
                    message: violation.message,
                })
                .collect(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let reason = self.0.reason;
        let retry_after = self.0.retry_after;
        let status =
            StatusCode::from_u16(reason.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::warn!(
                code = reason.code(),
                detail = self.0.detail,
                "a call was refused"
            );
        }
        let body = serde_json::to_vec(&ProblemDocument::from(self.0)).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        let problem_json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem_json);
        if let Some(wait) = retry_after {
            headers.insert(header::RETRY_AFTER, wait.as_secs().max(1).into());
        }
        if reason == Reason::KeyInvalid {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// What every handler answers.
pub(super) type Answer<T> = Result<T, Refusal>;

//! A [`Problem`] as a gRPC status with `google.rpc` details, and back.

use std::time::Duration;

use domain::{FieldViolation, Problem, Reason};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::v1;

/// `ErrorInfo.domain` of every error.
pub const ERROR_DOMAIN: &str = "postrider.dev";

/// The gRPC code of a reason.
#[must_use]
pub const fn code(reason: Reason) -> Code {
    match reason {
        Reason::KeyInvalid => Code::Unauthenticated,
        Reason::ScopeInsufficient => Code::PermissionDenied,
        Reason::AccountNotFound
        | Reason::EndpointNotFound
        | Reason::EventNotFound
        | Reason::DeliveryNotFound
        | Reason::ReplayNotFound
        | Reason::ErasureNotFound
        | Reason::AttemptNotFound
        | Reason::KeyNotFound => Code::NotFound,
        Reason::RouteNotFound | Reason::MethodNotAllowed => Code::Unimplemented,
        Reason::IdempotencyConflict | Reason::EventTypeExists => Code::AlreadyExists,
        Reason::EndpointDisabled
        | Reason::EndpointUnverified
        | Reason::BodyExpired
        | Reason::QuotaExceeded => Code::FailedPrecondition,
        Reason::Conflict => Code::Aborted,
        Reason::RateLimited => Code::ResourceExhausted,
        Reason::Internal => Code::Internal,
        Reason::BrokerUnavailable
        | Reason::DatabaseUnavailable
        | Reason::HistoryUnavailable
        | Reason::IngestUnavailable => Code::Unavailable,
        Reason::JsonMalformed
        | Reason::RequestMalformed
        | Reason::AccountInvalid
        | Reason::IdMalformed
        | Reason::PageTokenInvalid
        | Reason::ObjectTooLarge
        | Reason::RequestTooLarge
        | Reason::MediaTypeUnsupported
        | Reason::FieldInvalid
        | Reason::EventTypeInvalid
        | Reason::EventTypeUnknown
        | Reason::ObjectInvalid
        | Reason::UrlInvalid => Code::InvalidArgument,
    }
}

/// The status that says it: code, the detail as message, `ErrorInfo` with the
/// reason, `BadRequest` for fields, `RetryInfo` for advice on when to repeat.
#[must_use]
pub fn from_problem(problem: &Problem) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(problem.reason.code(), ERROR_DOMAIN, []);
    for violation in &problem.fields {
        details.add_bad_request_violation(&violation.field, &violation.message);
    }
    if let Some(wait) = problem.retry_after {
        details.set_retry_info(Some(wait));
    }
    Status::with_error_details(code(problem.reason), &problem.detail, details)
}

/// The problem that a status says. One without our `ErrorInfo` did not come
/// from a role: `unavailable` if it could not be reached or was too slow, else
/// [`Reason::Internal`].
#[must_use]
pub fn to_problem(status: &Status, unavailable: Reason) -> Problem {
    let details = status.get_error_details();
    let reason = details
        .error_info()
        .filter(|info| info.domain == ERROR_DOMAIN)
        .and_then(|info| Reason::from_code(&info.reason));
    let Some(reason) = reason else {
        return foreign(status, unavailable);
    };
    let mut problem = Problem::new(reason, status.message());
    if let Some(bad_request) = details.bad_request() {
        problem.fields = bad_request
            .field_violations
            .iter()
            .map(|violation| FieldViolation::new(&violation.field, &violation.description))
            .collect();
    }
    problem.retry_after = details.retry_info().and_then(|info| info.retry_delay);
    problem
}

/// What a call is refused with whose message never reached a role: the library
/// says `OUT_OF_RANGE` of one that is too large and `INTERNAL` of one that is
/// not protobuf. `None` if that is not what `status` says.
#[must_use]
pub fn unread(status: &Status) -> Option<Status> {
    if !status.details().is_empty() {
        return None;
    }
    let (reason, detail) = match status.code() {
        Code::OutOfRange => (
            Reason::RequestTooLarge,
            "the message is larger than may be sent at once; send less",
        ),
        Code::Internal => (
            Reason::RequestMalformed,
            "the message cannot be read; send what the .proto file describes",
        ),
        _ => return None,
    };
    Some(from_problem(&Problem::new(reason, detail)))
}

/// Whether a call ended without a role's answer, so that what it asked for may
/// have been done or not.
///
/// A status with a source was made by the library on this side, whatever its
/// code: a call that is begun while the server closes its connection in good
/// order ends as `INTERNAL` here, though the server never saw it.
#[must_use]
pub fn unanswered(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
        || matches!(
            status.code(),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
        )
}

fn foreign(status: &Status, unavailable: Reason) -> Problem {
    if unanswered(status) {
        let detail = format!("{}; repeat the call in a moment", unavailable.title());
        Problem::new(unavailable, detail).retry_after(Duration::from_secs(1))
    } else {
        let detail = "an inner call failed; repeat it, and report it if it stays";
        Problem::new(Reason::Internal, detail)
    }
}

/// The problem of one item of a batch or stream.
impl From<&Problem> for v1::PublishError {
    fn from(problem: &Problem) -> Self {
        let seconds = problem.retry_after.map_or(0, |wait| wait.as_secs().max(1));
        Self {
            grpc_code: i32::from(code(problem.reason)),
            code: problem.reason.code().to_owned(),
            message: problem.detail.clone(),
            errors: problem
                .fields
                .iter()
                .map(|violation| v1::FieldError {
                    field: violation.field.clone(),
                    message: violation.message.clone(),
                })
                .collect(),
            retry_after_seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
        }
    }
}

/// What an item's error said, the other way round.
impl From<v1::PublishError> for Problem {
    fn from(error: v1::PublishError) -> Self {
        let seconds = u64::from(error.retry_after_seconds);
        Self {
            reason: Reason::from_code(&error.code).unwrap_or(Reason::Internal),
            detail: error.message,
            fields: error
                .errors
                .into_iter()
                .map(|field| FieldViolation::new(&field.field, field.message))
                .collect(),
            retry_after: (seconds > 0).then(|| Duration::from_secs(seconds)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_survives_its_status() {
        for reason in Reason::ALL {
            let problem =
                Problem::of_field(*reason, "url", "use https").retry_after(Duration::from_secs(3));
            let status = from_problem(&problem);
            assert_eq!(status.code(), code(*reason));
            assert_eq!(to_problem(&status, Reason::Internal), problem);
            assert_eq!(Problem::from(v1::PublishError::from(&problem)), problem);
        }
    }

    #[test]
    fn a_message_that_cannot_be_read_is_the_callers_fault() {
        for (status, code) in [
            (Status::out_of_range("too large"), "REQUEST_TOO_LARGE"),
            (Status::internal("no protobuf"), "REQUEST_MALFORMED"),
        ] {
            let said = unread(&status).map(|status| {
                let details = status.get_error_details();
                let reason = details.error_info().map(|info| info.reason.clone());
                (status.code(), reason)
            });
            assert_eq!(said, Some((Code::InvalidArgument, Some(code.to_owned()))));
        }
        let ours = from_problem(&Problem::new(Reason::Internal, "a fault"));
        assert!(unread(&ours).is_none());
        assert!(unread(&Status::unavailable("away")).is_none());
    }

    #[test]
    fn a_foreign_status_is_an_outage_or_our_fault() {
        let problem = to_problem(
            &Status::unavailable("tcp connect error"),
            Reason::HistoryUnavailable,
        );
        assert_eq!(problem.reason, Reason::HistoryUnavailable);
        assert!(problem.retry_after.is_some());
        let problem = to_problem(&Status::data_loss("?"), Reason::HistoryUnavailable);
        assert_eq!(problem.reason, Reason::Internal);
        let mut closing = Status::internal("h2 protocol error");
        closing.set_source(std::sync::Arc::new(std::io::Error::other("go away")));
        let problem = to_problem(&closing, Reason::HistoryUnavailable);
        assert_eq!(problem.reason, Reason::HistoryUnavailable);
    }
}

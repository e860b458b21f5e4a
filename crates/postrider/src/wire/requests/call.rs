//! A gRPC call, until its status is known.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime};

use axum::body::{Body, Bytes};
use domain::TraceContext;
use http_body::{Frame, SizeHint};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;
use telemetry::trace::{self, Kind, Parent};
use tonic::{Code, Status};

/// A call under way.
#[derive(Debug)]
pub(super) struct Call {
    /// `package.Service/Method`, as the caller wrote it.
    pub(super) method: String,
    pub(super) context: TraceContext,
    pub(super) caller: Option<TraceContext>,
    pub(super) begun: Instant,
    pub(super) begun_at: SystemTime,
    pub(super) durations: Histogram<f64>,
    /// What the role told of it.
    pub(super) noted: Vec<KeyValue>,
}

impl Call {
    pub(super) fn end(self, code: Code) {
        let method = match code {
            // There may be no such method, and callers can invent more.
            Code::Unimplemented => "_OTHER".to_owned(),
            _ => self.method,
        };
        let labels = [
            KeyValue::new("rpc.method", method.clone()),
            KeyValue::new("rpc.response.status_code", name(code)),
        ];
        let duration = self.begun.elapsed().as_secs_f64();
        self.durations.record(duration, &labels);
        // Probes come every few seconds and tell nothing that the duration
        // does not.
        if method.starts_with("grpc.") {
            return;
        }
        let parent = Parent::caller(self.caller.as_ref());
        let (context, begun) = (&self.context, self.begun_at);
        trace::record(
            context,
            parent,
            Kind::Server,
            method.clone(),
            begun,
            |span| {
                span.set("rpc.system.name", "grpc")
                    .set("rpc.method", method)
                    .set("rpc.response.status_code", name(code))
                    .extend(self.noted);
                if is_our_fault(code) {
                    span.fail(name(code));
                }
            },
        );
    }
}

/// The codes that the conventions call errors of a server.
const fn is_our_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// An answer that tells how its call ended. One that is dropped before was
/// cancelled.
#[derive(Debug)]
pub(super) struct Watched {
    inner: Body,
    call: Option<Call>,
}

impl Watched {
    pub(super) fn body(inner: Body, call: Call) -> Body {
        Body::new(Self {
            inner,
            call: Some(call),
        })
    }

    fn end(&mut self, code: Code) {
        if let Some(call) = self.call.take() {
            call.end(code);
        }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    let status = Status::from_header_map(trailers);
                    self.end(status.map_or(Code::Unknown, |status| status.code()));
                }
            }
            Some(Err(_)) => self.end(Code::Unknown),
            None => self.end(Code::Ok),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

//! Reads what a caller still sends when its answer is known already, e.g. that
//! the body is too large. Many clients look for an answer only after they have
//! sent everything: were the connection closed, they would see a broken pipe.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody as _};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// What is longer, or takes longer, is cut off.
const MAX_BYTES: usize = 64 << 20;
const PATIENCE: Duration = Duration::from_secs(5);

/// A middleware: answers when the body has been read, by the handler or here.
pub(super) async fn read_the_rest(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    // Who asks first sends nothing unless the handler reads.
    let asks_first = request.headers().contains_key(header::EXPECT);
    let (back, mut returned) = oneshot::channel();
    let lend = |body: Body| {
        Body::from_stream(Lent {
            body: Some(body.into_data_stream()),
            asked_for: !asks_first,
            back: Some(back),
        })
    };
    let response = next.run(request.map(lend)).await;
    if let Ok(rest) = returned.try_recv() {
        // It has its answer either way.
        let _ = timeout(PATIENCE, discard(rest)).await;
    }
    response
}

async fn discard(mut rest: BodyDataStream) {
    let mut left = MAX_BYTES;
    while let Some(Ok(part)) = rest.next().await {
        let Some(less) = left.checked_sub(part.len()) else {
            return;
        };
        left = less;
    }
}

/// A body that comes back when it is dropped before its end.
struct Lent {
    body: Option<BodyDataStream>,
    /// Whether the caller sends it.
    asked_for: bool,
    back: Option<oneshot::Sender<BodyDataStream>>,
}

impl Stream for Lent {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.asked_for = true;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let part = ready!(body.poll_next_unpin(context));
        if !matches!(part, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(part)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(back), true) = (self.body.take(), self.back.take(), self.asked_for)
        {
            // Nobody waits for it if the call was abandoned.
            let _ = back.send(body);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use futures::stream;
    use tower::ServiceExt as _;

    use super::*;

    const PART: usize = 1 << 20;

    /// A body of so many MiB, and how many were read of it.
    fn body(parts: usize) -> (Body, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let parts = stream::iter(0..parts).map(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from(vec![0; PART]))
        });
        (Body::from_stream(parts), read)
    }

    async fn refuse(request: Request) -> StatusCode {
        let mut body = request.into_body().into_data_stream();
        body.next().await;
        StatusCode::PAYLOAD_TOO_LARGE
    }

    async fn ignore() -> StatusCode {
        StatusCode::UNAUTHORIZED
    }

    async fn call(path: &str, body: Body, expect: bool) {
        let router = Router::new()
            .route("/refuse", post(refuse))
            .route("/ignore", post(ignore))
            .layer(from_fn(read_the_rest));
        let mut request = Request::post(path).body(body).unwrap();
        if expect {
            let value = axum::http::HeaderValue::from_static("100-continue");
            request.headers_mut().insert(header::EXPECT, value);
        }
        let answer = router.oneshot(request).await.unwrap();
        assert!(answer.status().is_client_error());
    }

    #[tokio::test]
    async fn what_a_handler_leaves_is_read_to_its_end() {
        for path in ["/refuse", "/ignore"] {
            let (body, read) = body(5);
            call(path, body, false).await;
            assert_eq!(read.load(Ordering::Relaxed), 5, "{path}");
        }
    }

    #[tokio::test]
    async fn a_body_without_an_end_is_cut_off() {
        let (body, read) = body(1_000);
        call("/refuse", body, false).await;
        assert!((60..70).contains(&read.load(Ordering::Relaxed)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_cut_off() {
        let stalled = stream::pending::<Result<Bytes, std::io::Error>>();
        call("/ignore", Body::from_stream(stalled), false).await;
    }

    #[tokio::test]
    async fn who_asks_first_is_not_told_to_send() {
        let (body, read) = body(5);
        call("/ignore", body, true).await;
        assert_eq!(read.load(Ordering::Relaxed), 0);
    }
}

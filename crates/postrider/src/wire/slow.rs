//! Callers that ask and do not take the answer: their connection is closed, so
//! that they cannot keep its place and what waits for them.
//!
//! There are two ways not to take it. The peer's TCP window is full:
//! [`Patience`] sees that where bytes are written. Or it takes bytes, but grants
//! an HTTP/2 stream no window: [`Offers`] sees that where bodies are read.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::http::Version;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

/// A peer that has something to read must read [`ENOUGH`] within this time.
const LIMIT: Duration = Duration::from_secs(30);
/// Less than this would be a way to seem busy for ever.
const ENOUGH: usize = 16 << 10;
/// As long may a stream that has something to send wait for its window.
const STREAM_LIMIT: Duration = Duration::from_secs(60);
/// What waits for windows is looked at that often.
const LOOK: Duration = Duration::from_secs(15);
/// A body is offered in parts, so that it shows when one is taken.
const PART: usize = 16 << 10;

/// How long is waited for a peer to take what is written.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// Since the peer's buffers are full: until when it is waited, and how much
    /// it has taken since.
    waits: Option<(Pin<Box<Sleep>>, usize)>,
    /// The last write found no room.
    is_full: bool,
}

impl Patience {
    /// The outcome of a write, or that the peer has taken too little for too
    /// long.
    pub(super) fn judge(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => {
                self.is_full = true;
                let limit = || (Box::pin(sleep(LIMIT)), 0);
                let (until, _) = self.waits.get_or_insert_with(limit);
                ready!(until.as_mut().poll(context));
                let text = "the peer does not read what it is sent";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)));
            }
            Poll::Ready(Ok(taken)) if self.is_full => {
                self.is_full = false;
                if let Some((_, sum)) = &mut self.waits {
                    *sum += taken;
                    if *sum >= ENOUGH {
                        self.waits = None;
                    }
                }
            }
            // It takes all there is.
            Poll::Ready(_) => self.waits = None,
        }
        written
    }
}

/// What the streams of a connection offer and their peer has not taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Offers(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    last: u64,
    since: HashMap<u64, Instant>,
}

impl Offers {
    /// The response, whose body is watched if its stream has a window of its own.
    pub(super) fn watch(&self, version: Version, response: Response) -> Response {
        match version {
            Version::HTTP_2 => response.map(|body| Body::new(Offered::new(self.clone(), body))),
            _ => response,
        }
    }

    /// Whether a stream has waited for too long.
    fn are_ignored(&self, now: Instant) -> bool {
        let open = self.lock();
        let mut waits = open.since.values();
        waits.any(|since| now.saturating_duration_since(*since) > STREAM_LIMIT)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at a connection's offers from time to time.
#[derive(Debug)]
pub(super) struct Look {
    offers: Offers,
    next: Pin<Box<Sleep>>,
}

impl Look {
    pub(super) fn new(offers: Offers) -> Self {
        Self {
            offers,
            next: Box::pin(sleep(LOOK)),
        }
    }

    pub(super) fn offers(&self) -> &Offers {
        &self.offers
    }

    /// Fails when a stream has waited for too long. Wakes whoever polls it at
    /// the next look.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.next.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            if self.offers.are_ignored(now) {
                let text = "the peer grants a stream no window";
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            self.next.as_mut().reset(now + LOOK);
        }
        Ok(())
    }
}

/// A body that notes when its reader does not come for more.
struct Offered {
    offers: Offers,
    id: u64,
    body: Body,
    /// What was read of `body` and not offered yet.
    rest: Bytes,
}

impl Offered {
    fn new(offers: Offers, body: Body) -> Self {
        let mut open = offers.lock();
        open.last += 1;
        let id = open.last;
        drop(open);
        let offered = Self {
            offers,
            id,
            body,
            rest: Bytes::new(),
        };
        // The head waits for nothing, but what follows it does.
        if !offered.is_end_stream() {
            offered.note();
        }
        offered
    }

    fn note(&self) {
        self.offers.lock().since.insert(self.id, Instant::now());
    }

    fn forget(&self) {
        self.offers.lock().since.remove(&self.id);
    }
}

impl http_body::Body for Offered {
    type Data = Bytes;
    type Error = axum::Error;

    /// The reader comes for more only when there is room for it.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.forget();
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let length = self.rest.len().min(PART);
        let part = self.rest.split_to(length);
        if !self.is_end_stream() {
            self.note();
        }
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::poll_fn;

    use http_body_util::BodyExt as _;

    use super::*;

    /// What a write comes to that would give `written`.
    async fn judged(patience: &mut Patience, written: Option<usize>) -> Poll<io::Result<usize>> {
        poll_fn(|context| {
            let written = written.map_or(Poll::Pending, |taken| Poll::Ready(Ok(taken)));
            Poll::Ready(patience.judge(written, context))
        })
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_or_next_to_nothing_is_given_up() {
        for taken in [0, 100] {
            let mut patience = Patience::default();
            let begun = Instant::now();
            while judged(&mut patience, None).await.is_pending() {
                tokio::time::advance(Duration::from_secs(1)).await;
                if taken > 0 {
                    assert!(judged(&mut patience, Some(taken)).await.is_ready());
                }
                assert!(begun.elapsed() < LIMIT * 2, "it has no end");
            }
            assert!(begun.elapsed() >= LIMIT);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_or_late_is_waited_for() {
        let mut patience = Patience::default();
        for _ in 0..200 {
            assert!(judged(&mut patience, None).await.is_pending());
            tokio::time::advance(LIMIT / 2).await;
            assert!(judged(&mut patience, Some(ENOUGH)).await.is_ready());
        }
        // Full once, then not again for long.
        assert!(judged(&mut patience, None).await.is_pending());
        assert!(judged(&mut patience, Some(1)).await.is_ready());
        assert!(judged(&mut patience, Some(1)).await.is_ready());
        tokio::time::advance(LIMIT * 2).await;
        assert!(judged(&mut patience, None).await.is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_left_waiting_is_seen_and_one_that_waits_for_us_is_not() {
        let offers = Offers::default();
        let ignored = |offers: &Offers| offers.are_ignored(Instant::now());
        let mut look = Look::new(offers.clone());
        let body = Body::from(vec![b'x'; 3 * PART - 1]);
        let response = offers.watch(Version::HTTP_2, Response::new(body));
        let mut body = response.into_body();
        assert_eq!(body.size_hint().exact(), Some(3 * PART as u64 - 1));
        for _ in 0..3 {
            tokio::time::advance(STREAM_LIMIT).await;
            assert!(!ignored(&offers));
            let part = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert!(part.len() <= PART);
        }
        assert!(body.is_end_stream());
        tokio::time::advance(STREAM_LIMIT * 2).await;
        assert!(!ignored(&offers), "all of it was taken");

        let endless = Body::from_stream(futures::stream::pending::<Result<Bytes, io::Error>>());
        let response = offers.watch(Version::HTTP_2, Response::new(endless));
        let mut endless = response.into_body();
        let waits = poll_fn(|context| Poll::Ready(Pin::new(&mut endless).poll_frame(context)));
        assert!(waits.await.is_pending());
        tokio::time::advance(STREAM_LIMIT * 2).await;
        assert!(!ignored(&offers), "it waits for us");

        let body = Body::from("never asked for");
        let response = offers.watch(Version::HTTP_2, Response::new(body));
        tokio::time::advance(STREAM_LIMIT * 2).await;
        assert!(
            poll_fn(|context| Poll::Ready(look.poll(context)))
                .await
                .is_err()
        );
        drop(response);
        assert!(!ignored(&offers));
    }
}

//! A customer's endpoint that answers as it is told and remembers what came.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::secrecy::plant;
use crate::wait::eventually;

/// One request that arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub at: Instant,
    /// How many this path was answering then, this one included.
    pub at_once: usize,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    /// A header's text, empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// What to answer to one request.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// The request header whose value is the body instead.
    pub echo: Option<&'static str>,
    pub delay: Duration,
}

impl Answer {
    /// `status` with a short body, at once.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let body = Bytes::from(format!("answered {status}"));
        Self {
            status,
            headers: Vec::new(),
            body,
            echo: None,
            delay: Duration::ZERO,
        }
    }

    /// 200 with the value of a request header, at once.
    #[must_use]
    pub fn echo(header: &'static str) -> Self {
        Self {
            echo: Some(header),
            ..Self::status(200)
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with another body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The same after a while.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

#[derive(Debug, Default)]
struct Memory {
    received: Mutex<Vec<Received>>,
    /// By path: answers to give in turn; the last one stays.
    scripts: Mutex<HashMap<String, Vec<Answer>>>,
    /// By path: requests that came and were not answered yet.
    under_way: Mutex<HashMap<String, usize>>,
    /// By path that is only counted: how often each event came.
    counts: Mutex<HashMap<String, HashMap<String, u32>>>,
}

impl Memory {
    fn remember(&self, received: Received) {
        let mut counts = self.counts.lock().expect("no panic holds it");
        if let Some(counts) = counts.get_mut(&received.path) {
            let id = received.header("webhook-id").to_owned();
            *counts.entry(id).or_default() += 1;
            return;
        }
        let mut all = self.received.lock().expect("no panic holds it");
        all.push(received);
    }
}

/// One of a path's requests that are under way.
struct UnderWay<'a> {
    memory: &'a Memory,
    path: &'a str,
}

impl<'a> UnderWay<'a> {
    /// Gives how many there are with it.
    fn begin(memory: &'a Memory, path: &'a str) -> (Self, usize) {
        let mut under_way = memory.under_way.lock().expect("no panic holds it");
        let count = under_way.entry(path.to_owned()).or_default();
        *count += 1;
        (Self { memory, path }, *count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut under_way = self.memory.under_way.lock().expect("no panic holds it");
        if let Some(count) = under_way.get_mut(self.path) {
            *count -= 1;
        }
    }
}

/// A server on loopback. Each path is an endpoint of its own and answers 200
/// unless told otherwise.
#[derive(Debug)]
pub struct Receiver {
    memory: Arc<Memory>,
    port: u16,
    _stop: DropGuard,
}

impl Receiver {
    /// Starts listening on a free port.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let memory = Arc::new(Memory::default());
        let app = Router::new().fallback(take).with_state(memory.clone());
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            axum::serve(listener, app)
                .with_graceful_shutdown(stopped)
                .await
        });
        Ok(Self {
            memory,
            port,
            _stop: stop.drop_guard(),
        })
    }

    /// The address of the endpoint `path` (without a slash).
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// From now on `path` gives these answers in turn, then the last one again
    /// and again.
    pub fn script(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        let mut answers: Vec<Answer> = answers.into_iter().collect();
        answers.reverse();
        let mut scripts = self.memory.scripts.lock().expect("no panic holds it");
        scripts.insert(format!("/{path}"), answers);
    }

    /// From now on `path` remembers only how often each event came, for those who
    /// send more than should be kept.
    pub fn only_count(&self, path: &str) {
        let mut counts = self.memory.counts.lock().expect("no panic holds it");
        counts.insert(format!("/{path}"), HashMap::new());
    }

    /// What `look` makes of how often each event has come to a path that is only
    /// counted; nothing comes meanwhile.
    pub fn counted<T>(&self, path: &str, look: impl FnOnce(&HashMap<String, u32>) -> T) -> T {
        let counts = self.memory.counts.lock().expect("no panic holds it");
        let none = HashMap::new();
        look(counts.get(&format!("/{path}")).unwrap_or(&none))
    }

    /// All that came to `path`, in order of arrival.
    #[must_use]
    pub fn received(&self, path: &str) -> Vec<Received> {
        let path = format!("/{path}");
        let received = self.memory.received.lock().expect("no panic holds it");
        received
            .iter()
            .filter(|one| one.path == path)
            .cloned()
            .collect()
    }

    /// Waits until `count` requests have come to `path`.
    ///
    /// # Errors
    ///
    /// When fewer came within `limit`.
    pub async fn wait_for(
        &self,
        path: &str,
        count: usize,
        limit: Duration,
    ) -> Result<Vec<Received>> {
        eventually(&format!("{count} requests at /{path}"), limit, || async {
            let received = self.received(path);
            ensure!(received.len() >= count, "{} came", received.len());
            Ok(received)
        })
        .await
    }
}

async fn take(State(memory): State<Arc<Memory>>, request: Request) -> Response {
    let at = Instant::now();
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let body = axum::body::to_bytes(body, 16 << 20)
        .await
        .unwrap_or_default();
    let answer = next_answer(&memory, &path);
    let (_under_way, at_once) = UnderWay::begin(&memory, &path);
    let echoed = answer.echo.and_then(|name| parts.headers.get(name));
    let echoed = echoed.map(|value| Bytes::copy_from_slice(value.as_bytes()));
    let received = Received {
        at,
        at_once,
        path: path.clone(),
        headers: parts.headers,
        body,
    };
    plant("a challenge", received.header("webhook-challenge"));
    for header in ["x-webhook-signature", "webhook-signature"] {
        let signatures = received.header(header).split(' ');
        signatures.for_each(|one| plant("a signature", one.trim_start_matches("v1,")));
    }
    memory.remember(received);
    tokio::time::sleep(answer.delay).await;
    let mut response = Response::builder()
        .status(StatusCode::from_u16(answer.status).expect("a test uses real status codes"));
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    response
        .body(Body::from(echoed.unwrap_or(answer.body)))
        .expect("a test uses real headers")
}

fn next_answer(memory: &Memory, path: &str) -> Answer {
    let mut scripts = memory.scripts.lock().expect("no panic holds it");
    match scripts.get_mut(path) {
        Some(answers) if answers.len() > 1 => answers.pop().expect("more than one"),
        Some(answers) => answers
            .last()
            .cloned()
            .unwrap_or_else(|| Answer::status(200)),
        None => Answer::status(200),
    }
}

//! A customer's server: it checks signatures and has its bad moments.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use domain::signature::{Secret, body_signature};
use tokio::net::TcpListener;

const SLOW: Duration = Duration::from_millis(800);
/// A flaky endpoint refuses every so many requests.
const REFUSES_EVERY: usize = 3;

/// How an endpoint answers what is signed rightly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    Well,
    Slow,
    Flaky,
}

/// By path: the secret, and how to answer.
pub(super) type Endpoints = HashMap<String, (Secret, Behaviour)>;

/// A server on loopback.
#[derive(Debug)]
pub(super) struct Receiver {
    listener: TcpListener,
    port: u16,
}

struct Shared {
    endpoints: Endpoints,
    requests: AtomicUsize,
}

impl Receiver {
    pub(super) async fn bind() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// The address of the endpoint `path`.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// Answers until it is dropped.
    pub(super) async fn serve(self, endpoints: Endpoints) -> Result<()> {
        let shared = Arc::new(Shared {
            endpoints,
            requests: AtomicUsize::new(0),
        });
        let app = Router::new().fallback(receive).with_state(shared);
        Ok(axum::serve(self.listener, app).await?)
    }
}

async fn receive(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let Some((secret, behaviour)) = shared.endpoints.get(uri.path()) else {
        return (StatusCode::NOT_FOUND, "no such endpoint\n".to_owned());
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let id = header("webhook-id").unwrap_or("-").to_owned();
    // A real receiver compares in constant time.
    if header("x-webhook-signature") != Some(body_signature(secret, &body).as_str()) {
        tracing::warn!(path = uri.path(), id, "demo: the signature is wrong");
        return (
            StatusCode::UNAUTHORIZED,
            "the signature is wrong\n".to_owned(),
        );
    }
    let number = shared.requests.fetch_add(1, Ordering::Relaxed);
    let status = match behaviour {
        Behaviour::Flaky if number.is_multiple_of(REFUSES_EVERY) => StatusCode::SERVICE_UNAVAILABLE,
        Behaviour::Slow => {
            tokio::time::sleep(SLOW).await;
            StatusCode::OK
        }
        _ => StatusCode::OK,
    };
    tracing::info!(
        path = uri.path(),
        id,
        status = status.as_u16(),
        "demo: received, signature good"
    );
    (status, format!("{status}\n"))
}

//! One exchange: a POST and its answer, within one deadline.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::attempt::MAX_RESPONSE_BODY_BYTES;
use domain::delivery_policy::MAX_TIMEOUT;
use domain::egress::Policy;
use domain::{AccountId, Failure, Headers};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::TokioTimer;
use resolver::Resolver;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::connect::{self, Connector, Way};
use super::failure;
use super::target::{Target, Targets};
use crate::request::recorded;

/// A connection that nothing used for so long is closed. Short, because every
/// host has connections of its own and the number of hosts has no bound.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// As many idle connections are kept to a host. Many endpoints may share one,
/// and each has up to 64 POSTs at once: with fewer, connections are made anew
/// all the time.
const MAX_IDLE_PER_HOST: usize = 512;

/// Largest response head, in bytes. A larger one is an invalid response, so
/// that what is recorded of an attempt has a bound.
const MAX_RESPONSE_HEAD_BYTES: usize = 65_536;

/// What the client may do.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) policy: Policy,
    pub(crate) way: Way,
    /// For the whole exchange: look-up, connection, request, response body;
    /// unless the endpoint has a timeout of its own.
    pub(crate) timeout: Duration,
    /// Connections and look-ups run here.
    pub(crate) tracker: TaskTracker,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    /// What was read of it, at most [`MAX_RESPONSE_BODY_BYTES`].
    pub(crate) body: Bytes,
    /// There was more.
    pub(crate) truncated: bool,
}

/// A POST and what became of it.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) duration: Duration,
    /// `None` if no response head came.
    pub(crate) answer: Option<Answer>,
    /// `None` for a 2xx whose body ended, or reached the size that is kept,
    /// in time.
    pub(crate) failure: Option<Failure>,
}

/// One client for all endpoints, with one pool of connections. HTTP/1.1 only:
/// a connection carries one exchange at a time, so what one endpoint does to
/// its connection is felt by nobody else.
#[derive(Clone)]
pub(crate) struct Client {
    shared: Door,
    /// Accounts for whose endpoints more is let through. A connection that was
    /// opened for one of them must not serve another account.
    own: Arc<HashMap<AccountId, Door>>,
    timeout: Duration,
}

/// What is let through, and the connections that were.
#[derive(Clone)]
struct Door {
    policy: Arc<Policy>,
    targets: Arc<Targets>,
    pool: legacy::Client<Connector, Full<Bytes>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("policy", &self.shared.policy)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client that trusts the system's root certificates, and those that are
    /// set.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub(crate) fn new(settings: Settings) -> Result<Self, connect::NoRoots> {
        let Settings {
            policy,
            way,
            timeout,
            tracker,
        } = settings;
        let roots = Arc::new(connect::roots(way.authorities.as_deref())?);
        let resolver = Resolver::new(tracker.clone(), &way.name_servers);
        let door = |policy: Policy| {
            let policy = Arc::new(policy);
            let connector = Connector::new(
                Arc::clone(&policy),
                resolver.clone(),
                Arc::clone(&roots),
                way.proxy.clone(),
                // The longest exchange there is: each has its own deadline too.
                timeout.max(MAX_TIMEOUT),
            );
            let pool = legacy::Client::builder(Tracked(tracker.clone()))
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE_TIMEOUT)
                .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
                .http1_max_buf_size(MAX_RESPONSE_HEAD_BYTES)
                .build(connector);
            Door {
                policy,
                targets: Arc::default(),
                pool,
            }
        };
        let accounts = policy.accounts.keys();
        let own = accounts.map(|account| (account.clone(), door(policy.of_account(account))));
        Ok(Self {
            own: Arc::new(own.collect()),
            shared: door(policy),
            timeout,
        })
    }

    /// The deployment's timeout, for endpoints without one of their own.
    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Where `url` leads an endpoint of `account`.
    pub(crate) fn target(&self, account: &AccountId, url: &str) -> Arc<Target> {
        let door = self.door(account);
        door.targets.of(url, &door.policy)
    }

    fn door(&self, account: &AccountId) -> &Door {
        self.own.get(account).unwrap_or(&self.shared)
    }

    /// Posts `body` to a target of `account` with exactly these headers. Never
    /// follows a redirect. Ends within `timeout`, whatever the other side does.
    pub(crate) async fn post(
        &self,
        account: &AccountId,
        target: &Target,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Exchange {
        let started = Instant::now();
        let (answer, failure) = match &target.uri {
            Ok(uri) => {
                let request = request(uri.clone(), headers, body);
                self.door(account).exchange(request, started, timeout).await
            }
            Err(failure) => (None, Some(failure.clone())),
        };
        Exchange {
            duration: started.elapsed(),
            answer,
            failure,
        }
    }
}

impl Door {
    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        started: Instant,
        timeout: Duration,
    ) -> (Option<Answer>, Option<Failure>) {
        let deadline = started + timeout;
        let response = tokio::time::timeout_at(deadline, self.pool.request(request)).await;
        let response = match response {
            Err(_) => return (None, Some(failure::timed_out(timeout, None))),
            Ok(Err(error)) => return (None, Some(failure::of_request(&error, timeout))),
            Ok(Ok(response)) => response,
        };
        let status = response.status().as_u16();
        if head_bytes(response.headers()) > MAX_RESPONSE_HEAD_BYTES {
            let failure = failure::for_status(status).unwrap_or_else(failure::head_too_large);
            let answer = Answer {
                status,
                headers: Headers::default(),
                body: Bytes::new(),
                truncated: true,
            };
            return (Some(answer), Some(failure));
        }
        let headers = recorded(response.headers());
        let mut body = Body::default();
        let read = tokio::time::timeout_at(deadline, body.read(response)).await;
        let failure = match read {
            Err(_) => Some(failure::timed_out(timeout, Some(status))),
            Ok(Err(error)) => Some(failure::of_connection(&error)),
            Ok(Ok(())) => None,
        };
        let answer = Answer {
            status,
            headers,
            body: body.kept.freeze(),
            truncated: body.truncated,
        };
        // A bad status says more than what befell the body behind it.
        (Some(answer), failure::for_status(status).or(failure))
    }
}

fn request(uri: Uri, headers: HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}

/// What the headers take on the wire. The connection's buffer bounds them too,
/// but only about.
fn head_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum()
}

/// A response body as far as it is kept.
#[derive(Debug, Default)]
struct Body {
    kept: BytesMut,
    truncated: bool,
}

impl Body {
    /// Reads to the end, or until there is more than is kept. Leaving the rest
    /// unread closes the connection.
    async fn read(&mut self, mut response: Response<Incoming>) -> Result<(), hyper::Error> {
        while let Some(frame) = response.body_mut().frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            let room = MAX_RESPONSE_BODY_BYTES - self.kept.len();
            self.kept.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                self.truncated = true;
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Runs the pool's connections where somebody waits for their end.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, connection: F) {
        self.0.spawn(connection);
    }
}

//! The client against servers that behave, and servers that do not.

#![allow(clippy::unwrap_used)]

mod guard;
mod names;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::egress::Policy;
use domain::{AccountId, FailureClass};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::{Client, Exchange, Settings, Way};

const TIMEOUT: Duration = Duration::from_millis(600);

fn client(policy: Policy) -> Client {
    let settings = Settings {
        policy,
        way: Way::default(),
        timeout: TIMEOUT,
        tracker: TaskTracker::new(),
    };
    Client::new(settings).unwrap()
}

fn local() -> Client {
    client(Policy {
        allow_http: true,
        allow_loopback: true,
        ..Policy::default()
    })
}

async fn post(client: &Client, url: &str) -> Exchange {
    let body = Bytes::from_static(b"{\"n\":1}");
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("example.com"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let started = Instant::now();
    let account = AccountId::parse("acme").unwrap();
    let target = client.target(&account, url);
    let exchange = client.post(&account, &target, headers, body, TIMEOUT).await;
    assert!(
        started.elapsed() < TIMEOUT * 2,
        "took {:?}",
        started.elapsed()
    );
    exchange
}

fn class(exchange: &Exchange) -> Option<FailureClass> {
    exchange.failure.as_ref().map(|failure| failure.class)
}

/// A server on loopback that reads each connection's first request and then
/// does as it is told. Stops when dropped.
struct Server {
    port: u16,
    _accepting: JoinSet<()>,
}

impl Server {
    async fn start<F, W>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> W + Send + 'static,
        W: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream));
            }
        });
        Self {
            port,
            _accepting: accepting,
        }
    }

    /// Writes `answer` and closes.
    async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::start(move |mut stream| {
            let answer = Arc::clone(&answer);
            async move {
                read_request(&mut stream).await?;
                stream.write_all(&answer).await?;
                stream.shutdown().await
            }
        })
        .await
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }
}

/// Reads up to the end of the body that [`post`] sends.
async fn read_request(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"{\"n\":1}") {
        let mut buffer = [0; 4_096];
        match stream.read(&mut buffer).await? {
            0 => break,
            count => request.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(String::from_utf8(request).unwrap())
}

#[tokio::test]
async fn a_2xx_within_the_timeout_succeeds() {
    let server =
        Server::answering("HTTP/1.1 201 Created\r\nX-A: 1\r\ncontent-length: 2\r\n\r\nok").await;
    let exchange = post(&local(), &server.url()).await;
    assert_eq!(exchange.failure, None);
    let answer = exchange.answer.unwrap();
    assert_eq!(
        (answer.status, &answer.body[..], answer.truncated),
        (201, &b"ok"[..], false)
    );
    assert!(answer.headers.iter().any(|header| header == ("x-a", b"1")));
}

#[tokio::test]
async fn the_request_has_the_given_headers_only() {
    let (sender, mut received) = tokio::sync::mpsc::channel(1);
    let server = Server::start(move |mut stream| {
        let sender = sender.clone();
        async move {
            sender.send(read_request(&mut stream).await?).await.unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await
        }
    })
    .await;
    let exchange = post(&local(), &format!("{}?q=1", server.url())).await;
    assert_eq!(exchange.failure, None);
    let expected =
        "POST /hook?q=1 HTTP/1.1\r\nhost: example.com\r\ncontent-length: 7\r\n\r\n{\"n\":1}";
    assert_eq!(received.recv().await.unwrap(), expected);
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let (sender, mut received) = tokio::sync::mpsc::channel(4);
    let server = Server::start(move |mut stream| {
        let sender = sender.clone();
        async move {
            sender.send(()).await.unwrap();
            while !read_request(&mut stream).await?.is_empty() {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    .await?;
            }
            Ok(())
        }
    })
    .await;
    let client = local();
    for _ in 0..3 {
        assert_eq!(post(&client, &server.url()).await.failure, None);
    }
    received.recv().await.unwrap();
    assert!(
        received.try_recv().is_err(),
        "a second connection was opened"
    );
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_not_followed() {
    let (sender, mut followed) = tokio::sync::mpsc::channel(1);
    let target = Server::start(move |_| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(()).await;
            Ok(())
        }
    })
    .await;
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        target.url()
    );
    let server = Server::answering(answer).await;
    let exchange = post(&local(), &server.url()).await;
    assert_eq!(class(&exchange), Some(FailureClass::HttpStatus));
    assert_eq!(exchange.answer.unwrap().status, 307);
    assert!(followed.try_recv().is_err());
}

#[tokio::test]
async fn no_answer_ends_at_the_timeout_and_closes_the_connection() {
    let (sender, mut closed) = tokio::sync::mpsc::channel(1);
    let server = Server::start(move |mut stream| {
        let sender = sender.clone();
        async move {
            read_request(&mut stream).await?;
            let _ = stream.read(&mut [0; 1]).await;
            let _ = sender.send(()).await;
            Ok(())
        }
    })
    .await;
    let exchange = post(&local(), &server.url()).await;
    assert_eq!(class(&exchange), Some(FailureClass::Timeout));
    assert_eq!(exchange.answer, None);
    assert!(exchange.duration >= TIMEOUT);
    tokio::time::timeout(TIMEOUT, closed.recv())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn an_exchange_may_have_a_timeout_of_its_own() {
    let server = Server::start(move |mut stream| async move {
        read_request(&mut stream).await?;
        stream.read(&mut [0; 1]).await.map(drop)
    })
    .await;
    for timeout in [TIMEOUT / 3, TIMEOUT * 2] {
        let client = local();
        let account = AccountId::parse("acme").unwrap();
        let target = client.target(&account, &server.url());
        let body = Bytes::from_static(b"{\"n\":1}");
        let exchange = client.post(&account, &target, HeaderMap::new(), body, timeout);
        let exchange = exchange.await;
        assert_eq!(class(&exchange), Some(FailureClass::Timeout));
        let range = timeout..timeout + TIMEOUT;
        assert!(range.contains(&exchange.duration), "{exchange:?}");
    }
}

#[tokio::test]
async fn a_body_that_trickles_or_never_ends_is_a_timeout() {
    for chunk in [&b""[..], b"1\r\na\r\n"] {
        let server = Server::start(move |mut stream| async move {
            read_request(&mut stream).await?;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
                .await?;
            loop {
                stream.write_all(chunk).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let exchange = post(&local(), &server.url()).await;
        assert_eq!(class(&exchange), Some(FailureClass::Timeout));
        let answer = exchange.answer.unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.body.starts_with(b"ok"), "what came is kept");
    }
}

#[tokio::test]
async fn endless_interim_responses_are_a_timeout() {
    let server = Server::start(|mut stream| async move {
        read_request(&mut stream).await?;
        loop {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
    })
    .await;
    let exchange = post(&local(), &server.url()).await;
    assert_eq!(class(&exchange), Some(FailureClass::Timeout));
}

#[tokio::test]
async fn a_long_body_is_cut_and_the_connection_closed() {
    let (sender, mut closed) = tokio::sync::mpsc::channel(1);
    let server = Server::start(move |mut stream| {
        let sender = sender.clone();
        async move {
            read_request(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            while stream.write_all(&[b'x'; 8_192]).await.is_ok() {}
            let _ = sender.send(()).await;
            Ok(())
        }
    })
    .await;
    let exchange = post(&local(), &server.url()).await;
    assert_eq!(exchange.failure, None);
    let answer = exchange.answer.unwrap();
    assert!(answer.truncated && answer.body.len() == 65_536);
    tokio::time::timeout(TIMEOUT, closed.recv())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_body_of_just_the_limit_is_whole() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 65536\r\n\r\n";
    let server = Server::answering([head.as_bytes(), &[b'x'; 65_536]].concat()).await;
    let answer = post(&local(), &server.url()).await.answer.unwrap();
    assert!(!answer.truncated && answer.body.len() == 65_536);
}

#[tokio::test]
async fn a_body_is_not_decompressed() {
    let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f";
    let server = Server::answering([head.as_bytes(), b"\x8b\x08\x00"].concat()).await;
    let exchange = post(&local(), &server.url()).await;
    assert_eq!(exchange.failure, None);
    assert_eq!(&exchange.answer.unwrap().body[..], b"\x1f\x8b\x08\x00");
}

#[tokio::test]
async fn what_is_not_http_is_an_invalid_response() {
    let large = format!(
        "HTTP/1.1 200 OK\r\nx-large: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-many: 1\r\n".repeat(200));
    let bad_chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n";
    for answer in [
        "220 mail.example.com ESMTP\r\n",
        &large,
        &many,
        "\0\u{1}\u{2}\r\n\r\n",
        bad_chunk,
    ] {
        let server = Server::answering(answer).await;
        let exchange = post(&local(), &server.url()).await;
        let start: String = answer.chars().take(60).collect();
        assert_eq!(
            class(&exchange),
            Some(FailureClass::ResponseInvalid),
            "{start:?}: {exchange:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_connect_failure() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    for answer in ["", "HTTP/1.1 200 O", cut] {
        let server = Server::answering(answer).await;
        let exchange = post(&local(), &server.url()).await;
        assert_eq!(
            class(&exchange),
            Some(FailureClass::Connect),
            "{answer:?}: {exchange:?}"
        );
    }
    let reset = Server::start(|mut stream| async move {
        read_request(&mut stream).await?;
        stream.set_zero_linger()
    })
    .await;
    let exchange = post(&local(), &reset.url()).await;
    assert_eq!(class(&exchange), Some(FailureClass::Connect));
}

#[tokio::test]
async fn a_refused_connection_is_a_connect_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let exchange = post(&local(), &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(class(&exchange), Some(FailureClass::Connect));
    assert!(exchange.failure.unwrap().message.contains("refused"));
}

#[tokio::test]
async fn a_name_without_address_is_a_dns_failure() {
    let exchange = post(&local(), "http://nowhere.example.invalid/").await;
    assert_eq!(class(&exchange), Some(FailureClass::Dns));
}

#[tokio::test]
async fn tls_with_a_server_that_has_none_is_a_tls_failure() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
        let answer = answer.to_owned();
        let server = Server::start(move |mut stream| {
            let answer = answer.clone();
            async move {
                let _hello = stream.read(&mut [0; 4_096]).await?;
                stream.write_all(answer.as_bytes()).await
            }
        })
        .await;
        let exchange = post(&local(), &format!("https://127.0.0.1:{}/", server.port)).await;
        assert_eq!(class(&exchange), Some(FailureClass::Tls), "{exchange:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_hangs_is_a_timeout() {
    let server = Server::start(|stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    let exchange = post(&local(), &format!("https://127.0.0.1:{}/", server.port)).await;
    assert_eq!(class(&exchange), Some(FailureClass::Timeout));
}

#[tokio::test]
async fn private_addresses_are_denied_however_they_are_written() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let guarded = client(Policy {
        allow_http: true,
        ..Policy::default()
    });
    for host in [
        "127.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "2130706433",
        "0x7f.1",
        "017700000001",
        "127.1",
        "0",
        "10.0.0.1",
        "169.254.169.254",
        "localhost",
    ] {
        let exchange = post(&guarded, &format!("http://{host}:{}/", server.port)).await;
        assert_eq!(class(&exchange), Some(FailureClass::EgressDenied), "{host}");
        assert_eq!(exchange.answer, None);
    }
}

#[tokio::test]
async fn plain_http_is_denied_where_it_is_not_allowed() {
    let exchange = post(&client(Policy::default()), "http://example.com/").await;
    assert_eq!(class(&exchange), Some(FailureClass::EgressDenied));
}

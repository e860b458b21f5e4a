//! The sink's HTTP/1.1 server: as little as there can be between the socket
//! and the log.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::header::RETRY_AFTER;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::log::Log;
use crate::payload;

/// Listens on a free port, which it returns.
///
/// # Errors
///
/// When no port can be had.
pub(super) async fn start(log: Arc<Log>) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    // Both kinds of task end with the process.
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            // Without it small answers wait for the other side's ack.
            let _ = stream.set_nodelay(true);
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let service = service_fn(|request| take(&log, request));
                let connection = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                // A client that leaves is no event here.
                drop(connection);
            });
        }
    });
    Ok(port)
}

async fn take(log: &Log, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let (number, sent_ns) = payload::read(&body);
    let answer = log.note(head.uri.path(), number, sent_ns);
    let mut response = Response::new(Empty::new());
    let Some(answer) = answer else {
        return Ok(response);
    };
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    *response.status_mut() = hyper::StatusCode::from_u16(answer.status).unwrap_or_default();
    if let Some(seconds) = answer.retry_after(number) {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

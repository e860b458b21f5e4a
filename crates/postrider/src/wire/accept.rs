//! Accepting connections: so many at once, TLS where it is set, and a limit on
//! how long a handshake may take.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use proto::metadata::Peer;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use super::slow::{Look, Offers, Patience};
use crate::tls::Current;

/// Who has not finished its handshake by then is gone.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// After a failure to accept, e.g. when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(200);
/// Connections that are ready and not served yet.
const READY: usize = 64;

/// The settings of the next handshake; `None`: plain text.
pub(super) type Tls = Box<dyn Fn() -> Option<Arc<ServerConfig>> + Send + Sync>;

/// What every HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    /// HTTP of any version.
    Http,
    /// HTTP/2 from the first byte on: who does not begin in time is gone.
    Http2,
}

/// No TLS.
pub(super) fn plain() -> Tls {
    Box::new(|| None)
}

/// The settings that hold when a connection is made.
pub(super) fn secure(
    current: watch::Receiver<Current>,
    pick: fn(&Current) -> Option<Arc<ServerConfig>>,
) -> Tls {
    Box::new(move || pick(&current.borrow()))
}

/// Connections that are ready to be served.
pub(super) type Incoming = mpsc::Receiver<Connection>;

/// The connections of one or more listeners, `most` at once: the next ones wait
/// in the system's queue. Runs on `tasks` until `stop` is cancelled.
pub(super) fn accept(
    listeners: Vec<(TcpListener, Tls)>,
    speaks: Speaks,
    most: usize,
    stop: &CancellationToken,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> Incoming {
    let (ready, incoming) = mpsc::channel(READY);
    let room = Arc::new(Semaphore::new(most));
    for (listener, tls) in listeners {
        let door = Door {
            listener,
            tls,
            speaks,
            room: Arc::clone(&room),
            ready: ready.clone(),
        };
        let stop = stop.clone();
        tasks.spawn(async move {
            door.run(&stop).await;
            // A server ends when it is asked to, with its doors.
            Ok(())
        });
    }
    incoming
}

struct Door {
    listener: TcpListener,
    tls: Tls,
    speaks: Speaks,
    room: Arc<Semaphore>,
    ready: mpsc::Sender<Connection>,
}

impl Door {
    async fn run(self, stop: &CancellationToken) {
        let mut handshakes = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.next() => accepted,
                Some(_) = handshakes.join_next() => continue,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer, permit)) => {
                    // Only costs latency if it fails.
                    let _ = stream.set_nodelay(true);
                    let guest = Guest {
                        stream,
                        peer,
                        permit,
                    };
                    let (config, ready) = ((self.tls)(), self.ready.clone());
                    handshakes.spawn(guest.enter(config, self.speaks, ready));
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// The next connection, once there is room for one.
    async fn next(&self) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.room).acquire_owned().await;
        let permit = permit.map_err(io::Error::other)?;
        let (stream, peer) = self.listener.accept().await?;
        Ok((stream, peer, permit))
    }
}

/// A connection that has said nothing yet.
struct Guest {
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
}

impl Guest {
    async fn enter(
        self,
        config: Option<Arc<ServerConfig>>,
        speaks: Speaks,
        ready: mpsc::Sender<Connection>,
    ) {
        let peer = self.peer;
        match timeout(HANDSHAKE, self.shake_hands(config, speaks)).await {
            // Nobody serves it any more at a shutdown.
            Ok(Ok(connection)) => drop(ready.send(connection).await),
            Ok(Err(error)) => debug!(%error, %peer, "a connection did not begin well"),
            Err(_) => debug!(%peer, "a connection did not begin in time"),
        }
    }

    async fn shake_hands(
        self,
        config: Option<Arc<ServerConfig>>,
        speaks: Speaks,
    ) -> io::Result<Connection> {
        let mut io = match config {
            None => Either::Left(self.stream),
            Some(config) => Either::Right(TlsAcceptor::from(config).accept(self.stream).await?),
        };
        let mut begun = Bytes::new();
        if speaks == Speaks::Http2 {
            let mut preface = [0; PREFACE.len()];
            io.read_exact(&mut preface).await?;
            if preface != *PREFACE {
                return Err(io::Error::other("it does not speak HTTP/2"));
            }
            begun = Bytes::from_static(PREFACE);
        }
        Ok(Connection {
            io,
            begun,
            peer: self.peer,
            patience: Patience::default(),
            look: Look::new(Offers::default()),
            _permit: self.permit,
        })
    }
}

/// A connection that takes its place until it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    io: Either<TcpStream, TlsStream<TcpStream>>,
    /// What has been read already.
    begun: Bytes,
    peer: SocketAddr,
    patience: Patience,
    look: Look,
    _permit: OwnedSemaphorePermit,
}

/// What a request is told of its connection.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) peer: Peer,
    pub(super) offers: Offers,
}

impl Connected for Connection {
    type ConnectInfo = Line;

    fn connect_info(&self) -> Line {
        Line {
            peer: Peer(self.peer.ip().to_canonical()),
            offers: self.look.offers().clone(),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.begun.is_empty() {
            let length = self.begun.len().min(buffer.remaining());
            buffer.put_slice(&self.begun.split_to(length));
            return Poll::Ready(Ok(()));
        }
        // Whoever has something to read is asked again and again.
        self.look.poll(context)?;
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.io).poll_write(context, bytes);
        this.patience.judge(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.io).poll_write_vectored(context, slices);
        this.patience.judge(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match Pin::new(&mut this.io).poll_flush(context) {
            // Only TLS holds anything back.
            Poll::Pending => {
                let full = this.patience.judge(Poll::Pending, context);
                full.map(|judged| judged.map(drop))
            }
            flushed => flushed,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

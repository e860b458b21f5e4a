//! Callers that ask for much and read nothing of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use harness::deployment::{Deployment, Mode};
use harness::suite::Scenario;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

const CONNECTIONS: usize = 4;
/// A stream that is granted no window is seen within 75 s.
const LIMIT: Duration = Duration::from_secs(90);

const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![who_does_not_read_loses_its_place]
}

async fn who_does_not_read_loses_its_place(mode: Mode) -> Result<()> {
    let most = CONNECTIONS.to_string();
    let settings = [("POSTRIDER_MAX_CONNECTIONS", most.as_str())];
    let deployment = Deployment::start(mode, &settings).await?;
    let (http, grpc) = (deployment.http(), deployment.grpc("ingest"));
    let http = http.strip_prefix("http://").context("an address")?;
    let grpc = grpc.strip_prefix("http://").context("an address")?;
    let rest = windowless(http, &get("/openapi.json", http)).await?;
    let call = windowless(grpc, &health_check(grpc)).await?;
    // Room for one more would be room for who calls next.
    let mut deaf = Vec::new();
    for _ in 1..CONNECTIONS {
        deaf.push(ask_and_read_nothing(http).await?);
    }

    let begun = Instant::now();
    let answered = async {
        let path = "/v1/event-types";
        while deployment.api().get(path).await.is_err() {
            ensure!(begun.elapsed() < LIMIT, "nobody makes room");
        }
        let waited = begun.elapsed();
        ensure!(waited > Duration::from_secs(15), "there was room at once");
        Ok(())
    };
    // Closed, not left to the peer: the rest of the answer never comes.
    let closed = try_join_all([rest, call].map(until_closed));
    let (answered, closed) = tokio::join!(answered, closed);
    answered?;
    for stayed in closed? {
        ensure!(stayed > Duration::from_secs(50), "closed after {stayed:?}");
    }
    deployment.all_running()
}

/// Asks for some 14 MB over HTTP/1.1.
async fn ask_and_read_nothing(address: &str) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4_096)?;
    let mut stream = socket.connect(address.parse()?).await?;
    let request = format!("GET /openapi.json HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.repeat(100).as_bytes()).await?;
    Ok(stream)
}

/// A connection of HTTP/2 whose streams have no window, with one request.
async fn windowless(address: &str, request: &[u8]) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let mut begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE: 0.
    begin.extend(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    begin.extend(request);
    stream.write_all(&begin).await?;
    Ok(stream)
}

fn get(path: &str, authority: &str) -> Vec<u8> {
    // HPACK: :method GET, :scheme http, then literals.
    let mut block = vec![0x82, 0x86];
    block.extend(literal(4, path));
    block.extend(literal(1, authority));
    // END_HEADERS, END_STREAM.
    frame(1, 0x4 | 0x1, 1, &block)
}

fn health_check(authority: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    block.extend(literal(4, "/grpc.health.v1.Health/Check"));
    block.extend(literal(1, authority));
    block.extend(literal(31, "application/grpc"));
    let mut request = frame(1, 0x4, 1, &block);
    // An empty message.
    request.extend(frame(0, 0x1, 1, &[0; 5]));
    request
}

/// A header whose name is at this place of HPACK's table, without indexing.
fn literal(name: u8, value: &str) -> Vec<u8> {
    // Fifteen and more begin a second byte.
    let mut field = match name {
        0..15 => vec![name],
        _ => vec![15, name - 15],
    };
    field.push(u8::try_from(value.len()).expect("a short value"));
    field.extend(value.as_bytes());
    field
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short frame");
    let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
    frame.extend(payload);
    frame
}

/// Answers what a polite client answers, until it is closed; how long that took.
async fn until_closed(mut stream: TcpStream) -> Result<Duration> {
    let begun = Instant::now();
    let mut is_answered = false;
    let answering = async {
        loop {
            let mut head = [0; 9];
            // Reset or ended, it is closed.
            if stream.read_exact(&mut head).await.is_err() {
                return Ok(begun.elapsed());
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length)?];
            stream.read_exact(&mut payload).await?;
            match (head[3], head[4]) {
                (SETTINGS, 0) => stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await?,
                (PING, 0) => stream.write_all(&frame(PING, ACK, 0, &payload)).await?,
                (0, _) => ensure!(payload.is_empty(), "bytes came without a window"),
                (1, _) => is_answered = true,
                _ => {}
            }
        }
    };
    match timeout(LIMIT, answering).await {
        Ok(closed) => {
            let stayed = closed?;
            ensure!(is_answered, "closed before there was an answer");
            Ok(stayed)
        }
        Err(_) => bail!("it may stay, though it takes nothing"),
    }
}

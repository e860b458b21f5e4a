//! Customers' servers that do what they can to their sender.

use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a hostile server does once it has a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// The head says 200 and the body flows for ever.
    EndlessBody,
    /// The head says 200 and the body comes a byte every 200 ms.
    TricklingBody,
    /// A 200 with a body of 50 MB.
    LargeBody,
    /// The head never ends.
    EndlessHead,
    /// `100 Continue`, again and again.
    EndlessInterim,
    /// The connection is reset in the middle of the body.
    Reset,
    /// Nothing is ever said, not even TLS's own words: for an https URL.
    Silent,
}

/// A server on loopback that stops when it is dropped.
#[derive(Debug)]
pub struct Hostile {
    port: u16,
    _accepting: JoinSet<()>,
}

impl Hostile {
    /// Starts listening on a free port.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub async fn start(behaviour: Behaviour) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // It ends when the sender has had enough.
                connections.spawn(serve(stream, behaviour));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            port,
            _accepting: accepting,
        })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}/hook", self.port)
    }
}

async fn serve(mut stream: TcpStream, behaviour: Behaviour) -> std::io::Result<()> {
    let mut request = [0; 16_384];
    if stream.read(&mut request).await? == 0 {
        return Ok(());
    }
    let begin = b"HTTP/1.1 200 OK\r\n";
    let block = [b'x'; 65_536];
    match behaviour {
        Behaviour::Silent => loop {
            if stream.read(&mut request).await? == 0 {
                return Ok(());
            }
        },
        Behaviour::EndlessBody => {
            stream.write_all(begin).await?;
            stream.write_all(b"connection: close\r\n\r\n").await?;
            loop {
                stream.write_all(&block).await?;
            }
        }
        Behaviour::TricklingBody => {
            stream.write_all(begin).await?;
            stream.write_all(b"content-length: 1000000\r\n\r\n").await?;
            loop {
                stream.write_all(b"x").await?;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        Behaviour::LargeBody => {
            stream.write_all(begin).await?;
            stream
                .write_all(b"content-length: 52428800\r\n\r\n")
                .await?;
            for _ in 0..800 {
                stream.write_all(&block).await?;
            }
        }
        Behaviour::EndlessHead => {
            stream.write_all(begin).await?;
            for number in 0_u64.. {
                let header = format!("x-{number}: {}\r\n", "y".repeat(1_000));
                stream.write_all(header.as_bytes()).await?;
            }
        }
        Behaviour::EndlessInterim => loop {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        },
        Behaviour::Reset => {
            stream.write_all(begin).await?;
            stream.write_all(b"content-length: 1000\r\n\r\nxxx").await?;
            stream.flush().await?;
            stream.set_zero_linger()?;
        }
    }
    Ok(())
}

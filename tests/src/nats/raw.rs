//! NATS as text: what any client can see and do, without one.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(10);

/// A connection of its own.
#[derive(Debug)]
pub struct Raw {
    socket: BufReader<TcpStream>,
    /// Where answers come to, and those of no other connection.
    inbox: String,
}

/// A message as it stands in a stream.
#[derive(Debug, Clone)]
pub struct Found {
    pub stream: String,
    pub subject: String,
    pub sequence: u64,
    /// Headers and payload.
    pub bytes: Vec<u8>,
}

impl Found {
    /// Whether a text stands anywhere in it, its subject included.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        holds(&self.bytes) || holds(self.subject.as_bytes())
    }
}

impl Raw {
    /// Connects to `host:port`, as a user if one is needed.
    ///
    /// # Errors
    ///
    /// When there is no server.
    pub async fn connect(address: &str, user: Option<(&str, &str)>) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        let mut raw = Self {
            inbox: format!("raw.{}", socket.local_addr()?.port()),
            socket: BufReader::new(socket),
        };
        let mut options = json!({"verbose": false});
        if let Some((user, password)) = user {
            options["user"] = json!(user);
            options["pass"] = json!(password);
        }
        let hello = format!("CONNECT {options}\r\nSUB {} 1\r\n", raw.inbox);
        raw.socket.write_all(hello.as_bytes()).await?;
        Ok(raw)
    }

    /// Calls JetStream's API.
    ///
    /// # Errors
    ///
    /// When there is no answer within 10 s.
    pub async fn ask(&mut self, call: &str, request: &Value) -> Result<Value> {
        let payload = request.to_string();
        let length = payload.len();
        let inbox = &self.inbox;
        let text = format!("PUB $JS.API.{call} {inbox} {length}\r\n{payload}\r\n");
        self.socket.write_all(text.as_bytes()).await?;
        let answer = timeout(LIMIT, self.answer()).await;
        answer.with_context(|| format!("{call}: no answer"))?
    }

    async fn answer(&mut self) -> Result<Value> {
        loop {
            let mut line = String::new();
            ensure!(
                self.socket.read_line(&mut line).await? > 0,
                "nats-server has hung up"
            );
            if line.starts_with("PING") {
                self.socket.write_all(b"PONG\r\n").await?;
            }
            ensure!(!line.starts_with("-ERR"), "nats-server says {line}");
            if !line.starts_with("MSG") {
                continue;
            }
            let length: usize = line
                .split_whitespace()
                .last()
                .context("a length")?
                .parse()?;
            let mut payload = vec![0; length + 2];
            self.socket.read_exact(&mut payload).await?;
            return Ok(serde_json::from_slice(&payload[..length])?);
        }
    }

    /// Every message of every stream, those of key-value buckets among them.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn everything(&mut self) -> Result<Vec<Found>> {
        let names = self.ask("STREAM.NAMES", &json!({})).await?;
        let names = names["streams"].as_array().context("streams")?.clone();
        let mut found = Vec::new();
        for name in names {
            let name = name.as_str().context("a name")?;
            found.append(&mut self.stream(name).await?);
        }
        Ok(found)
    }

    /// Every message of a stream.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn stream(&mut self, stream: &str) -> Result<Vec<Found>> {
        let (mut found, mut next) = (Vec::new(), 1);
        loop {
            let request = json!({"seq": next, "next_by_subj": ">"});
            let answer = self
                .ask(&format!("STREAM.MSG.GET.{stream}"), &request)
                .await?;
            let message = &answer["message"];
            let Some(sequence) = message["seq"].as_u64() else {
                // 10037: no message found.
                ensure!(answer["error"]["err_code"] == 10_037, "{answer}");
                return Ok(found);
            };
            let decode = |name: &str| STANDARD.decode(message[name].as_str().unwrap_or_default());
            let mut bytes = decode("hdrs")?;
            bytes.append(&mut decode("data")?);
            found.push(Found {
                stream: stream.to_owned(),
                subject: message["subject"].as_str().unwrap_or_default().to_owned(),
                sequence,
                bytes,
            });
            next = sequence + 1;
        }
    }

    /// Removes what stands under a subject of a stream.
    ///
    /// # Errors
    ///
    /// When the server does not do it.
    pub async fn purge(&mut self, stream: &str, subject: &str) -> Result<u64> {
        let request = json!({"filter": subject});
        let answer = self
            .ask(&format!("STREAM.PURGE.{stream}"), &request)
            .await?;
        answer["purged"]
            .as_u64()
            .with_context(|| answer.to_string())
    }
}

//! A nats-server of the test's own.

pub mod raw;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::ports::free_port;
use crate::process::Process;
use crate::repository;
use crate::wait::eventually;

/// The users of `deploy/nats/users.conf`.
const USERS: [&str; 7] = [
    "ingest",
    "fanout",
    "dispatcher",
    "history",
    "control",
    "migrate",
    "operator",
];

/// The password that the tests give to a user.
#[must_use]
pub fn password(user: &str) -> String {
    format!("test{user}")
}

/// The variables in which nats-server looks for them.
pub fn passwords() -> impl Iterator<Item = (String, String)> {
    USERS.iter().map(|user| {
        let variable = format!("NATS_{}_PASSWORD", user.to_uppercase());
        (variable, password(user))
    })
}

/// Puts beside a configuration what it includes, as it is deployed: limits, and
/// users with permissions.
///
/// # Errors
///
/// When a file cannot be copied.
pub fn copy_deployed(dir: &Path) -> Result<()> {
    for name in ["common.conf", "users.conf"] {
        std::fs::copy(repository().join("deploy/nats").join(name), dir.join(name))?;
    }
    Ok(())
}

/// One nats-server with JetStream; its port and store outlive restarts.
#[derive(Debug)]
pub struct Nats {
    dir: PathBuf,
    port: u16,
    process: Option<Process>,
}

impl Nats {
    /// Prepares a server under `dir`; [`Nats::start`] starts it. `sync` is how
    /// often it syncs to disk: `always` or a duration such as `1s`.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be written.
    pub fn new(dir: &Path, sync: &str) -> Result<Self> {
        Self::with(dir, sync, "")
    }

    /// The same, with further lines of configuration.
    ///
    /// # Errors
    ///
    /// As [`Nats::new`].
    pub fn with(dir: &Path, sync: &str, further: &str) -> Result<Self> {
        let port = free_port();
        let dir = dir.to_owned();
        let config = format!(
            "server_name: test\nlisten: \"127.0.0.1:{port}\"\n\
             jetstream {{ store_dir: {:?}, sync_interval: {sync:?} }}\n\
             include common.conf\n{further}\n",
            dir.join("jetstream")
        );
        copy_deployed(&dir)?;
        std::fs::write(dir.join("nats.conf"), config)?;
        Ok(Self {
            dir,
            port,
            process: None,
        })
    }

    /// The address clients connect to. Who they are they must say themselves.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its process id.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn id(&self) -> Result<u32> {
        let process = self.process.as_ref();
        Ok(process.context("nats-server does not run")?.id())
    }

    /// Starts the server, on the same port and store each time.
    ///
    /// # Errors
    ///
    /// When it cannot be started or does not listen within 10 s.
    pub async fn start(&mut self) -> Result<()> {
        let program =
            std::env::var_os("POSTRIDER_NATS_SERVER").unwrap_or_else(|| "nats-server".into());
        let mut command = Command::new(program);
        command.arg("--config").arg(self.dir.join("nats.conf"));
        command.envs(passwords());
        self.process = Some(Process::start("nats", command, &self.dir)?);
        let address = ("127.0.0.1", self.port);
        eventually(
            "nats-server listens",
            Duration::from_secs(10),
            || async move {
                TcpStream::connect(address).await?;
                Ok(())
            },
        )
        .await
    }

    /// How many messages a stream holds on these subjects (wildcards allowed).
    /// The protocol is text, so no client is needed.
    ///
    /// # Errors
    ///
    /// When the server does not answer within 10 s, or has no such stream.
    pub async fn messages(&self, stream: &str, subjects: &str) -> Result<u64> {
        let ask = async {
            let socket = TcpStream::connect(("127.0.0.1", self.port)).await?;
            let mut connection = BufReader::new(socket);
            let payload = format!(r#"{{"subjects_filter":"{subjects}"}}"#);
            let length = payload.len();
            let password = password("operator");
            let request = format!(
                "CONNECT {{\"verbose\":false,\"user\":\"operator\",\"pass\":\"{password}\"}}\r\n\
                 SUB answer 1\r\n\
                 PUB $JS.API.STREAM.INFO.{stream} answer {length}\r\n{payload}\r\n"
            );
            connection.write_all(request.as_bytes()).await?;
            let mut line = String::new();
            while !line.starts_with('{') {
                line.clear();
                let read = connection.read_line(&mut line).await?;
                ensure!(read > 0, "nats-server has hung up");
            }
            Ok(serde_json::from_str::<Value>(&line)?)
        };
        let limit = Duration::from_secs(10);
        let info = timeout(limit, ask).await.context("no answer")??;
        ensure!(info["error"].is_null(), "{info}");
        let counts = info["state"]["subjects"].as_object();
        let counts = counts.into_iter().flatten();
        Ok(counts.filter_map(|(_, count)| count.as_u64()).sum())
    }

    /// Kills the server (SIGKILL).
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.process
            .take()
            .context("nats-server does not run")?
            .kill()
    }
}

//! A customer's server: a process of its own, in a folder of its own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::ports::free_port;
use harness::process::Process;
use harness::wait::eventually;
use reqwest::header::HeaderMap;
use tempfile::TempDir;
use tokio::net::TcpStream;

#[derive(Debug, Clone, Copy)]
pub(super) enum Language {
    Node,
    Python,
}

impl Language {
    pub(super) const ALL: [Self; 2] = [Self::Node, Self::Python];

    fn program(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Python => "python3",
        }
    }

    fn ending(self) -> &'static str {
        match self {
            Self::Node => "mjs",
            Self::Python => "py",
        }
    }
}

/// Answers 204 to what it takes for genuine, else 401.
pub(super) struct Server {
    process: Process,
    port: u16,
    // The last field: its folder goes when nothing uses it any more.
    _dir: TempDir,
}

impl Server {
    /// With the README's verifier and nothing else but the standard library.
    pub(super) async fn by_the_readme(language: Language, port: u16, secret: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let ending = language.ending();
        let verifier = format!("verify.{ending}");
        let code = harness::readme_block(&format!("file: {verifier}"))?;
        std::fs::write(dir.path().join(&verifier), code)?;
        let script = dir.path().join(format!("receiver.{ending}"));
        std::fs::copy(customers().join(format!("receiver.{ending}")), &script)?;
        Self::start(language, &script, port, secret, dir).await
    }

    /// With the Standard Webhooks project's library.
    pub(super) async fn by_the_library(language: Language, secret: &str) -> Result<Self> {
        let script = customers().join(format!("standard.{}", language.ending()));
        Self::start(language, &script, free_port(), secret, tempfile::tempdir()?).await
    }

    async fn start(
        language: Language,
        script: &Path,
        port: u16,
        secret: &str,
        dir: TempDir,
    ) -> Result<Self> {
        let mut command = Command::new(language.program());
        command
            .arg(script)
            .env("PORT", port.to_string())
            .env("WEBHOOK_SECRET", secret);
        // Leaves nothing in the source tree.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let process = Process::start("customer", command, dir.path())?;
        let server = Self {
            process,
            port,
            _dir: dir,
        };
        let listens = eventually(
            "the customer's server listens",
            Duration::from_secs(15),
            || async {
                TcpStream::connect(("127.0.0.1", port)).await?;
                Ok(())
            },
        );
        listens.await.with_context(|| server.log())?;
        Ok(server)
    }

    /// Sends a request like a delivery; the answer's status.
    pub(super) async fn post(&self, headers: &HeaderMap, body: &[u8]) -> Result<u16> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()?;
        let mut headers = headers.clone();
        for own in ["host", "content-length"] {
            headers.remove(own);
        }
        let url = format!("http://127.0.0.1:{}/hook", self.port);
        let sent = client
            .post(url)
            .headers(headers)
            .body(body.to_vec())
            .send()
            .await;
        Ok(sent.with_context(|| self.log())?.status().as_u16())
    }

    /// The end of what it printed.
    pub(super) fn log(&self) -> String {
        self.process.tail()
    }
}

fn customers() -> std::path::PathBuf {
    harness::repository().join("tests/customers")
}

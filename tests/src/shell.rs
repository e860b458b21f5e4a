//! Client commands, as they are typed into a shell.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::deployment::{Deployment, binary};

/// A command that was started; it is killed when dropped.
#[derive(Debug)]
pub struct Shell {
    arguments: String,
    child: Child,
    /// Of what it prints.
    dir: TempDir,
}

/// What a command printed until its end.
#[derive(Debug)]
pub struct Told {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Shell {
    /// Starts `postrider` with these arguments and the first admin key.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn start(deployment: &Deployment, arguments: &[&str]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let child = Command::new(binary()?)
            .args(arguments)
            .env("POSTRIDER_URL", deployment.http())
            .env("POSTRIDER_KEY", deployment.api().key())
            .stdin(Stdio::null())
            .stdout(File::create(dir.path().join("stdout"))?)
            .stderr(File::create(dir.path().join("stderr"))?)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self {
            arguments: arguments.join(" "),
            child,
            dir,
        })
    }

    /// What it has printed on stdout.
    ///
    /// # Errors
    ///
    /// When it is not text.
    pub fn stdout(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.dir.path().join("stdout"))?)
    }

    /// What it has printed on stderr.
    ///
    /// # Errors
    ///
    /// When it is not text.
    pub fn stderr(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.dir.path().join("stderr"))?)
    }

    /// Presses Ctrl-C.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn interrupt(&self) -> Result<()> {
        let id = self.child.id().context("it has ended")?;
        let id = Pid::from_raw(i32::try_from(id)?).context("a process id is not 0")?;
        Ok(kill_process(id, Signal::INT)?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When it does not end within `limit`.
    pub async fn ended(mut self, limit: Duration) -> Result<Told> {
        let status = timeout(limit, self.child.wait()).await;
        let status = status.with_context(|| format!("{} does not end", self.arguments))??;
        Ok(Told {
            code: status.code(),
            stdout: self.stdout()?,
            stderr: self.stderr()?,
        })
    }
}

/// Runs a command to its end.
///
/// # Errors
///
/// When it takes longer than 30 s.
pub async fn run(deployment: &Deployment, arguments: &[&str]) -> Result<Told> {
    let shell = Shell::start(deployment, arguments)?;
    shell.ended(Duration::from_secs(30)).await
}

/// Runs a command that must succeed, and gives what it printed.
///
/// # Errors
///
/// When it exits with another code than 0.
pub async fn succeed(deployment: &Deployment, arguments: &[&str]) -> Result<String> {
    let told = run(deployment, arguments).await?;
    ensure!(told.code == Some(0), "{arguments:?}: {told:?}");
    Ok(told.stdout)
}

/// The same with `--json`.
///
/// # Errors
///
/// As [`succeed`], and when no JSON is printed.
pub async fn json(deployment: &Deployment, arguments: &[&str]) -> Result<Value> {
    let told = succeed(deployment, &[arguments, &["--json"]].concat()).await?;
    serde_json::from_str(&told).with_context(|| format!("{arguments:?}: {told}"))
}

//! The sink: all endpoints of a run, in a process of its own. A line on its
//! standard input is a command, a line on its standard output the answer.

mod log;
mod server;

use std::io::BufRead as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

pub(crate) use log::{Answer, Arrival, Arrivals};

/// The hidden subcommand under which the program becomes the sink.
pub(crate) const SUBCOMMAND: &str = "internal-sink";

/// Longest time the sink may take for a command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// A running sink, killed when dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    port: u16,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Sink {
    /// Starts one on a free port.
    ///
    /// # Errors
    ///
    /// When the process cannot be started.
    pub(crate) async fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(SUBCOMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().context("its input is a pipe")?;
        let output = child.stdout.take().context("its output is a pipe")?;
        let mut sink = Self {
            port: 0,
            input,
            output: BufReader::new(output).lines(),
            _child: child,
        };
        sink.port = sink.line().await?.parse()?;
        Ok(sink)
    }

    /// The address of an endpoint; the path's first part is its group.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// From now on the group gives this answer instead of 200 at once.
    ///
    /// # Errors
    ///
    /// When the sink is gone.
    pub(crate) async fn answer(&mut self, group: &str, answer: Answer) -> Result<()> {
        let Answer {
            status,
            delay,
            retry_at,
        } = answer;
        let (at, spread) = retry_at.unwrap_or_default();
        let command = format!(
            "answer {group} {status} {} {at} {spread}",
            delay.as_millis()
        );
        self.command(&command).await?;
        Ok(())
    }

    /// Requests that came since the last reset.
    ///
    /// # Errors
    ///
    /// When the sink is gone.
    pub(crate) async fn count(&mut self, group: &str) -> Result<usize> {
        Ok(self.command(&format!("count {group}")).await?.parse()?)
    }

    /// Forgets what came.
    ///
    /// # Errors
    ///
    /// When the sink is gone.
    pub(crate) async fn reset(&mut self) -> Result<()> {
        self.command("reset").await?;
        Ok(())
    }

    /// All that came since the last reset, in order.
    ///
    /// # Errors
    ///
    /// When the sink is gone or its file cannot be read.
    pub(crate) async fn arrivals(&mut self) -> Result<Arrivals> {
        let file = tempfile::NamedTempFile::new()?;
        let path = file.path().to_str().context("a plain path")?;
        self.command(&format!("write {path}")).await?;
        Arrivals::read(file.path())
    }

    async fn command(&mut self, command: &str) -> Result<String> {
        self.input
            .write_all(format!("{command}\n").as_bytes())
            .await?;
        self.line().await
    }

    async fn line(&mut self) -> Result<String> {
        let line = tokio::time::timeout(COMMAND_TIMEOUT, self.output.next_line()).await??;
        line.context("the sink has ended")
    }
}

/// The sink's own process, until its input ends.
///
/// # Errors
///
/// When it cannot listen.
#[expect(clippy::print_stdout, reason = "the answers to commands")]
pub(crate) fn main() -> Result<()> {
    let log = Arc::new(log::Log::default());
    let runtime = tokio::runtime::Runtime::new()?;
    let port = runtime.block_on(server::start(Arc::clone(&log)))?;
    println!("{port}");
    for line in std::io::stdin().lock().lines() {
        let answer = obey(&log, &line?)?;
        println!("{answer}");
    }
    // Requests that hang are not waited for.
    runtime.shutdown_background();
    Ok(())
}

fn obey(log: &log::Log, command: &str) -> Result<String> {
    let words: Vec<&str> = command.split(' ').collect();
    match words[..] {
        ["answer", group, status, delay, at, spread] => {
            let answer = Answer {
                status: status.parse()?,
                delay: Duration::from_millis(delay.parse()?),
                retry_at: Some((at.parse()?, spread.parse()?)).filter(|(at, _)| *at > 0),
            };
            log.set_answer(group, answer);
        }
        ["count", group] => return Ok(log.count(group).to_string()),
        ["reset"] => log.reset(),
        ["write", path] => log.write(path.as_ref())?,
        _ => ensure!(false, "the sink does not know `{command}`"),
    }
    Ok("done".to_owned())
}

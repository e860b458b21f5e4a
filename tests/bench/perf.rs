//! `perf record` on the server's processes.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::report::output_dir;

/// A running `perf record` for each process.
#[derive(Debug)]
pub(crate) struct Perf {
    recorders: Vec<(Child, PathBuf)>,
}

impl Perf {
    /// Starts one for each process; of PostgreSQL for the children too.
    ///
    /// # Errors
    ///
    /// When `perf` is not installed.
    pub(crate) fn start(name: &str, ids: &[(String, u32)]) -> Result<Self> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let mut recorders = Vec::new();
        for (process, id) in ids {
            let file = output_dir()?.join(format!("{}-{name}-{process}.perf", now.as_secs()));
            let mut command = Command::new("perf");
            command.args(["record", "-g", "--freq=499", "--quiet", "--output"]);
            command.arg(&file).arg("--pid").arg(family(*id));
            let child = command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .context("start perf")?;
            recorders.push((child, file));
        }
        Ok(Self { recorders })
    }

    /// Ends the recordings; where they are.
    ///
    /// # Errors
    ///
    /// When one cannot be ended.
    pub(crate) fn stop(mut self) -> Result<Vec<PathBuf>> {
        for (child, _) in &self.recorders {
            let id = Pid::from_raw(i32::try_from(child.id())?).context("a process id is not 0")?;
            // It writes its file then.
            let _ = kill_process(id, Signal::INT);
        }
        let started = Instant::now();
        for (child, _) in &mut self.recorders {
            while child.try_wait()?.is_none() && started.elapsed() < Duration::from_secs(30) {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(self.recorders.drain(..).map(|(_, file)| file).collect())
    }
}

impl Drop for Perf {
    fn drop(&mut self) {
        for (child, _) in &mut self.recorders {
            // Nothing can be done about a failure here.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A process and its children, separated by commas.
fn family(id: u32) -> String {
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let ids = children.unwrap_or_default();
    let ids = ids.split_whitespace().map(str::to_owned);
    std::iter::once(id.to_string())
        .chain(ids)
        .collect::<Vec<_>>()
        .join(",")
}

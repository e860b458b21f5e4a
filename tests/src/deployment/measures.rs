//! One process of a deployment: stopped, gone on, and looked at from outside.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::Deployment;

impl Deployment {
    /// Sends a signal to a process, e.g. to stop it and to let it go on.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        let processes = self.processes.lock().expect("no panic holds it");
        let process = processes.get(name);
        let process = process.with_context(|| format!("{name} does not run"))?;
        process.signal(signal)
    }

    /// The memory a process has in use, in bytes; `nats-server` and `postgres`
    /// can be named too.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub async fn resident_bytes(&self, name: &str) -> Result<u64> {
        let ids = self.process_ids().await?;
        let id = ids.iter().find(|(one, _)| one == name).map(|(_, id)| *id);
        let id = id.with_context(|| format!("{name} does not run"))?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        let kilobytes: u64 = kilobytes.context("its memory")?.parse()?;
        Ok(kilobytes * 1_024)
    }

    /// A counter or gauge of a process, its series added up; 0 if there is none.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn metric(&self, process: &str, name: &str) -> Result<f64> {
        let answer = reqwest::get(format!("{}/metrics", self.admin(process))).await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        let text = answer.text().await?;
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            // Another metric's name may begin with this one.
            rest.starts_with(['{', ' '])
                .then(|| rest.rsplit(' ').next())?
        });
        values.map(|value| Ok(value.parse::<f64>()?)).sum()
    }

    /// How many messages each subject of a stream holds, as nats-server counts
    /// them. Only with a nats-server of its own.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn messages(&self, stream: &str, subjects: &str) -> Result<u64> {
        let nats = self.nats.lock().await;
        let nats = nats.as_ref().context("there is no separate nats-server")?;
        nats.messages(stream, subjects).await
    }
}

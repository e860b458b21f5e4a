//! nats-server and PostgreSQL beneath a deployment, away and back.

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal};

use super::{Deployment, Mode};

impl Deployment {
    /// The supervised or separate nats-server: killed (SIGKILL).
    ///
    /// # Errors
    ///
    /// When it is not found.
    pub async fn kill_nats(&self) -> Result<()> {
        if self.mode == Mode::Processes {
            return self
                .nats
                .lock()
                .await
                .as_mut()
                .context("it was started")?
                .kill();
        }
        let id = self.supervised_nats()?;
        rustix::process::kill_process(id, Signal::KILL)?;
        Ok(())
    }

    /// Sends a signal to nats-server, e.g. to stop and continue it.
    ///
    /// # Errors
    ///
    /// When it is not found.
    pub async fn signal_nats(&self, signal: Signal) -> Result<()> {
        let ids = self.process_ids().await?;
        let nats = ids.iter().find(|(name, _)| name == "nats-server");
        let (_, id) = nats.context("nats-server runs")?;
        let id = Pid::from_raw(i32::try_from(*id)?).context("a process id is not 0")?;
        rustix::process::kill_process(id, signal)?;
        Ok(())
    }

    /// Starts the separate nats-server again; the supervised one comes back by
    /// itself.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start_nats(&self) -> Result<()> {
        if let Some(nats) = self.nats.lock().await.as_mut() {
            nats.start().await?;
        }
        Ok(())
    }

    /// Stops PostgreSQL as a crash would.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn stop_database(&self) -> Result<()> {
        self.postgres
            .lock()
            .await
            .as_mut()
            .context("there is no PostgreSQL")?
            .stop()
    }

    /// Starts PostgreSQL again.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start_database(&self) -> Result<()> {
        self.postgres
            .lock()
            .await
            .as_mut()
            .context("there is no PostgreSQL")?
            .start()
            .await
    }

    /// The child of standalone.
    pub(super) fn supervised_nats(&self) -> Result<rustix::process::Pid> {
        let parent = {
            let processes = self.processes.lock().expect("no panic holds it");
            processes
                .get("standalone")
                .context("standalone does not run")?
                .id()
        };
        let mut children = Vec::new();
        for task in std::fs::read_dir(format!("/proc/{parent}/task"))? {
            let text = std::fs::read_to_string(task?.path().join("children"))?;
            children.extend(text.split_whitespace().map(str::to_owned));
        }
        ensure!(
            children.len() == 1,
            "standalone has the children {children:?}"
        );
        rustix::process::Pid::from_raw(children[0].parse()?).context("a process id is not 0")
    }
}

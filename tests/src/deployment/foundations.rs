//! nats-server and PostgreSQL beneath a deployment, away and back.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal};

use super::{ADMIN_KEY, Deployment, MASTER_KEY, Mode, binary, secured};
use crate::cluster::NODES;
use crate::manifest;
use crate::nats::raw::Raw;
use crate::nats::{Nats, password};

impl Deployment {
    pub(super) async fn start_foundations(&self) -> Result<()> {
        let mut postgres = self.new_postgres().await?;
        if let Some(certificates) = &self.ground.certificates {
            postgres.secure(certificates)?;
        }
        postgres.start().await?;
        *self.postgres.lock().await = Some(postgres);
        match &self.overlay {
            Some(_) => self.start_cluster().await?,
            None => {
                // Standalone hands it to its own nats-server.
                let settings = self.settings();
                let sync = settings.get("POSTRIDER_NATS_SYNC");
                let sync = sync.map_or("always", String::as_str);
                let further = self.ground.certificates.as_deref().map(secured::nats);
                let mut nats = Nats::with(self.dir.path(), sync, &further.unwrap_or_default())?;
                nats.start().await?;
                *self.nats.lock().await = Some(nats);
            }
        }
        self.migrate(&[]).await?;
        Ok(())
    }

    /// Runs `postrider migrate` with these arguments; what it printed.
    ///
    /// # Errors
    ///
    /// When it fails, with what it said.
    pub async fn migrate(&self, arguments: &[&str]) -> Result<String> {
        let mut migrate = match &self.overlay {
            Some(overlay) => overlay.migration(&self.database_url().await?, self.dir.path())?,
            None => {
                let mut migrate = Command::new(binary()?);
                migrate.arg("migrate");
                self.role_settings("migrate", &mut migrate).await?;
                migrate
            }
        };
        migrate.args(arguments).envs(self.settings());
        // Not on the thread that others are to be served by.
        let output = tokio::task::spawn_blocking(move || migrate.output()).await??;
        let text = manifest::succeeded(output).context("migrate")?;
        Ok(String::from_utf8(text)?)
    }

    /// Environment variables on top of the tests' own, for what is started from now
    /// on.
    #[must_use]
    pub fn settings(&self) -> BTreeMap<String, String> {
        let settings = self.settings.lock().expect("no panic holds it");
        settings.clone()
    }

    /// Sets one of them.
    pub fn set(&self, name: &str, value: &str) {
        let mut settings = self.settings.lock().expect("no panic holds it");
        settings.insert(name.to_owned(), value.to_owned());
    }

    async fn start_cluster(&self) -> Result<()> {
        let mut cluster = self.cluster.lock().await;
        let cluster = cluster.as_mut().context("the overlay has servers")?;
        for node in 0..NODES {
            cluster.start(node)?;
        }
        for node in 0..NODES {
            cluster.healthy(node).await?;
        }
        Ok(())
    }

    /// Asks every probe that the overlay gives to a role's pod.
    ///
    /// # Errors
    ///
    /// Names the first that is not answered well.
    pub async fn probe(&self, role: &str) -> Result<()> {
        let overlay = self.overlay.as_ref().context("there are no pods")?;
        overlay.probe(role).await
    }

    /// Who `role` is and where its foundations are.
    pub(super) async fn role_settings(&self, role: &str, command: &mut Command) -> Result<()> {
        let nats = self
            .nats
            .lock()
            .await
            .as_ref()
            .context("nats-server first")?
            .url();
        command
            .env("POSTRIDER_NATS_URL", nats)
            .env("POSTRIDER_NATS_USER", role)
            .env("POSTRIDER_NATS_PASSWORD", password(role))
            .env("POSTRIDER_DATABASE_URL", self.database_url().await?)
            .env("POSTRIDER_INGEST_URL", self.grpc("ingest"))
            .env("POSTRIDER_HISTORY_URL", self.grpc("history"))
            .env("POSTRIDER_MASTER_KEY", MASTER_KEY)
            .env("POSTRIDER_ADMIN_KEY", ADMIN_KEY);
        if let Some(folder) = &self.ground.certificates {
            for (setting, name) in secured::SETTINGS {
                command.env(format!("POSTRIDER_{setting}_FILE"), folder.join(name));
            }
        }
        Ok(())
    }

    /// What nats-server refused a role, by its log: a permission that is missing
    /// in `deploy/nats/users.conf`.
    pub(super) fn violations(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.dir.path())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !name.starts_with("nats") || !name.ends_with(".log") {
                continue;
            }
            let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            let refused = text.lines().filter(|line| line.contains("Violation"));
            found.extend(refused.map(|line| format!("{name}: {line}")));
        }
        Ok(found)
    }

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

    /// A connection to nats-server that is none of Postrider's.
    ///
    /// # Errors
    ///
    /// When it is not found.
    pub async fn raw_nats(&self) -> Result<Raw> {
        if let Some(nats) = self.nats.lock().await.as_ref() {
            let url = nats.url();
            let password = password("operator");
            let user = Some(("operator", password.as_str()));
            return Raw::connect(url.trim_start_matches("nats://"), user).await;
        }
        let dir = self.dir().join("data/nats");
        let id = self.supervised_nats()?.as_raw_nonzero();
        let ports = std::fs::read(dir.join(format!("nats-server_{id}.ports")))?;
        let ports: serde_json::Value = serde_json::from_slice(&ports)?;
        let url = ports["nats"][0].as_str().context("an address")?;
        let config = std::fs::read_to_string(dir.join("nats.conf"))?;
        let password = config.split_once("password: \"").map(|(_, rest)| rest);
        let password = password.and_then(|rest| rest.split('"').next());
        let user = ("postrider", password.context("a password")?);
        Raw::connect(url.trim_start_matches("nats://"), Some(user)).await
    }

    /// All that the database's tables hold, as text; bytes in hex.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn database_dump(&self) -> Result<String> {
        if let Some(postgres) = self.postgres.lock().await.as_ref() {
            return postgres.dump();
        }
        let script = "import sqlite3, sys\n\
                      for line in sqlite3.connect(sys.argv[1]).iterdump(): print(line)";
        let mut command = std::process::Command::new("python3");
        command.args(["-c", script]).arg(&self.database_paths()[0]);
        let output = command.output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "sqlite3: {error}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Carries out statements that are none of Postrider's, each engine's own.
    ///
    /// # Errors
    ///
    /// When they fail.
    pub async fn in_database(&self, sqlite: &str, postgres: &str) -> Result<()> {
        if let Some(database) = self.postgres.lock().await.as_ref() {
            return database.execute("postgres", postgres);
        }
        let script = "import sqlite3, sys\n\
                      sqlite3.connect(sys.argv[1], timeout=10).executescript(sys.argv[2])";
        let mut command = std::process::Command::new("python3");
        command
            .args(["-c", script])
            .arg(&self.database_paths()[0])
            .arg(sqlite);
        let output = command.output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "sqlite3: {error}");
        Ok(())
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

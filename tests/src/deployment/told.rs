//! What a deployment has told: errors, and what it should not have.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use anyhow::Result;

use super::{ADMIN_KEY, Deployment, MASTER_KEY, Mode, ROLES};
use crate::nats::password;
use crate::secrecy::{self, plant};

impl Deployment {
    /// Lines of its logs that say that a human must act.
    ///
    /// # Errors
    ///
    /// When a log cannot be read.
    pub fn errors_logged(&self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for name in self.processes() {
            let log = self.dir.path().join(format!("{name}.log"));
            let text = String::from_utf8_lossy(&std::fs::read(log)?).into_owned();
            let errors = text
                .lines()
                .filter(|line| line.contains("\"level\":\"ERROR\"") || line.contains(" ERROR "))
                .chain(text.lines().filter(|line| line.contains("panicked at")));
            lines.extend(errors.map(|line| format!("{name}: {line}")));
        }
        lines.extend(self.violations()?);
        Ok(lines)
    }

    /// Searches its logs, and the metrics of what runs, for what must be told
    /// nowhere; what was found, in words.
    ///
    /// # Errors
    ///
    /// When a log cannot be read.
    pub fn secrets_told(&self) -> Result<Vec<String>> {
        self.searched.store(true, Ordering::Relaxed);
        self.plant_own();
        secrecy::search(&self.logs()?, &self.admins())
    }

    /// The logs of its processes, of nats-server and of PostgreSQL. A customer's
    /// server that a scenario starts beside them may tell what it gets.
    fn logs(&self) -> Result<Vec<PathBuf>> {
        let mut logs = Vec::new();
        for entry in std::fs::read_dir(self.dir.path())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let Some(name) = name.strip_suffix(".log") else {
                continue;
            };
            let own = name.starts_with("nats") || name == "postgres";
            if own || self.processes().contains(&name) {
                logs.push(path);
            }
        }
        Ok(logs)
    }

    /// What its own processes were given, or have made for themselves.
    fn plant_own(&self) {
        if self.mode != Mode::Standalone {
            plant("the admin key", ADMIN_KEY);
            plant("the master key", MASTER_KEY);
            for role in ROLES {
                plant("a password", &password(role));
            }
            return;
        }
        let text = |path: &str| {
            let text = std::fs::read_to_string(self.data().join(path));
            text.unwrap_or_default().trim().to_owned()
        };
        plant("the admin key", &text("admin.key"));
        plant("the master key", &text("master.key"));
        let config = text("nats/nats.conf");
        let password = config.split_once("password: \"").map(|(_, rest)| rest);
        let password = password.and_then(|rest| rest.split('"').next());
        plant("a password", password.unwrap_or_default());
    }

    /// The admin addresses of what was started and not stopped.
    fn admins(&self) -> Vec<(&'static str, SocketAddr)> {
        let names: Vec<&'static str> = {
            let processes = self.processes.lock();
            let mut processes = processes.unwrap_or_else(PoisonError::into_inner);
            let running = processes.iter_mut();
            running
                .filter_map(|(name, one)| one.is_running().then_some(*name))
                .collect()
        };
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |name: &'static str| Some((name, doors.get(name)?.admin));
        names.into_iter().filter_map(of).collect()
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if self.searched.load(Ordering::Relaxed) {
            return;
        }
        secrecy::leave(match self.secrets_told() {
            Ok(told) => told,
            Err(error) => vec![format!("logs cannot be searched: {error:#}")],
        });
    }
}

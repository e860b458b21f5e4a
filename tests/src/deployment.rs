//! Postrider itself: one process, or five and more on nats-server and
//! PostgreSQL.

mod foundations;
mod ground;
mod measures;
mod overlay;
mod secured;
mod told;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ground::Ground;
use overlay::Overlay;
use tempfile::TempDir;

use crate::api::Api;
use crate::cluster::Cluster;
use crate::nats::Nats;
use crate::ports::free_port;
use crate::postgres::Postgres;
use crate::process::Process;
use crate::small_disk::SmallDisk;
use crate::wait::eventually;

/// How Postrider is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `postrider standalone --dev`: a supervised nats-server and SQLite.
    Standalone,
    /// Five roles, nats-server and PostgreSQL, each a process.
    Processes,
    /// The same as `k8s/overlays/production` runs them, on three nats-servers.
    Overlay,
}

impl Mode {
    /// As it stands in a test's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Processes => "processes",
            Self::Overlay => "overlay",
        }
    }
}

/// The roles, in the order they are started.
pub const ROLES: [&str; 5] = ["control", "ingest", "fanout", "dispatcher", "history"];

const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const ADMIN_KEY: &str = "the-tests-own-admin-key";

/// Where one process listens.
#[derive(Debug, Clone, Copy)]
struct Doors {
    http: SocketAddr,
    grpc: SocketAddr,
    admin: SocketAddr,
}

impl Doors {
    fn free() -> Self {
        let free = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        Self {
            http: free(),
            grpc: free(),
            admin: free(),
        }
    }

    /// The ports that a pod has, at its own address.
    fn of_pod(address: Ipv4Addr) -> Self {
        Self {
            http: (address, 8080).into(),
            grpc: (address, 50051).into(),
            admin: (address, 9090).into(),
        }
    }
}

/// A running Postrider. Everything it started ends when it is dropped.
#[derive(Debug)]
pub struct Deployment {
    mode: Mode,
    settings: Mutex<BTreeMap<String, String>>,
    ground: Ground,
    doors: Mutex<BTreeMap<&'static str, Doors>>,
    processes: Mutex<BTreeMap<&'static str, Process>>,
    nats: tokio::sync::Mutex<Option<Nats>>,
    overlay: Option<Overlay>,
    cluster: tokio::sync::Mutex<Option<Cluster>>,
    postgres: tokio::sync::Mutex<Option<Postgres>>,
    /// Its logs were searched.
    searched: AtomicBool,
    // The last field: its folder goes when nothing uses it any more.
    dir: TempDir,
}

impl Deployment {
    /// Starts everything and waits until it is ready. `settings` are
    /// environment variables on top of the tests' own.
    ///
    /// # Errors
    ///
    /// When a part does not start or is not ready within 60 s.
    pub async fn start(mode: Mode, settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_in(own_dir()?, mode, settings, Ground::default()).await
    }

    async fn start_in(
        dir: TempDir,
        mode: Mode,
        settings: &[(&str, &str)],
        mut ground: Ground,
    ) -> Result<Self> {
        let names: &[&'static str] = match mode {
            Mode::Standalone => &["standalone"],
            Mode::Processes | Mode::Overlay => &ROLES,
        };
        let (overlay, cluster) = match mode {
            Mode::Overlay => {
                let floor = std::mem::take(&mut ground.floor);
                Some(Overlay::prepare(dir.path(), floor, &ROLES)?).unzip()
            }
            Mode::Standalone | Mode::Processes => (None, None),
        };
        let doors = |name: &&'static str| {
            let pod = overlay.as_ref().map(|overlay| overlay.address(name));
            Ok((
                *name,
                pod.transpose()?.map_or_else(Doors::free, Doors::of_pod),
            ))
        };
        let doors: Result<_> = names.iter().map(doors).collect();
        let deployment = Self {
            mode,
            settings: Mutex::new(own(settings)),
            ground,
            doors: Mutex::new(doors?),
            processes: Mutex::default(),
            nats: tokio::sync::Mutex::default(),
            overlay,
            cluster: tokio::sync::Mutex::new(cluster),
            postgres: tokio::sync::Mutex::default(),
            searched: AtomicBool::new(false),
            dir,
        };
        if mode != Mode::Standalone {
            deployment.start_foundations().await?;
        }
        for name in names {
            deployment.start_process(name).await?;
        }
        deployment.ready(Duration::from_secs(60)).await?;
        Ok(deployment)
    }

    /// Standalone's data, as it is seen from here.
    fn data(&self) -> PathBuf {
        let disk = self.ground.disk.as_ref().map(SmallDisk::outside);
        disk.unwrap_or_else(|| self.dir.path().join("data"))
    }

    /// How it is run.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Where its data and logs are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where JetStream keeps its streams.
    #[must_use]
    pub fn jetstream_dir(&self) -> PathBuf {
        self.dir.path().join(match self.mode {
            Mode::Standalone => "data/nats/jetstream",
            Mode::Processes => "jetstream",
            Mode::Overlay => "postrider-nats-0/data",
        })
    }

    /// The database's files, or the folder they are in.
    #[must_use]
    pub fn database_paths(&self) -> Vec<PathBuf> {
        let names: &[&str] = match self.mode {
            Mode::Standalone => &["data/postrider.db", "data/postrider.db-wal"],
            Mode::Processes | Mode::Overlay => &["postgres"],
        };
        names
            .iter()
            .map(|name| self.dir.path().join(name))
            .collect()
    }

    /// Name and process id of all that runs: its own processes, `nats-server`
    /// and `postgres` (whose children do its work).
    ///
    /// # Errors
    ///
    /// When the only nats-server is down.
    pub async fn process_ids(&self) -> Result<Vec<(String, u32)>> {
        let mut ids: Vec<(String, u32)> = {
            let processes = self.processes.lock().expect("no panic holds it");
            let ids = processes.iter();
            ids.map(|(name, process)| ((*name).to_owned(), process.id()))
                .collect()
        };
        let nats = match self.nats.lock().await.as_ref() {
            Some(nats) => vec![nats.id()?],
            None if self.mode == Mode::Overlay => {
                let cluster = self.cluster.lock().await;
                cluster.as_ref().map(Cluster::ids).unwrap_or_default()
            }
            None => vec![u32::try_from(
                self.supervised_nats()?.as_raw_nonzero().get(),
            )?],
        };
        ids.extend(nats.into_iter().map(|id| ("nats-server".to_owned(), id)));
        // It may be stopped, as one of several nats-servers may.
        let postgres = self.postgres.lock().await;
        if let Some(id) = postgres.as_ref().and_then(|postgres| postgres.id().ok()) {
            ids.push(("postgres".to_owned(), id));
        }
        Ok(ids)
    }

    /// The names of its own processes, those that were stopped included.
    #[must_use]
    pub fn processes(&self) -> Vec<&'static str> {
        self.doors().keys().copied().collect()
    }

    fn doors(&self) -> MutexGuard<'_, BTreeMap<&'static str, Doors>> {
        self.doors.lock().expect("no panic holds it")
    }

    /// The base address of REST.
    #[must_use]
    pub fn http(&self) -> String {
        format!("{}://{}", self.scheme(), self.role("control").http)
    }

    /// The address where `role` answers gRPC.
    #[must_use]
    pub fn grpc(&self, role: &str) -> String {
        format!("{}://{}", self.scheme(), self.role(role).grpc)
    }

    /// The admin address of a process.
    #[must_use]
    pub fn admin(&self, name: &str) -> String {
        format!("http://{}", self.role(name).admin)
    }

    fn role(&self, role: &str) -> Doors {
        let name = if self.mode == Mode::Standalone {
            "standalone"
        } else {
            role
        };
        self.doors()[name]
    }

    /// The first admin key.
    ///
    /// # Panics
    ///
    /// When standalone has not made its key yet.
    #[must_use]
    pub fn admin_key(&self) -> String {
        match self.mode {
            Mode::Processes | Mode::Overlay => ADMIN_KEY.to_owned(),
            Mode::Standalone => std::fs::read_to_string(self.data().join("admin.key"))
                .expect("standalone makes its admin key before it is ready")
                .trim()
                .to_owned(),
        }
    }

    /// A client of the public API with the admin key.
    #[must_use]
    pub fn api(&self) -> Api {
        Api::new(self.http(), self.admin_key())
    }

    /// Waits until every process says that it is ready.
    ///
    /// # Errors
    ///
    /// When one does not within `limit`, with the end of its log.
    pub async fn ready(&self, limit: Duration) -> Result<()> {
        for name in self.processes() {
            self.process_ready(name, limit).await?;
        }
        Ok(())
    }

    /// Waits until one process says that it is ready.
    ///
    /// # Errors
    ///
    /// When it does not within `limit`, with the end of its log.
    pub async fn process_ready(&self, name: &str, limit: Duration) -> Result<()> {
        let url = format!("{}/readyz", self.admin(name));
        let what = format!("{name} is ready");
        let ready = eventually(&what, limit, || async {
            let answer = reqwest::get(&url).await?;
            let status = answer.status();
            ensure!(status == 200, "{status}: {}", answer.text().await?);
            Ok(())
        });
        ready.await.with_context(|| self.tail(name))
    }

    fn tail(&self, name: &str) -> String {
        let processes = self.processes.lock().expect("no panic holds it");
        processes.get(name).map(Process::tail).unwrap_or_default()
    }

    /// Starts a process (again), without waiting until it is ready. A number
    /// behind a role's name makes it one more of that role: `dispatcher-2`.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub async fn start_process(&self, name: &'static str) -> Result<()> {
        let role = name.trim_end_matches(|end: char| end == '-' || end.is_ascii_digit());
        let mut command = match &self.overlay {
            Some(overlay) => overlay.role(role, &self.database_url().await?, self.dir.path())?,
            None => self.own_command(name, role).await?,
        };
        if self.mode != Mode::Standalone {
            // Receivers are on this machine.
            command
                .env("POSTRIDER_EGRESS_ALLOW", "127.0.0.0/8")
                .env("POSTRIDER_EGRESS_ALLOW_HTTP", "true");
        }
        command.envs(self.settings());
        let process = Process::start(name, command, self.dir.path())?;
        self.processes
            .lock()
            .expect("no panic holds it")
            .insert(name, process);
        Ok(())
    }

    async fn own_command(&self, name: &'static str, role: &str) -> Result<Command> {
        let mut command = match &self.ground.disk {
            Some(disk) => disk.command(binary()?.as_os_str()),
            None => Command::new(binary()?),
        };
        command.arg(role).env_clear();
        for kept in ["PATH", "HOME", "POSTRIDER_NATS_SERVER", "SSL_CERT_FILE"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        let doors = *self.doors().entry(name).or_insert_with(Doors::free);
        command
            .env("POSTRIDER_HTTP_ADDR", doors.http.to_string())
            .env("POSTRIDER_GRPC_ADDR", doors.grpc.to_string())
            .env("POSTRIDER_ADMIN_ADDR", doors.admin.to_string())
            // A proxy in the environment must not be used for deliveries.
            .env("http_proxy", "http://127.0.0.1:9")
            .env("HTTPS_PROXY", "http://127.0.0.1:9");
        if self.mode == Mode::Standalone {
            command
                .args(["--dev", "--data-dir"])
                .arg(self.dir.path().join("data"));
        } else {
            self.role_settings(role, &mut command).await?;
        }
        Ok(command)
    }

    /// Kills a process (SIGKILL).
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn kill(&self, name: &str) -> Result<()> {
        self.take(name)?.kill()
    }

    /// Ends a process with SIGTERM; it must exit with 0.
    ///
    /// # Errors
    ///
    /// When it does not end within 35 s, or not with 0.
    pub fn terminate(&self, name: &str) -> Result<()> {
        let mut process = self.take(name)?;
        let status = process.terminate(Duration::from_secs(35))?;
        ensure!(
            status.code() == Some(0),
            "{name} ended with {status}:\n{}",
            process.tail()
        );
        Ok(())
    }

    fn take(&self, name: &str) -> Result<Process> {
        let mut processes = self.processes.lock().expect("no panic holds it");
        processes
            .remove(name)
            .with_context(|| format!("{name} does not run"))
    }

    /// Whether every process that was started still runs.
    ///
    /// # Errors
    ///
    /// Names the first that has ended.
    pub fn all_running(&self) -> Result<()> {
        let mut processes = self.processes.lock().expect("no panic holds it");
        for (name, process) in processes.iter_mut() {
            ensure!(
                process.is_running(),
                "{name} has ended:\n{}",
                process.tail()
            );
        }
        Ok(())
    }
}

fn own(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
    let settings = settings.iter();
    settings
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn own_dir() -> Result<TempDir> {
    let dir = tempfile::Builder::new().prefix("postrider-test-").tempdir();
    dir.context("a folder for the test")
}

/// The program under test: `POSTRIDER_BIN`, else beside the tests' own.
///
/// # Errors
///
/// When it has not been built.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("POSTRIDER_BIN") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let path = own
        .ancestors()
        .nth(2)
        .context("tests run from target/<profile>/deps")?;
    let path = path.join("postrider");
    ensure!(
        path.exists(),
        "{} is missing: cargo build -p postrider",
        path.display()
    );
    Ok(path)
}

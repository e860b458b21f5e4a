//! A PostgreSQL cluster of the test's own.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Signal, geteuid};

use crate::ports::free_port;
use crate::process::Process;
use crate::small_disk::SmallDisk;
use crate::wait::eventually;

/// The folder of its data.
const DATA: &str = "postgres";

/// One cluster, fsync on, owned by an unprivileged user.
#[derive(Debug)]
pub struct Postgres {
    dir: PathBuf,
    programs: PathBuf,
    port: u16,
    process: Option<Process>,
    /// What its data is on, if not the machine's own.
    disk: Option<SmallDisk>,
}

impl Postgres {
    /// Makes the cluster; [`Postgres::start`] starts it.
    ///
    /// # Errors
    ///
    /// When PostgreSQL is not installed or `initdb` fails.
    pub fn new(dir: &Path) -> Result<Self> {
        std::fs::create_dir(dir.join(DATA))?;
        Self::make(dir, None)
    }

    /// The same with its data on a disk of so many megabytes, 64 at least.
    ///
    /// # Errors
    ///
    /// As [`Postgres::new`], or when there can be no such disk.
    pub async fn on_small_disk(dir: &Path, megabytes: u32) -> Result<Self> {
        let disk = SmallDisk::new(dir, DATA, megabytes).await?;
        Self::make(dir, Some(disk))
    }

    fn make(dir: &Path, disk: Option<SmallDisk>) -> Result<Self> {
        let programs = programs()?;
        if geteuid().is_root() {
            let (user, group) = postgres_user()?;
            let data = dir.join(DATA);
            let seen = disk.as_ref().map_or(data.clone(), SmallDisk::outside);
            chown(seen, Some(user), Some(group))?;
            open_parents(&data)?;
        }
        let cluster = Self {
            dir: dir.to_owned(),
            programs,
            port: free_port(),
            process: None,
            disk,
        };
        let output = cluster
            .command("initdb")
            .args([
                "--username=postrider",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-instructions",
            ])
            .arg("--pgdata")
            .arg(cluster.data())
            .output()?;
        ensure!(
            output.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(cluster)
    }

    /// Speaks TLS, with `server.pem` and `server.key` of a folder, and nothing
    /// else. Before [`Postgres::start`].
    ///
    /// # Errors
    ///
    /// When its files cannot be written.
    pub fn secure(&self, certificates: &Path) -> Result<()> {
        let data = self.data();
        let own = |path: &Path| -> Result<()> {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            if geteuid().is_root() {
                let (user, group) = postgres_user()?;
                chown(path, Some(user), Some(group))?;
            }
            Ok(())
        };
        for name in ["server.pem", "server.key"] {
            std::fs::copy(certificates.join(name), data.join(name))?;
            own(&data.join(name))?;
        }
        self.configure(&[
            ("ssl", "on"),
            ("ssl_cert_file", "server.pem"),
            ("ssl_key_file", "server.key"),
        ])?;
        let rules = "hostssl all all 127.0.0.1/32 trust\n";
        std::fs::write(data.join("pg_hba.conf"), rules)?;
        Ok(())
    }

    /// Adds to its configuration. Before [`Postgres::start`].
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn configure(&self, settings: &[(&str, &str)]) -> Result<()> {
        let path = self.data().join("postgresql.conf");
        let mut all = std::fs::read_to_string(&path)?;
        for (name, value) in settings {
            writeln!(all, "{name} = '{value}'")?;
        }
        Ok(std::fs::write(&path, all)?)
    }

    /// The address clients connect to.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The same for another database than the first.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://postrider@127.0.0.1:{}/{database}", self.port)
    }

    /// The process id of its first process.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn id(&self) -> Result<u32> {
        let process = self.process.as_ref();
        Ok(process.context("PostgreSQL does not run")?.id())
    }

    /// Starts the server, on the same port each time.
    ///
    /// # Errors
    ///
    /// When it does not listen within 20 s.
    pub async fn start(&mut self) -> Result<()> {
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.data());
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        self.process = Some(Process::start("postgres", command, &self.dir)?);
        eventually("PostgreSQL answers", Duration::from_secs(20), || async {
            let answer = self
                .command("pg_isready")
                .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
                .output()?;
            ensure!(answer.status.success(), "pg_isready says no");
            Ok(())
        })
        .await
    }

    /// All that its tables hold, as text.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn dump(&self) -> Result<String> {
        let mut command = self.command("pg_dump");
        let output = command.args(["--data-only", &self.url()]).output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "pg_dump: {error}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Carries out statements that are none of Postrider's.
    ///
    /// # Errors
    ///
    /// When they fail.
    pub fn execute(&self, database: &str, statements: &str) -> Result<()> {
        let mut command = self.command("psql");
        command.args([
            &self.url_of(database),
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            statements,
        ]);
        let output = command.output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "psql: {error}");
        Ok(())
    }

    /// Stops the server at once, as a crash would (SIGQUIT).
    ///
    /// # Errors
    ///
    /// When it does not run or does not end within 10 s.
    pub fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("PostgreSQL does not run")?;
        process.signal(Signal::QUIT)?;
        process.wait(Duration::from_secs(10))?;
        Ok(())
    }

    /// The disk of [`Postgres::on_small_disk`].
    ///
    /// # Errors
    ///
    /// When it was made otherwise.
    pub fn disk(&self) -> Result<&SmallDisk> {
        self.disk.as_ref().context("it has no disk of its own")
    }

    /// Whether it has neither been stopped nor ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    fn data(&self) -> PathBuf {
        self.dir.join(DATA)
    }

    /// PostgreSQL refuses to run as root.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let begin = |program: &OsStr| match &self.disk {
            Some(disk) => disk.command(program),
            None => Command::new(program),
        };
        let mut command = if geteuid().is_root() {
            let mut command = begin(OsStr::new("setpriv"));
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
            command.arg(program);
            command
        } else {
            begin(program.as_os_str())
        };
        command.current_dir("/");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.process.is_some() {
            // A kill would leave its workers behind for a moment.
            let _ = self.stop();
        }
    }
}

fn programs() -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .context("PostgreSQL is needed: apt-get install postgresql")?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|path| path.join("initdb").exists())
        .collect();
    found.sort();
    found
        .pop()
        .context("no PostgreSQL server programs under /usr/lib/postgresql")
}

fn postgres_user() -> Result<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd")?;
    let line = users
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .context("there is no user `postgres` to run PostgreSQL as")?;
    let fields: Vec<&str> = line.split(':').collect();
    Ok((fields[2].parse()?, fields[3].parse()?))
}

/// Lets the unprivileged user reach the data directory.
fn open_parents(data: &Path) -> Result<()> {
    let temporary = std::env::temp_dir();
    for parent in data
        .ancestors()
        .skip(1)
        .take_while(|parent| **parent != *temporary)
    {
        let mut permissions = std::fs::metadata(parent)?.permissions();
        permissions.set_mode(permissions.mode() | 0o011);
        std::fs::set_permissions(parent, permissions)?;
    }
    Ok(())
}

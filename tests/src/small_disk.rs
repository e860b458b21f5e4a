//! A disk that can be filled: a small tmpfs in a mount namespace of its own,
//! which lives as long as a process that does nothing else.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::geteuid;

use crate::process::Process;
use crate::wait::eventually;

/// The disk, mounted at one path for those who enter its namespace.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    keeper: Process,
}

impl SmallDisk {
    /// Makes one at `dir/name`.
    ///
    /// # Errors
    ///
    /// When the system allows no mount namespaces.
    pub async fn new(dir: &Path, name: &str, megabytes: u32) -> Result<Self> {
        let path = dir.join(name);
        std::fs::create_dir_all(&path)?;
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if !geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        let script = format!(
            "mount -t tmpfs -o size={megabytes}m tmpfs \"$0\" && echo mounted && exec sleep 86400"
        );
        command.args(["sh", "-c", &script]).arg(&path);
        let keeper = Process::start("disk", command, dir)?;
        let mounted = eventually(
            "the small disk is mounted",
            Duration::from_secs(5),
            || async {
                ensure!(keeper.output()?.contains("mounted"), "{}", keeper.tail());
                Ok(())
            },
        );
        mounted.await.context("mount namespaces are needed")?;
        Ok(Self { path, keeper })
    }

    /// The disk as the rest of the system can see it.
    #[must_use]
    pub fn outside(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.id()));
        root.join(self.path.strip_prefix("/").unwrap_or(&self.path))
    }

    /// A command that runs `program` where the disk is mounted.
    #[must_use]
    pub fn command(&self, program: &OsStr) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.keeper.id()));
        command.arg("--mount");
        if !geteuid().is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").arg(program);
        command
    }

    /// Leaves no byte free.
    ///
    /// # Errors
    ///
    /// When the file cannot be made.
    pub fn fill(&self) -> Result<()> {
        let mut file = std::fs::File::create(self.filler())?;
        for size in [1 << 20, 4_096, 1] {
            let block = vec![0_u8; size];
            while file.write_all(&block).is_ok() {}
        }
        Ok(())
    }

    /// Frees what [`SmallDisk::fill`] took.
    ///
    /// # Errors
    ///
    /// When it was not filled.
    pub fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.outside().join("filler")
    }
}

//! What runs between our fork and nats-server's exec.
//!
//! The kernel is told to kill the process when its parent dies, so that a
//! `kill -9` of standalone leaves no server behind. That survives an exec, and
//! has to be asked for by the child itself. It also takes a lock that the
//! server holds as long as it lives: a successor waits for it.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::io::{FdFlags, fcntl_setfd};

/// A predecessor dies with its parent, at once; this is for a slow disk.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The arguments of the hidden subcommand.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    pub(super) parent: u32,
    #[arg(long)]
    pub(super) lock: PathBuf,
    #[arg(long)]
    pub(super) program: PathBuf,
    #[arg(long)]
    pub(super) config: PathBuf,
}

impl Arguments {
    /// As they stand on a command line.
    pub(super) fn apply(&self, command: &mut Command) {
        command
            .arg(NAME)
            .arg("--parent")
            .arg(self.parent.to_string())
            .arg("--lock")
            .arg(&self.lock)
            .arg("--program")
            .arg(&self.program)
            .arg("--config")
            .arg(&self.config);
    }
}

/// The hidden subcommand's name.
pub(crate) const NAME: &str = "nats-child";

/// Becomes nats-server.
///
/// # Errors
///
/// When the parent is gone, the lock is held for too long, or the program
/// cannot be executed.
pub(crate) fn become_server(arguments: &Arguments) -> io::Result<Infallible> {
    die_with_parent(arguments.parent)?;
    let lock = File::options()
        .create(true)
        .append(true)
        .open(&arguments.lock)?;
    take(&lock)?;
    // Without close-on-exec the lock passes on to the server.
    fcntl_setfd(&lock, FdFlags::empty())?;
    let mut command = Command::new(&arguments.program);
    Err(command
        .arg0("nats-server")
        .arg("--config")
        .arg(&arguments.config)
        .exec())
}

#[cfg(target_os = "linux")]
fn die_with_parent(parent: u32) -> io::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before that: then we belong to another already.
    let actual = getppid().map(|pid| pid.as_raw_nonzero().get());
    if actual.and_then(|pid| u32::try_from(pid).ok()) != Some(parent) {
        return Err(io::Error::other("standalone is gone"));
    }
    Ok(())
}

/// Elsewhere the lock alone keeps two servers off one store.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_parent: u32) -> io::Result<()> {
    Ok(())
}

fn take(lock: &File) -> io::Result<()> {
    let started = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
            Err(std::fs::TryLockError::WouldBlock) if started.elapsed() > LOCK_WAIT => {
                return Err(io::Error::other(
                    "another nats-server uses this data directory",
                ));
            }
            Err(std::fs::TryLockError::WouldBlock) => {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

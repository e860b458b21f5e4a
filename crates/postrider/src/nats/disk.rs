//! A disk that was full. nats-server 2.15 goes on failing every write of a
//! stream that met one, also when there is room again: only a restart helps.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tracing::{error, info};

/// How nats-server's log quotes the kernel.
const FULL: &str = "no space left on device";
/// So much must be free before a restart is worth it.
const ROOM_BYTES: u64 = 16 << 20;
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The disk under the streams.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    dir: PathBuf,
    is_full: Arc<AtomicBool>,
    looked: Instant,
}

impl Disk {
    pub(super) fn of(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            is_full: Arc::default(),
            looked: Instant::now(),
        }
    }

    /// Hears a line of nats-server's log.
    pub(super) fn heed(&self, line: &str) {
        if line.contains(FULL) && !self.is_full.swap(true, Ordering::Relaxed) {
            error!(
                dir = %self.dir.display(),
                "the disk is full: nothing is accepted until there is room again"
            );
        }
    }

    /// Whether it was full and is not any more; true once.
    pub(super) fn has_room_again(&mut self) -> bool {
        if !self.is_full.load(Ordering::Relaxed) || self.looked.elapsed() < LOOK_AGAIN {
            return false;
        }
        self.looked = Instant::now();
        let free = rustix::fs::statvfs(&self.dir).map_or(0, |disk| disk.f_bavail * disk.f_frsize);
        if free < ROOM_BYTES {
            return false;
        }
        self.is_full.store(false, Ordering::Relaxed);
        info!("the disk has room again: starting nats-server anew");
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_a_restart_once_after_the_disk_was_full() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = Disk::of(dir.path());
        disk.looked = Instant::now() - LOOK_AGAIN;
        disk.heed("[1] 2026/01/02 03:04:05.678901 [INF] Server is ready");
        assert!(!disk.has_room_again());
        disk.heed("JetStream failed to store a msg: write 1.blk: no space left on device");
        assert!(disk.has_room_again());
        disk.looked = Instant::now() - LOOK_AGAIN;
        assert!(!disk.has_room_again());
    }
}

//! Standalone's data directory: its lock and its keys.

use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::key::{ApiKey, Scope};
use tracing::{info, warn};

use crate::config::Error;

/// The file with the first admin key.
pub(crate) const ADMIN_KEY: &str = "admin.key";
/// The file with the keys that encrypt secrets.
pub(crate) const MASTER_KEY: &str = "master.key";
/// A predecessor that was killed a moment ago may still be going.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// A data directory that belongs to this process until it ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Unlocked by the kernel when the process ends, however it does.
    _lock: File,
}

impl DataDir {
    /// Makes the directory if it is missing and locks it.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or another process holds it.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error: io::Error| Error::DataDir(format!("{}: {error}", path.display()));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let lock = File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(failed)?;
        let started = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path, _lock: lock }),
                Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
                Err(std::fs::TryLockError::WouldBlock) if started.elapsed() > LOCK_WAIT => {
                    return Err(Error::DataDirInUse(path));
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
    }

    /// A file or folder in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The key that encrypts secrets, made at the first start.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub(crate) fn master_key(&self) -> Result<String, Error> {
        self.key(MASTER_KEY, || Ok(STANDARD.encode(random::<32>()?)))
    }

    /// The first admin key, made at the first start.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub(crate) fn admin_key(&self) -> Result<String, Error> {
        self.key(ADMIN_KEY, || {
            let (_, token) = ApiKey::generate(Scope::Admin, random()?);
            Ok(token)
        })
    }

    fn key(&self, name: &str, make: impl FnOnce() -> io::Result<String>) -> Result<String, Error> {
        let path = self.join(name);
        let failed = |error: io::Error| Error::DataDir(format!("{}: {error}", path.display()));
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                warn_if_open(&path);
                Ok(text.trim().to_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = make().map_err(failed)?;
                write_private(&path, &format!("{text}\n")).map_err(failed)?;
                info!(path = %path.display(), "made a key");
                Ok(text)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

fn warn_if_open(path: &Path) {
    let mode = path
        .metadata()
        .map(|metadata| metadata.mode())
        .unwrap_or_default();
    if mode & 0o077 != 0 {
        warn!(path = %path.display(), "others can read this key: chmod 600 it");
    }
}

/// Writes a file that only its owner can read, wholly or not at all.
///
/// # Errors
///
/// When the folder cannot be written.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Made with 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The name is safe from a power failure only then.
    File::open(folder)?.sync_all()
}

/// 128 random bits.
///
/// # Errors
///
/// When the system has no randomness.
pub(crate) fn random_hex() -> io::Result<String> {
    Ok(format!("{:032x}", u128::from_ne_bytes(random()?)))
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_are_private() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let dir = DataDir::open(&path).unwrap();
        let first = (dir.master_key().unwrap(), dir.admin_key().unwrap());
        let second = (dir.master_key().unwrap(), dir.admin_key().unwrap());
        assert_eq!(first, second);
        for name in [MASTER_KEY, ADMIN_KEY] {
            assert_eq!(path.join(name).metadata().unwrap().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_second_process_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let dir = DataDir::open(parent.path()).unwrap();
        let refused = DataDir::open(parent.path()).unwrap_err();
        assert!(matches!(refused, Error::DataDirInUse(_)));
        drop(dir);
        DataDir::open(parent.path()).unwrap();
    }
}

//! Finding a nats-server that is new enough.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// Scheduled messages came with 2.12.
const LEAST: (u32, u32) = (2, 12);

/// Why there is no usable nats-server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindError {
    #[error(
        "no nats-server found: run `make build`, put it on the PATH, or set \
         POSTRIDER_NATS_SERVER to its path"
    )]
    NotFound,
    #[error("{} (from nats_server) is not a program that can be run: {message}", path.display())]
    Unusable { path: PathBuf, message: String },
    #[error(
        "{} is {version}, and 2.12 or newer is needed: set POSTRIDER_NATS_SERVER to \
         a newer one",
        path.display()
    )]
    TooOld { path: PathBuf, version: String },
}

/// The configured program, else the one beside our own, else the one on PATH.
///
/// # Errors
///
/// When there is none, it cannot be run, or it is older than 2.12.
pub(crate) async fn find(configured: Option<&Path>) -> Result<PathBuf, FindError> {
    let path = match configured {
        Some(path) => path.to_owned(),
        None => beside_us().or_else(on_path).ok_or(FindError::NotFound)?,
    };
    let version = version(&path).await?;
    match parse(&version) {
        Some(found) if found >= LEAST => Ok(path),
        Some(_) => Err(FindError::TooOld { path, version }),
        None => {
            let message = format!("`--version` answered {version:?}");
            Err(FindError::Unusable { path, message })
        }
    }
}

fn beside_us() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name("nats-server");
    path.is_file().then_some(path)
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join("nats-server"))
        .find(|path| path.is_file())
}

async fn version(path: &Path) -> Result<String, FindError> {
    let unusable = |message: String| FindError::Unusable {
        path: path.to_owned(),
        message,
    };
    let mut command = Command::new(path);
    command.arg("--version").kill_on_drop(true);
    let output = timeout(Duration::from_secs(10), command.output())
        .await
        .map_err(|_| unusable("`--version` did not end within 10 s".into()))?
        .map_err(|error| unusable(error.to_string()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Major and minor of `nats-server: v2.15.1`.
fn parse(version: &str) -> Option<(u32, u32)> {
    let number = version.rsplit(' ').next()?.trim_start_matches('v');
    let mut parts = number.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(parse("nats-server: v2.15.1"), Some((2, 15)));
        assert_eq!(parse("nats-server: v2.12.0-RC.3"), Some((2, 12)));
        assert_eq!(parse("something else"), None);
        assert!(parse("nats-server: v2.11.9") < Some(LEAST));
        assert!(parse("nats-server: v3.0.0") >= Some(LEAST));
    }
}

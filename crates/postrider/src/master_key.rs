//! The master keys' file, which is read again when it changes: so a rotation
//! needs no restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::vault::Vault;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use zeroize::Zeroizing;

/// The file is looked at that often.
pub(crate) const POLL: Duration = Duration::from_secs(1);

/// Keeps `vault` true to the file until `shutdown` is cancelled. What cannot be
/// used changes nothing.
pub(crate) async fn follow(vault: Arc<Vault>, path: PathBuf, shutdown: CancellationToken) {
    // A file that is away for a moment, while it is replaced, has not changed.
    let read = || std::fs::read_to_string(&path).ok().map(Zeroizing::new);
    let mut known = read();
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        let found = read();
        let Some(text) = found.as_ref().filter(|_| found != known) else {
            continue;
        };
        match vault.replace(text) {
            Ok(()) => {
                let ids: Vec<String> = vault.keys().iter().map(|key| key.id()).collect();
                info!(
                    master_keys = ids.join(" "),
                    "the master keys are read again"
                );
            }
            Err(error) => error!(%error, "new master keys cannot be used: the old ones stay"),
        }
        known = found;
    }
}

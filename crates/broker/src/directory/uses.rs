//! Telling control which keys are used.

use std::time::Duration;

use proto::pipeline::{KeyUse, NoteKeyUses};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::KeyDirectory;
use crate::Broker;

/// A key's first use is told within this.
const TICK: Duration = Duration::from_secs(2);
/// The same key is told once in this time, however often it is used.
const INTERVAL: Duration = Duration::from_secs(60);
/// Keys of one message; further ones wait for the next tick.
const MOST: usize = 1_000;

impl KeyDirectory {
    /// Tells control which keys are used here, until `shutdown` is cancelled.
    /// What was used in the last seconds may stay untold then.
    pub async fn tell_uses(&self, broker: &Broker, shutdown: CancellationToken) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.cancelled() => return,
            }
            let uses = self.take_uses(INTERVAL, MOST);
            if uses.is_empty() {
                continue;
            }
            let uses = uses
                .into_iter()
                .map(|(key_id, used_at)| KeyUse { key_id, used_at });
            let command = NoteKeyUses {
                uses: uses.collect(),
            };
            tokio::select! {
                sent = broker.send_key_uses(command) => {
                    if let Err(error) = sent {
                        warn!(%error, "cannot tell which keys are used");
                    }
                }
                () = shutdown.cancelled() => return,
            }
        }
    }
}

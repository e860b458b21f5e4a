//! Replays: one worker of all history processes sends the events of a span
//! again, few at a time. What it has done is written down after it was
//! published; ids are derived, so that a crash in between repeats the same
//! deliveries.
//!
//! - `start`: the calls about replays
//! - `step`: a piece of the work on one

mod start;
mod step;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use domain::{ReplayId, Timestamp};
use futures::stream::{self, StreamExt as _};
use store::Error;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use self::step::{Step, Stepped};
use crate::Shared;

pub(crate) use start::{Asked, not_found, to_proto};

/// A worker that died leaves its replays for so long; longer than a step.
const CLAIM: Duration = Duration::from_secs(5);
/// Nothing changes at once: the first pause, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Replays that are worked on at the same instant.
const AT_ONCE: usize = 8;
/// A step that takes longer is begun again.
const STEP: Duration = Duration::from_secs(4);
const RELEASE: Duration = Duration::from_secs(2);

/// Works on replays until `shutdown` is cancelled.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let worker = Uuid::new_v4();
    tokio::select! {
        () = work(&shared, worker) => {}
        () = shutdown.cancelled() => {}
    }
    let released = timeout(RELEASE, shared.deps.store.release_replays(worker)).await;
    if !matches!(released, Ok(Ok(()))) {
        debug!("replays are not released: another process takes them when the claim is over");
    }
}

async fn work(shared: &Shared, worker: Uuid) {
    let mut pause = FIRST_PAUSE;
    loop {
        let moved = match shared.deps.store.open_replays().await {
            Ok(open) => round(shared, worker, open).await,
            Err(error) => {
                warn!(%error, "replays wait");
                false
            }
        };
        pause = if moved {
            FIRST_PAUSE
        } else {
            (pause * 2).min(LONGEST_PAUSE)
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = shared.replay_started.notified() => pause = FIRST_PAUSE,
        }
    }
}

/// A step of each replay; whether anything has changed.
async fn round(shared: &Shared, worker: Uuid, open: Vec<ReplayId>) -> bool {
    stream::iter(open)
        .map(|id| async move {
            match timeout(STEP, one_step(shared, worker, id)).await {
                Ok(Ok(stepped)) => stepped == Stepped::Moved,
                Ok(Err(error)) => {
                    warn!(%error, %id, "replay {id} waits");
                    false
                }
                Err(_) => {
                    warn!(%id, "replay {id} waits: a step took too long");
                    false
                }
            }
        })
        .buffer_unordered(AT_ONCE)
        .fold(false, |moved, one| async move { moved || one })
        .await
}

async fn one_step(shared: &Shared, worker: Uuid, id: ReplayId) -> Result<Stepped, Error> {
    let now = now();
    let store = &shared.deps.store;
    let claimed = store.claim_replay(id, worker, now, now.plus(CLAIM)).await?;
    match claimed {
        // Another process has it.
        None => Ok(Stepped::Still),
        Some(row) => {
            Step {
                shared,
                worker,
                id,
                row,
            }
            .run()
            .await
        }
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

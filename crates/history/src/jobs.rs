//! Work that outlives processes: rows in SQL that one of all history processes
//! claims for a while, and goes on with step by step. A process that dies leaves
//! its claims to the others; what a step has done and not written down is done
//! again.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use domain::Timestamp;
use futures::stream::{self, StreamExt as _};
use store::Error;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// A worker that died leaves its claims for so long; longer than a step.
pub(crate) const CLAIM: Duration = Duration::from_secs(5);
/// A step that takes longer is begun again.
const STEP: Duration = Duration::from_secs(4);
/// Nothing changes at once: the first pause, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Jobs that are worked on at the same instant.
const AT_ONCE: usize = 8;
const RELEASE: Duration = Duration::from_secs(2);

/// Whether a step changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stepped {
    Moved,
    Still,
}

/// Jobs of one kind, as one worker sees them.
pub(crate) trait Jobs {
    type Id: Copy + Display;

    /// What each is, in one word.
    const NAME: &'static str;

    /// Those that have something to do.
    async fn open(&self) -> Result<Vec<Self::Id>, Error>;

    /// Claims one and does a piece of its work; nothing if another worker has it.
    async fn step(&self, id: Self::Id) -> Result<Stepped, Error>;

    /// Gives back what was claimed.
    async fn release(&self) -> Result<(), Error>;
}

/// Works until `shutdown` is cancelled; `started` tells of a job that need not be
/// looked for.
pub(crate) async fn run<J: Jobs>(jobs: J, started: &Notify, shutdown: CancellationToken) {
    tokio::select! {
        () = work(&jobs, started) => {}
        () = shutdown.cancelled() => {}
    }
    let released = timeout(RELEASE, jobs.release()).await;
    if !matches!(released, Ok(Ok(()))) {
        debug!(
            kind = J::NAME,
            "claims are not released: another process takes them when they are over"
        );
    }
}

async fn work<J: Jobs>(jobs: &J, started: &Notify) {
    let mut pause = FIRST_PAUSE;
    loop {
        let moved = match jobs.open().await {
            Ok(open) => round(jobs, open).await,
            Err(error) => {
                warn!(%error, kind = J::NAME, "jobs wait");
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
            () = started.notified() => pause = FIRST_PAUSE,
        }
    }
}

/// A step of each; whether anything has changed.
async fn round<J: Jobs>(jobs: &J, open: Vec<J::Id>) -> bool {
    stream::iter(open)
        .map(|id| async move {
            let kind = J::NAME;
            match timeout(STEP, jobs.step(id)).await {
                Ok(Ok(stepped)) => stepped == Stepped::Moved,
                Ok(Err(error)) => {
                    warn!(%error, %id, "{kind} {id} waits");
                    false
                }
                Err(_) => {
                    warn!(%id, "{kind} {id} waits: a step took too long");
                    false
                }
            }
        })
        .buffer_unordered(AT_ONCE)
        .fold(false, |moved, one| async move { moved || one })
        .await
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

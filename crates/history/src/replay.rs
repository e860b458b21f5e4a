//! Replays: one worker of all history processes sends the events of a span
//! again, few at a time. What it has done is written down after it was
//! published; ids are derived, so that a crash in between repeats the same
//! deliveries.
//!
//! - `start`: the calls about replays
//! - `step`: a piece of the work on one
//! - `cancelled`: deliveries of which an attempt may still arrive

mod cancelled;
mod start;
mod step;

use std::sync::Arc;

use domain::ReplayId;
use store::Error;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::cancelled::Cancelled;
use self::step::Step;
use crate::Shared;
use crate::jobs::{self, CLAIM, Jobs, Stepped, now};

pub(crate) use start::{Asked, not_found, to_proto};

/// Works on replays until `shutdown` is cancelled.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let replays = Replays {
        shared: &shared,
        worker: Uuid::new_v4(),
        cancelled: Cancelled::default(),
    };
    jobs::run(replays, &shared.replay_started, shutdown).await;
}

struct Replays<'a> {
    shared: &'a Shared,
    worker: Uuid,
    cancelled: Cancelled,
}

impl Jobs for Replays<'_> {
    type Id = ReplayId;

    const NAME: &'static str = "replay";

    async fn open(&self) -> Result<Vec<ReplayId>, Error> {
        let open = self.shared.deps.store.open_replays().await?;
        if open.is_empty() {
            self.cancelled.forget_all();
        }
        Ok(open)
    }

    async fn step(&self, id: ReplayId) -> Result<Stepped, Error> {
        let (shared, worker, now) = (self.shared, self.worker, now());
        let until = now.plus(CLAIM);
        let claimed = shared
            .deps
            .store
            .claim_replay(id, worker, now, until)
            .await?;
        match claimed {
            // Another process has it.
            None => Ok(Stepped::Still),
            Some(row) => {
                let step = Step {
                    shared,
                    cancelled: &self.cancelled,
                    worker,
                    id,
                    row,
                };
                step.run().await
            }
        }
    }

    async fn release(&self) -> Result<(), Error> {
        self.shared.deps.store.release_replays(self.worker).await
    }
}

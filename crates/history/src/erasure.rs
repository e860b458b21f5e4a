//! Erasures: what is asked to be forgotten goes from SQL and from every stream,
//! and nothing of it comes back.
//!
//! First it is *marked*: from then on dispatchers send nothing of it and `intake`
//! records nothing of it. Then it is looked for and removed, stream by stream and
//! row by row. What somebody held in memory when it was marked may still be told
//! for a moment, so all that came meanwhile is looked at again at the end.
//!
//! - `start`: the calls about erasures
//! - `step`: a piece of the work on one
//! - `progress`: how far one is
//! - `scrub`: one message of a stream

mod progress;
mod scrub;
mod start;
mod step;

use std::sync::Arc;

use domain::ErasureId;
use store::Error;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::progress::Progress;
use self::step::Step;
use crate::Shared;
use crate::jobs::{self, CLAIM, Jobs, Stepped, now};

pub(crate) use scrub::Scrub;
pub(crate) use start::{not_found, scope, to_proto};

/// Works on erasures until `shutdown` is cancelled.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let erasures = Erasures {
        shared: &shared,
        worker: Uuid::new_v4(),
    };
    jobs::run(erasures, &shared.erasure_started, shutdown).await;
}

struct Erasures<'a> {
    shared: &'a Shared,
    worker: Uuid,
}

impl Jobs for Erasures<'_> {
    type Id = ErasureId;

    const NAME: &'static str = "erasure";

    async fn open(&self) -> Result<Vec<ErasureId>, Error> {
        self.shared.deps.store.open_erasures().await
    }

    async fn step(&self, id: ErasureId) -> Result<Stepped, Error> {
        let (store, now) = (&self.shared.deps.store, now());
        let until = now.plus(CLAIM);
        let Some(row) = store.claim_erasure(id, self.worker, now, until).await? else {
            return Ok(Stepped::Still);
        };
        let before = Progress::parse(&row.progress)?;
        let step = Step::new(self.shared, id, &row, before.clone())?;
        let (progress, gone) = step.run().await?;
        if progress == before {
            return Ok(Stepped::Still);
        }
        let ended_at = progress.is_done().then(jobs::now);
        let text = progress.text();
        store
            .save_erasure(id, self.worker, &text, gone, ended_at)
            .await?;
        if ended_at.is_some() {
            store.empty_log().await?;
        }
        Ok(Stepped::Moved)
    }

    async fn release(&self) -> Result<(), Error> {
        self.shared.deps.store.release_erasures(self.worker).await
    }
}

//! What was told of although it is erased: it goes from where it was told.

use std::time::Duration;

use broker::{Input, Log, Message};
use domain::Outcome;
use store::{ErasedAgain, Error};
use tokio::time::sleep;
use tracing::warn;

use crate::Shared;
use crate::erasure::Scrub;

const PAUSE: Duration = Duration::from_secs(1);

/// Removes it, for as long as it takes.
pub(super) async fn scrub(shared: &Shared, held: &[(Input, Message)], erased: &ErasedAgain) {
    if *erased == ErasedAgain::default() {
        return;
    }
    for (input, message) in held {
        if !tells_of(*input, message, erased) {
            continue;
        }
        let log = match input {
            Input::EventsForHistory => Log::Events,
            Input::Plans => Log::Plans,
            _ => Log::Records,
        };
        while let Err(error) = scrub_one(shared, log, message.sequence()).await {
            warn!(%error, "what is erased was told again, and cannot be removed yet");
            sleep(PAUSE).await;
        }
    }
}

async fn scrub_one(shared: &Shared, log: Log, sequence: u64) -> Result<(), Error> {
    let stored = shared.deps.broker.stored_at(log, sequence).await;
    let stored = stored.map_err(|error| Error::Unavailable(error.to_string()))?;
    if let Some(stored) = stored {
        let scrub = Scrub::of(shared, std::slice::from_ref(&stored)).await?;
        scrub.message(shared, &stored).await?;
    }
    Ok(())
}

/// Decoded once before, so it can be read.
fn tells_of(input: Input, message: &Message, erased: &ErasedAgain) -> bool {
    match input {
        Input::Plans => message.plans().is_ok_and(|plans| {
            plans
                .iter()
                .any(|plan| erased.events.contains(&plan.event_id))
        }),
        Input::Records => message.records().is_ok_and(|records| {
            records.iter().any(|record| {
                matches!(record.outcome, Outcome::Attempt(_))
                    && (erased.events.contains(&record.event_id)
                        || erased.endpoints.contains(&record.endpoint_id))
            })
        }),
        _ => message
            .event()
            .is_ok_and(|event| erased.events.contains(&event.id)),
    }
}

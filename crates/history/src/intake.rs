//! What the other roles tell, into SQL. All that is there within a short while is
//! recorded at once, and acked when it is committed and what follows from it is told
//! on. An outage of the database holds it back, for as long as it takes.

mod erased;
mod inputs;
mod items;
mod recorded;
mod span;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use broker::{Input, Message};
use store::{Error, Findings, History, Quarantined};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use self::inputs::{Gathered, Inputs};
use self::items::Items;
use self::recorded::Recorded;
use self::span::BatchSpan;
use crate::{Shared, consequences};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Records until `shutdown` is cancelled.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let store = &shared.deps.store;
    let recorded = Recorded::new();
    let mut inputs = Inputs::new(&shared.deps.broker);
    loop {
        let batch = tokio::select! {
            batch = inputs.next() => batch,
            () = shutdown.cancelled() => return,
        };
        let work = async {
            let (held, items) = read(batch).await;
            let _batch = recorded.begin(&held);
            let span = BatchSpan::begin(&items);
            let mut findings = record(store, items, &recorded).await;
            span.done();
            let erased = std::mem::take(&mut findings.erased);
            consequences::tell(&shared, findings).await;
            erased::scrub(&shared, &held, &erased).await;
            held
        };
        let held = tokio::select! {
            held = work => held,
            // Not acked: it comes again, to whoever runs then.
            () = shutdown.cancelled() => return,
        };
        for (_, message) in held {
            message.ack().await;
        }
    }
}

/// Reads messages; what cannot be read is dropped for good.
async fn read(gathered: Gathered) -> (Vec<(Input, Message)>, Items) {
    let mut items = Items::default();
    let mut held = Vec::new();
    for (messages, input) in [
        (gathered.events, Input::EventsForHistory),
        (gathered.plans, Input::Plans),
        (gathered.records, Input::Records),
    ] {
        for message in messages {
            match items.add(input, &message) {
                Ok(()) => held.push((input, message)),
                Err(error) => message.terminate(&error).await,
            }
        }
    }
    (held, items)
}

/// Returns when every item is stored or quarantined.
async fn record(store: &History, items: Items, recorded: &Recorded) -> Findings {
    if items.is_empty() {
        return Findings::default();
    }
    if let Ok(findings) = insist(|| store.record(items.batch())).await {
        recorded.count(&items);
        return findings;
    }
    // Something in it: the others are not to suffer.
    let mut all = Findings::default();
    for (kind, name, event, item) in items.split() {
        match insist(|| store.record(item.batch())).await {
            Ok(findings) => {
                recorded.count(&item);
                all.append(findings);
            }
            Err(refusal) => {
                error!(error = refusal, name, kind, "quarantined");
                recorded.quarantine(kind);
                let now = SystemTime::now().into();
                let item = Quarantined {
                    kind,
                    name: &name,
                    event,
                };
                if let Err(error) = insist(|| store.quarantine(item, &refusal, now)).await {
                    error!(error, name, "cannot even be quarantined");
                }
            }
        }
    }
    all
}

/// Tries until it is done or refused, and tells the refusal.
async fn insist<T, W: Future<Output = Result<T, Error>>>(
    mut work: impl FnMut() -> W,
) -> Result<T, String> {
    let mut pause = FIRST_PAUSE;
    loop {
        match work().await {
            Ok(done) => return Ok(done),
            Err(error) if error.is_outage() => warn!(%error, "recording waits"),
            Err(error) => return Err(error.to_string()),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

//! Maintenance: makes the tables of the days to come, and removes what is no
//! longer kept. Every history does it; one at a time removes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use domain::Timestamp;
use store::{Day, Error, Expiry};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{Retention, Shared};

const INTERVAL: Duration = Duration::from_secs(3_600);
/// After one that failed.
const PAUSE: Duration = Duration::from_secs(60);

/// Days that are made ahead: history may be down for so long, and the first
/// batch of a day need not make it.
const AHEAD: i64 = 7;

/// Maintains the tables until `shutdown` is cancelled.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    loop {
        let maintained = tokio::select! {
            maintained = maintain(&shared, SystemTime::now().into()) => maintained,
            () = shutdown.cancelled() => return,
        };
        let pause = match maintained {
            Ok(()) => INTERVAL,
            Err(error) => {
                warn!(%error, "what is too old is not removed yet");
                PAUSE
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn maintain(shared: &Shared, now: Timestamp) -> Result<(), Error> {
    let store = &shared.deps.store;
    let today = Day::of(now);
    let days = (-1..=AHEAD).map(|days| today.plus(days));
    store.make_days(&days.collect()).await?;
    let expired = store.expire(expiry(shared.config.retention, now)).await?;
    if expired.tables > 0 || expired.rows > 0 {
        info!(
            tables = expired.tables,
            rows = expired.rows,
            "removed what is no longer kept"
        );
    }
    Ok(())
}

fn expiry(retention: Retention, now: Timestamp) -> Expiry {
    Expiry {
        events_before: now.minus(retention.events),
        records_before: now.minus(retention.records),
    }
}

//! Maintenance: makes the tables of the days to come, closes those of days that are over,
//! and removes what is no longer kept. Every history does it; one at a time closes and
//! removes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use domain::{AccountId, Timestamp};
use store::{Day, Error, Expiry};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{Retention, Shared};

const INTERVAL: Duration = Duration::from_secs(3_600);
/// After one that failed.
const PAUSE: Duration = Duration::from_secs(60);

/// Replays and erasures that have ended are shown for so long.
const JOBS: Duration = Duration::from_secs(30 * 86_400);
/// Twice as long as EVENTS keeps what could be told again.
const MARKS: Duration = Duration::from_secs(14 * 86_400);

/// Days that are made ahead: history may be down for so long, and the first
/// batch of a day need not make it.
const AHEAD: i64 = 7;

/// Days that are closed each time: ninety that are there from before take a day.
const CLOSED: u32 = 4;

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
    store.forget_jobs(now.minus(JOBS), now.minus(MARKS)).await?;
    for_accounts(shared, now).await?;
    let expired = store.expire(expiry(shared.config.retention, now)).await?;
    if expired.tables > 0 || expired.rows > 0 {
        info!(
            tables = expired.tables,
            rows = expired.rows,
            "removed what is no longer kept"
        );
    }
    if let Err(error) = store.close_days(now, CLOSED).await {
        warn!(%error, "days that are over are not closed yet");
    }
    Ok(())
}

/// Accounts that are looked at together.
const ACCOUNTS: i64 = 256;

/// Removes what accounts want to have kept no longer.
async fn for_accounts(shared: &Shared, now: Timestamp) -> Result<(), Error> {
    let store = &shared.deps.store;
    let before = |days: Option<i64>| {
        let days = u64::try_from(days?).ok()?;
        Some(now.minus(Duration::from_secs(days.saturating_mul(86_400))))
    };
    let mut after = String::new();
    loop {
        let accounts = store.retentions(&after, ACCOUNTS).await?;
        let Some((last, _)) = accounts.last() else {
            return Ok(());
        };
        after.clone_from(last);
        for (account, asked) in &accounts {
            let Ok(account) = AccountId::parse(account) else {
                continue;
            };
            let (events, records) = (before(asked.event_days), before(asked.record_days));
            let expired = store.expire_account(&account, events, records).await?;
            if expired.rows > 0 {
                info!(rows = expired.rows, %account, "removed what {account} has kept no longer");
            }
        }
    }
}

fn expiry(retention: Retention, now: Timestamp) -> Expiry {
    Expiry {
        events_before: now.minus(retention.events),
        records_before: now.minus(retention.records),
    }
}

//! Following what all dispatchers record, so that the settled set also holds
//! what another one did, or this one before it was started anew.

use std::time::{Duration, SystemTime};

use broker::Broker;
use domain::{Outcome, Record, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::settled::{MEMORY, SettledSet, Settlement};

/// Between two questions that nats-server did not answer.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Following {
    broker: Broker,
    settled: SettledSet,
    /// The sequence in ATTEMPTS up to which the set is complete.
    position: watch::Sender<u64>,
}

impl Following {
    pub(crate) fn new(broker: Broker, settled: SettledSet) -> Self {
        let position = watch::Sender::new(0);
        Self {
            broker,
            settled,
            position,
        }
    }

    /// Notes the last minutes, then what comes, until `shutdown` is cancelled.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let mut follower = self.broker.follow_records(now().minus(MEMORY));
        loop {
            let (sequence, records) = tokio::select! {
                () = shutdown.cancelled() => return,
                next = follower.next() => next,
            };
            for record in &records {
                if matches!(record.outcome, Outcome::Deferred { .. }) {
                    continue;
                }
                let key = (record.delivery_id, record.attempt_number);
                self.settled.note(key, settlement(record), now());
            }
            self.position.send_replace(sequence);
        }
    }

    /// Waits until everything that is recorded now is noted. Waits out outages.
    pub(crate) async fn catch_up(&self) {
        let last = self.last_sequence().await;
        let mut position = self.position.subscribe();
        // The sender lives as long as this.
        let _ = position.wait_for(|position| *position >= last).await;
    }

    async fn last_sequence(&self) -> u64 {
        loop {
            match self.broker.last_record_sequence().await {
                Ok(sequence) => return sequence,
                Err(error) => tracing::debug!(%error, "cannot ask for the last record yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What a record says about its attempt.
pub(crate) fn settlement(record: &Record) -> Settlement {
    let next_attempt_at = match &record.outcome {
        Outcome::Attempt(attempt) => attempt.next_attempt_at,
        Outcome::Ended { .. } | Outcome::Deferred { .. } => None,
    };
    Settlement { next_attempt_at }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

//! Deliveries that are cancelled while an attempt of them may be under way: their
//! endpoint was disabled during the POST. What arrives has succeeded (see
//! `store::history::advance`), and nothing tells beforehand whether there is anything
//! to arrive. So a replay waits for as long as an attempt may take, and until what was
//! told by then is recorded.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::ReplayId;
use uuid::Uuid;

/// After a delivery is seen to be cancelled an attempt of it begins no later than the
/// directory tells the dispatcher, and is told and recorded in a moment: so long
/// beside the attempt's own timeout.
pub(super) const SETTLED: Duration = Duration::from_secs(10);
/// Of that, what recording may be late.
pub(super) const RECORDED: Duration = Duration::from_secs(5);

/// Since when a worker has seen which deliveries of replays cancelled, by event: no
/// more than a replay waits for at once. Not written down: a process that takes a
/// replay over waits anew.
#[derive(Debug, Default)]
pub(super) struct Cancelled(Mutex<HashMap<ReplayId, HashMap<Uuid, Instant>>>);

impl Cancelled {
    /// Notes the events whose deliveries are cancelled now; gives those that have been
    /// for `limit`.
    pub(super) fn note(
        &self,
        replay: ReplayId,
        events: impl Iterator<Item = Uuid>,
        limit: Duration,
        now: Instant,
    ) -> HashSet<Uuid> {
        let mut replays = self.lock();
        let before = replays.remove(&replay).unwrap_or_default();
        let since = |event| before.get(&event).copied().unwrap_or(now);
        let after: HashMap<Uuid, Instant> = events.map(|event| (event, since(event))).collect();
        if after.is_empty() {
            return HashSet::new();
        }
        let is_over = |since: Instant| now.duration_since(since) >= limit;
        let over = after.iter().filter(|(_, since)| is_over(**since));
        let over = over.map(|(event, _)| *event).collect();
        replays.insert(replay, after);
        over
    }

    /// No replay is open.
    pub(super) fn forget_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ReplayId, HashMap<Uuid, Instant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn a_delivery_that_stays_cancelled_is_over_after_the_limit() {
        let (cancelled, replay) = (Cancelled::default(), ReplayId::new());
        let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let begin = Instant::now();
        let note = |events: &[Uuid], seconds| {
            let now = begin + Duration::from_secs(seconds);
            cancelled.note(replay, events.iter().copied(), LIMIT, now)
        };
        assert!(note(&[first], 0).is_empty());
        assert!(note(&[first, second], 19).is_empty());
        assert_eq!(note(&[first, second], 20), HashSet::from([first]));
        assert_eq!(note(&[second], 39), HashSet::from([second]));
        // It has arrived, and another one of its event is cancelled later.
        assert!(note(&[], 40).is_empty());
        assert!(cancelled.lock().is_empty());
        assert!(note(&[second], 41).is_empty());
    }

    #[test]
    fn when_no_replay_is_open_nothing_is_remembered() {
        let (cancelled, replay) = (Cancelled::default(), ReplayId::new());
        let begin = Instant::now();
        let note = |now| cancelled.note(replay, std::iter::once(Uuid::nil()), LIMIT, now);
        assert!(note(begin).is_empty());
        cancelled.forget_all();
        assert!(note(begin + LIMIT).is_empty());
        assert_eq!(note(begin + LIMIT * 2).len(), 1);
    }
}

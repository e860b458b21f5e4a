//! A piece of the work on one replay: what has ended is counted, and as many
//! new deliveries begin as there is room for.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use domain::replay::allowance;
use domain::{
    AccountId, Cause, Content, DeliveryEvent, DeliveryId, DeliveryState, EndedReason, Endpoint,
    EndpointId, EventId, EventType, ReplayId, ReplayState, ReplayStatus, Timestamp,
};
use store::{Body, Candidate, Error, Known, Progress, ReplayRow, Tracked, Unfinished};
use telemetry::trace;
use uuid::Uuid;

use super::cancelled::{Cancelled, RECORDED, SETTLED};
use crate::Shared;
use crate::again::NewDelivery;
use crate::jobs::{Stepped, now};

/// Events that are looked at in one step, at least, and for each delivery that there
/// is room for: of some, nothing is to be sent.
const LOOKED_AT: usize = 32;
const LOOKED_AT_EACH: usize = 2;

pub(super) struct Step<'a> {
    pub(super) shared: &'a Shared,
    pub(super) cancelled: &'a Cancelled,
    pub(super) worker: Uuid,
    pub(super) id: ReplayId,
    /// Claimed.
    pub(super) row: ReplayRow,
}

impl Step<'_> {
    pub(super) async fn run(self) -> Result<Stepped, Error> {
        let deps = &self.shared.deps;
        // Until the directory is there, no endpoint is known to be gone.
        if !deps.endpoints.is_current() {
            return Ok(Stepped::Still);
        }
        let endpoint = EndpointId::from_uuid(self.row.endpoint_id);
        let Some(endpoint) = deps.endpoints.get(endpoint) else {
            deps.store.remove_replay(self.id).await?;
            return Ok(Stepped::Moved);
        };
        let mut unfinished = deps.store.unfinished(self.id).await?;
        let settled = self.settled(&unfinished, &endpoint).await;
        if !settled.is_empty() {
            // What was recorded until recording was said to be through.
            unfinished = deps.store.unfinished(self.id).await?;
        }
        let mut progress = Progress::default();
        let (mut untried, mut waiting) = (0, 0);
        for one in &unfinished {
            match end(one) {
                Some(End::Succeeded) => progress.succeeded += 1,
                Some(End::Failed) => progress.failed += 1,
                Some(End::Cancelled) if settled.contains(&one.event_id) => progress.failed += 1,
                Some(End::Cancelled) => {
                    waiting += 1;
                    continue;
                }
                Some(End::Erased) => progress.erased += 1,
                None => {
                    waiting += 1;
                    untried += usize::from(one.attempts.unwrap_or(0) == 0);
                    continue;
                }
            }
            progress.finished.push(one.event_id);
        }
        let running = self.row.state == ReplayState::Running.as_str();
        let mut all_sent = !running || self.row.has_sent_all();
        // A disabled endpoint's replay waits until it is enabled again, an
        // unverified one's until it is verified.
        let may_be_sent = !endpoint.disabled && !endpoint.awaits_verification();
        if !all_sent && may_be_sent && deps.broker.is_connected() {
            let room = allowance(&endpoint, untried, waiting);
            if room > 0 {
                all_sent = self.send(&endpoint, room, &mut progress).await?;
            }
        }
        if all_sent && !self.row.has_sent_all() {
            // The next one of the endpoint may begin.
            progress.cursor = Some(self.row.end());
        }
        if all_sent && waiting == 0 && progress.tracked.is_empty() {
            progress.ended_at = Some(now());
        }
        let changed = progress.cursor.is_some()
            || progress.ended_at.is_some()
            || !progress.finished.is_empty();
        if changed {
            let store = &deps.store;
            store.save_progress(self.id, self.worker, &progress).await?;
        }
        Ok(if changed {
            Stepped::Moved
        } else {
            Stepped::Still
        })
    }

    /// The events whose deliveries have been cancelled for so long that no attempt of
    /// them is under way, or on its way into the tables.
    async fn settled(&self, unfinished: &[Unfinished], endpoint: &Endpoint) -> HashSet<Uuid> {
        let shared = self.shared;
        let timeout = endpoint.policy.timeout;
        let timeout = timeout.unwrap_or(shared.config.delivery_timeout);
        let cancelled = unfinished
            .iter()
            .filter(|one| end(one) == Some(End::Cancelled))
            .map(|one| one.event_id);
        let settled = self
            .cancelled
            .note(self.id, cancelled, timeout + SETTLED, Instant::now());
        if !settled.is_empty() && shared.attempts_are_recorded(RECORDED).await {
            settled
        } else {
            HashSet::new()
        }
    }

    /// Begins up to `room` deliveries; whether nothing is left to be sent.
    async fn send(
        &self,
        endpoint: &Endpoint,
        room: usize,
        progress: &mut Progress,
    ) -> Result<bool, Error> {
        let limit = LOOKED_AT.max(room * LOOKED_AT_EACH);
        let store = &self.shared.deps.store;
        let candidates = store.candidates(&self.row, limit, now()).await?;
        let is_last = candidates.len() < limit;
        let mut new = Vec::new();
        let mut looked_at = 0;
        for candidate in &candidates {
            if progress.tracked.len() >= room {
                break;
            }
            if !self.decide(candidate, endpoint, &mut new, progress) {
                break;
            }
            looked_at += 1;
            progress.cursor = Some((candidate.accepted_at, candidate.event_id));
        }
        let published = futures::future::try_join_all(
            new.into_iter()
                .map(|delivery| delivery.publish(self.shared)),
        );
        published
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(is_last && looked_at == candidates.len())
    }

    /// Begins what is to be done about an event; nothing, and `false`, if that is
    /// not known yet.
    fn decide<'e>(
        &self,
        candidate: &Candidate,
        endpoint: &'e Endpoint,
        new: &mut Vec<NewDelivery<'e>>,
        progress: &mut Progress,
    ) -> bool {
        let event = EventId::from_uuid(candidate.event_id);
        let own = DeliveryId::replayed(self.id, event);
        let track = |delivery: Uuid| Tracked {
            event_id: candidate.event_id,
            accepted_at: candidate.accepted_at,
            delivery_id: delivery,
        };
        let failed_only = self.row.status == ReplayStatus::Failed.as_str();
        match fate(candidate, own.uuid(), failed_only) {
            Fate::Skip => {}
            Fate::Adopt(delivery) => progress.tracked.push(track(delivery)),
            Fate::Made => {
                progress.sent += 1;
                progress.tracked.push(track(own.uuid()));
            }
            Fate::Send => match &candidate.body {
                Body::Erased { counted } => progress.erased += i64::from(*counted),
                Body::Expired => progress.failed += 1,
                Body::Untold => return false,
                Body::Kept(body) => match self.carried(candidate, body) {
                    None => progress.failed += 1,
                    Some(carried) => {
                        progress.sent += 1;
                        progress.tracked.push(track(own.uuid()));
                        new.push(NewDelivery {
                            id: own,
                            cause: Cause::Replay,
                            endpoint,
                            event: Arc::new(carried),
                        });
                    }
                },
            },
        }
        true
    }

    /// `None`: the rows cannot be read.
    fn carried(&self, candidate: &Candidate, body: &[u8]) -> Option<DeliveryEvent> {
        Some(DeliveryEvent {
            id: EventId::from_uuid(candidate.event_id),
            account: AccountId::parse(&self.row.account).ok()?,
            event_type: EventType::parse(&candidate.event_type).ok()?,
            accepted_at: Timestamp::from_unix_millis(candidate.accepted_at),
            content: Content::Inline(Bytes::copy_from_slice(body)),
            trace: trace::entered(None),
        })
    }
}

/// How a tracked delivery has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Succeeded,
    Failed,
    /// An attempt that was under way may still arrive: then it has succeeded.
    Cancelled,
    /// Its event is erased, and so it was not made.
    Erased,
}

fn end(one: &Unfinished) -> Option<End> {
    let is_erased = one.reason.as_deref() == Some(EndedReason::Erased.as_str());
    match one.state.as_deref().map(str::parse) {
        Some(Ok(DeliveryState::Succeeded)) => Some(End::Succeeded),
        Some(Ok(DeliveryState::Failed)) if is_erased => Some(End::Erased),
        Some(Ok(DeliveryState::Failed)) => Some(End::Failed),
        Some(Ok(DeliveryState::Cancelled)) => Some(End::Cancelled),
        Some(Ok(DeliveryState::Pending) | Err(_)) => None,
        // Not recorded yet, or erased with its event.
        None => (!one.is_kept).then_some(End::Erased),
    }
}

/// What is to be done about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It has succeeded.
    Skip,
    /// This delivery is on its way already: its end is the replay's.
    Adopt(Uuid),
    /// The replay's own delivery is made; only the note of it was lost.
    Made,
    /// The replay's own delivery is to be published, maybe once more.
    Send,
}

/// Decides by the deliveries of an event, of which the replay's own would be
/// `own`.
fn fate(candidate: &Candidate, own: Uuid, failed_only: bool) -> Fate {
    let deliveries = &candidate.deliveries;
    let is_in = |one: &Known, state: DeliveryState| one.state == state.as_str();
    if let Some(own) = deliveries.iter().find(|one| one.id == own) {
        let seen =
            !is_in(own, DeliveryState::Pending) || own.attempts > 0 || !own.reason.is_empty();
        // The plan alone may be all that was published of it.
        return if seen { Fate::Made } else { Fate::Send };
    }
    let succeeded = |one: &Known| is_in(one, DeliveryState::Succeeded);
    if failed_only && deliveries.iter().any(succeeded) {
        return Fate::Skip;
    }
    let pending = deliveries
        .iter()
        .find(|one| is_in(one, DeliveryState::Pending));
    if let Some(pending) = pending {
        return Fate::Adopt(pending.id);
    }
    let is_recorded = |id: &Uuid| deliveries.iter().any(|one| one.id == *id);
    let unrecorded = candidate.awaited.filter(|id| !is_recorded(id));
    unrecorded.map_or(Fate::Send, Fate::Adopt)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    fn known(id: Uuid, state: DeliveryState, attempts: i64) -> Known {
        Known {
            id,
            event_id: Uuid::nil(),
            state: state.as_str().to_owned(),
            reason: String::new(),
            attempts,
        }
    }

    fn event(deliveries: &[Known]) -> Candidate {
        Candidate {
            event_id: Uuid::nil(),
            accepted_at: 0,
            event_type: String::new(),
            body: Body::Kept(Vec::new()),
            deliveries: deliveries.to_vec(),
            awaited: None,
        }
    }

    #[test]
    fn what_has_succeeded_is_sent_again_only_if_all_is_asked_for() {
        let failed = known(OTHER, DeliveryState::Failed, 3);
        let succeeded = known(Uuid::from_u128(3), DeliveryState::Succeeded, 1);
        let both = event(&[failed.clone(), succeeded]);
        assert_eq!(fate(&both, OWN, true), Fate::Skip);
        assert_eq!(fate(&both, OWN, false), Fate::Send);
        assert_eq!(fate(&event(&[failed]), OWN, true), Fate::Send);
    }

    #[test]
    fn what_is_on_its_way_is_not_sent_twice() {
        let pending = event(&[known(OTHER, DeliveryState::Pending, 1)]);
        for failed_only in [true, false] {
            assert_eq!(fate(&pending, OWN, failed_only), Fate::Adopt(OTHER));
        }
    }

    #[test]
    fn what_another_replay_has_sent_is_waited_for_until_it_is_recorded() {
        let first = known(Uuid::from_u128(3), DeliveryState::Failed, 1);
        let mut sent = event(std::slice::from_ref(&first));
        sent.awaited = Some(OTHER);
        for failed_only in [true, false] {
            assert_eq!(fate(&sent, OWN, failed_only), Fate::Adopt(OTHER));
        }
        sent.deliveries
            .push(known(OTHER, DeliveryState::Succeeded, 1));
        assert_eq!(fate(&sent, OWN, true), Fate::Skip);
        sent.deliveries[1] = known(OTHER, DeliveryState::Failed, 1);
        assert_eq!(fate(&sent, OWN, true), Fate::Send);
    }

    #[test]
    fn a_delivery_made_before_a_crash_is_found_again() {
        let of = |own: Known| fate(&event(&[own]), OWN, true);
        let planned = known(OWN, DeliveryState::Pending, 0);
        assert_eq!(of(planned.clone()), Fate::Send);
        let parked = Known {
            reason: "throttled".to_owned(),
            ..planned
        };
        assert_eq!(of(parked), Fate::Made);
        for state in [DeliveryState::Succeeded, DeliveryState::Failed] {
            assert_eq!(of(known(OWN, state, 1)), Fate::Made);
        }
        assert_eq!(of(known(OWN, DeliveryState::Pending, 1)), Fate::Made);
    }

    #[test]
    fn a_delivery_ends_with_its_event() {
        let mut one = Unfinished {
            event_id: Uuid::nil(),
            state: None,
            reason: None,
            attempts: None,
            is_kept: true,
        };
        assert_eq!(end(&one), None, "it is not recorded yet");
        one.is_kept = false;
        assert_eq!(end(&one), Some(End::Erased));
        one.is_kept = true;
        for (state, reason, expected) in [
            ("cancelled", "endpoint_disabled", Some(End::Cancelled)),
            ("failed", "retries_exhausted", Some(End::Failed)),
            ("failed", "erased", Some(End::Erased)),
            ("succeeded", "", Some(End::Succeeded)),
            ("pending", "retrying", None),
        ] {
            one.state = Some(state.to_owned());
            one.reason = Some(reason.to_owned());
            assert_eq!(end(&one), expected, "{state} {reason}");
        }
    }
}

//! Plans that leave out the same endpoints for the same reasons. An account with
//! hundreds of endpoints has most of them in every plan, 17 bytes each; so a plan that
//! repeats another one says only whose.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use domain::{EventId, NotSent, Plan, Timestamp};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::History;
use super::days::Day;
use super::marks::{Asked, Marks};
use super::page::EventKey;
use crate::Error;

/// Shorter ones are written as they are: a reader of the other ones has one way more to
/// the database.
const WORTH: usize = 64;
/// Plans that others may repeat, at most.
const REMEMBERED: usize = 4_096;
/// A plan is repeated by those of events so much younger. PostgreSQL drops both with
/// their day; where rows are deleted by age, the younger ones say nothing of it for so
/// long before they go too.
const REPEATED_MS: i64 = 600_000;
/// A plan may repeat one that repeats another, if the one between was recorded by two
/// processes. The events get older with each, so there is an end to it.
const MAX_STEPS: usize = 16;

/// What the plans of this process that are committed leave out. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Alike(Arc<Mutex<HashMap<[u8; 32], EventKey>>>);

impl Alike {
    /// For one transaction.
    pub(super) fn begin(&self) -> Repeats<'_> {
        Repeats {
            alike: self,
            new: Vec::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], EventKey>> {
        // A map is whole after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a transaction repeats, and what it writes that may be repeated.
#[derive(Debug)]
pub(super) struct Repeats<'a> {
    alike: &'a Alike,
    new: Vec<([u8; 32], EventKey)>,
}

impl Repeats<'_> {
    /// What is to be written for a plan. What is erased by these `marks` is not
    /// repeated: it goes.
    pub(super) fn pack(&mut self, plan: &Plan, marks: &Marks) -> Bytes {
        let whole = plan.not_sent.as_bytes();
        if plan.not_sent.len() < WORTH {
            return whole.clone();
        }
        let event = (plan.event_id.uuid(), plan.accepted_at.unix_millis());
        let digest = plan.not_sent.digest();
        match self.alike.lock().get(&digest) {
            Some(&told) if may_repeat(told, event) && !is_erased(told, plan, marks) => {
                NotSent::same_as(EventId::from_uuid(told.0), told.1)
            }
            _ => {
                self.new.push((digest, event));
                whole.clone()
            }
        }
    }

    /// It is committed.
    pub(super) fn committed(self) {
        if self.new.is_empty() {
            return;
        }
        let mut alike = self.alike.lock();
        if alike.len() + self.new.len() > REMEMBERED {
            alike.clear();
        }
        for (digest, event) in self.new {
            let told = alike.entry(digest).or_insert(event);
            // One that comes again may be older, and its row repeats another one.
            if told.1 < event.1 {
                *told = event;
            }
        }
    }
}

fn is_erased((event, accepted_at): EventKey, plan: &Plan, marks: &Marks) -> bool {
    marks.cover(Asked {
        event: EventId::from_uuid(event),
        account: &plan.account,
        accepted_at: Timestamp::from_unix_millis(accepted_at),
    })
}

/// Whether the younger event's plan may say that it is as the one that was told: both
/// are of one day, whose tables go together, and close.
fn may_repeat(told: EventKey, event: EventKey) -> bool {
    let distance = event.1 - told.1;
    let day = |event: EventKey| Day::of(Timestamp::from_unix_millis(event.1));
    day(event) == day(told) && distance > 0 && distance < REPEATED_MS
}

impl History {
    /// Puts what is meant in place of each that only says whose plan says it.
    pub(super) async fn spelled_out(&self, mut plans: Vec<&mut NotSent>) -> Result<(), Error> {
        for _ in 0..MAX_STEPS {
            plans.retain(|plan| plan.is_same_as().is_some());
            let mut meant: Vec<EventKey> = plans
                .iter()
                .filter_map(|plan| plan.is_same_as())
                .map(|(event, at)| (event.uuid(), at))
                .collect();
            // In the order of time, so that a day is asked once.
            meant.sort_unstable_by_key(|(id, at)| (*at, *id));
            meant.dedup();
            if meant.is_empty() {
                break;
            }
            let found = self.left_out_by(&meant).await?;
            for plan in &mut plans {
                let meant = plan.is_same_as();
                let found = meant.and_then(|(event, _)| found.get(&event.uuid()));
                **plan = found.cloned().unwrap_or_default();
            }
        }
        Ok(())
    }

    async fn left_out_by(&self, events: &[EventKey]) -> Result<HashMap<Uuid, NotSent>, Error> {
        let asked = self.at_once(events).map(|keys| async move {
            let found: Vec<(Uuid, Vec<u8>)> = reading!(self.pool, connection => {
                let mut query = QueryBuilder::default();
                keys.look_up(&mut query, "SELECT event_id, not_sent FROM plans", "event_id");
                Ok(query.build_query_as().persistent(false).fetch_all(&mut *connection).await?)
            })?;
            Ok(found)
        });
        let found = self.beside.all(asked.collect()).await?;
        let read = |(event, bytes): (Uuid, Vec<u8>)| (event, NotSent::from_bytes(bytes.into()));
        Ok(found.into_iter().flatten().map(read).collect())
    }
}

#[cfg(test)]
mod tests {
    use domain::{AccountId, EndpointId, ErasureMark, EventType, NotSentReason};

    use super::*;

    fn plan(at: i64, others: usize) -> Plan {
        let one = EndpointId::from_uuid(Uuid::from_u128(1));
        let others = std::iter::repeat_n((one, NotSentReason::Disabled), others);
        Plan {
            event_id: EventId::new(),
            account: AccountId::parse("acme").expect("a name"),
            event_type: EventType::parse("message.report").expect("a name"),
            accepted_at: Timestamp::from_unix_millis(at),
            planned_at: Timestamp::from_unix_millis(at),
            deliveries: Vec::new(),
            not_sent: others.collect(),
        }
    }

    fn pack(alike: &Alike, plan: &Plan) -> Bytes {
        alike.begin().pack(plan, &Marks::default())
    }

    #[test]
    fn what_is_committed_is_repeated() {
        let alike = Alike::default();
        let (first, second, third) = (plan(1, WORTH), plan(2, WORTH), plan(3, WORTH));
        let mut repeats = alike.begin();
        for whole in [&first, &second] {
            let packed = repeats.pack(whole, &Marks::default());
            assert_eq!(
                packed,
                whole.not_sent.as_bytes(),
                "it may come to nothing yet"
            );
        }
        drop(repeats);
        let mut repeats = alike.begin();
        let packed = repeats.pack(&second, &Marks::default());
        assert_eq!(packed, second.not_sent.as_bytes());
        repeats.committed();
        let packed = NotSent::from_bytes(pack(&alike, &third));
        assert_eq!(packed.is_same_as(), Some((second.event_id, 2)));
        let (short, other) = (plan(4, WORTH - 1), plan(4, WORTH + 1));
        for whole in [short, other] {
            assert_eq!(pack(&alike, &whole), whole.not_sent.as_bytes());
        }
    }

    #[test]
    fn what_is_erased_or_older_is_not_repeated() {
        let alike = Alike::default();
        let (first, again, next) = (plan(2, WORTH), plan(1, WORTH), plan(3, WORTH));
        for told in [&first, &again] {
            let mut repeats = alike.begin();
            repeats.pack(told, &Marks::default());
            repeats.committed();
        }
        let packed = NotSent::from_bytes(pack(&alike, &next));
        assert_eq!(packed.is_same_as(), Some((first.event_id, 2)));
        let marks = Marks::of([(ErasureMark::of_account(&next.account), 3)]);
        let packed = alike.begin().pack(&next, &marks);
        assert_eq!(packed, next.not_sent.as_bytes());
    }

    #[test]
    fn a_plan_is_repeated_by_younger_ones_of_its_day() {
        let at = |at: i64| (Uuid::nil(), at);
        let day = Day::of(Timestamp::from_unix_millis(1_795_000_000_000));
        let midnight = day.start().unix_millis();
        assert!(may_repeat(at(midnight), at(midnight + 1)));
        assert!(may_repeat(at(midnight), at(midnight + REPEATED_MS - 1)));
        assert!(!may_repeat(at(midnight), at(midnight + REPEATED_MS)));
        assert!(!may_repeat(at(midnight), at(midnight)));
        assert!(!may_repeat(at(midnight + 1), at(midnight)));
        assert!(!may_repeat(at(midnight - 1), at(midnight)));
    }
}

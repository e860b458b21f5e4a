//! What is erased, as whoever meets something of it must know.

use std::collections::{HashMap, HashSet};

use domain::{AccountId, ErasureMark, EventId, Timestamp};
use uuid::Uuid;

use super::History;
use super::record::Batch;
use crate::Error;
use crate::bulk::{Bulk, Key, Lookup};

static MARKS: Lookup = Lookup {
    sqlite: "WITH RECURSIVE keys (place) AS (SELECT 1 UNION ALL SELECT place + 16 FROM keys \
             WHERE place + 16 <= length($1)) SELECT m.id, m.accepted_before \
             FROM keys CROSS JOIN erased AS m ON m.id = substr($1, place, 16)",
    postgres: "SELECT id, accepted_before FROM erased WHERE id = ANY($1)",
};

/// An event by which an item is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub event: EventId,
    pub account: &'a AccountId,
    pub accepted_at: Timestamp,
}

/// By what an event is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Its own mark: that there was one stays.
    Event,
    /// Its account's.
    Account,
}

/// Marks that were found.
#[derive(Debug, Clone, Default)]
pub struct Marks(HashMap<Uuid, i64>);

impl Marks {
    /// Whether nothing that was asked about is erased.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an event that was asked about is erased.
    #[must_use]
    pub fn cover(&self, asked: Asked<'_>) -> bool {
        self.by(asked).is_some()
    }

    pub(super) fn by(&self, asked: Asked<'_>) -> Option<By> {
        if self.0.is_empty() {
            return None;
        }
        let at = asked.accepted_at.unix_millis();
        let covers = |id| self.0.get(&id).is_some_and(|before| at < *before);
        if covers(ErasureMark::of_account(asked.account)) {
            Some(By::Account)
        } else if covers(ErasureMark::of_event(asked.event)) {
            Some(By::Event)
        } else {
            None
        }
    }

    #[cfg(test)]
    pub(super) fn of(marks: impl IntoIterator<Item = (Uuid, i64)>) -> Self {
        Self(marks.into_iter().collect())
    }

    /// Finds those of events, each once.
    pub(super) async fn find<C: Bulk>(
        connection: &mut C,
        asked: impl Iterator<Item = Asked<'_>>,
    ) -> Result<Self, Error> {
        let (mut ids, mut accounts) = (HashSet::new(), HashSet::new());
        for one in asked {
            ids.insert(ErasureMark::of_event(one.event));
            if accounts.insert(one.account) {
                ids.insert(ErasureMark::of_account(one.account));
            }
        }
        let keys: Vec<Key<1>> = ids
            .into_iter()
            .map(|id| Key {
                ids: [id],
                at: None,
            })
            .collect();
        let found: Vec<(Uuid, i64)> = connection.find(&MARKS, &keys).await?;
        let mut marks = HashMap::new();
        for (id, before) in found {
            let known = marks.entry(id).or_insert(before);
            *known = before.max(*known);
        }
        Ok(Self(marks))
    }
}

/// Every event that a batch tells of.
pub(super) fn told_by<'a>(batch: Batch<'a>) -> impl Iterator<Item = Asked<'a>> {
    let events = batch.events.iter().map(of_event);
    let plans = batch.plans.iter().map(of_plan);
    events
        .chain(plans)
        .chain(batch.records.iter().map(of_record))
}

pub(super) fn of_event(event: &domain::AcceptedEvent) -> Asked<'_> {
    Asked {
        event: event.id,
        account: &event.account,
        accepted_at: event.accepted_at,
    }
}

pub(super) fn of_plan(plan: &domain::Plan) -> Asked<'_> {
    Asked {
        event: plan.event_id,
        account: &plan.account,
        accepted_at: plan.accepted_at,
    }
}

pub(super) fn of_record(record: &domain::Record) -> Asked<'_> {
    Asked {
        event: record.event_id,
        account: &record.account,
        accepted_at: record.accepted_at,
    }
}

impl History {
    /// Which of these events are erased.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn erased_among(&self, asked: &[Asked<'_>]) -> Result<Marks, Error> {
        reading!(self.pool, connection => {
            Marks::find(&mut *connection, asked.iter().copied()).await
        })
    }
}

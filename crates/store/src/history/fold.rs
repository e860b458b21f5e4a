//! What a batch changes, worked out in memory: every delivery is written once,
//! with the state it ends in, however many outcomes of it the batch holds.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::{Attempt, Cause, DeliveryState, Outcome, Record, Timestamp};
use uuid::Uuid;

use super::Stats;
use super::advance::Standing;
use super::condition::Condition;
use super::findings::{Findings, exhausted, failing, recovered};
use super::marks::{Marks, of_plan};
use super::read::StandingRow;
use super::record::Batch;
use crate::Error;
use crate::bulk::Key;

const HOUR_MS: i64 = 3_600_000;

/// What the tables hold about a batch.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) endpoints: HashMap<Uuid, Condition>,
    pub(super) deliveries: HashMap<Uuid, StandingRow>,
    pub(super) attempts: HashSet<Uuid>,
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Changes<'a> {
    pub(super) deliveries: Vec<Draft<'a>>,
    pub(super) attempts: Vec<(&'a Record, &'a Attempt)>,
    /// By endpoint and hour.
    pub(super) counts: BTreeMap<(Uuid, i64), Stats>,
    pub(super) endpoints: Vec<Condition>,
    pub(super) findings: Findings,
}

/// A delivery that the batch tells of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draft<'a> {
    pub(super) id: Uuid,
    pub(super) event_id: Uuid,
    pub(super) endpoint_id: Uuid,
    pub(super) account: &'a str,
    pub(super) event_type: &'a str,
    pub(super) cause: Cause,
    pub(super) generation: i64,
    pub(super) accepted_at: Timestamp,
    /// Since when its first attempt is due, if that is told.
    pub(super) planned_at: Option<Timestamp>,
    /// Its event is erased: it is not made any more.
    pub(super) erased: bool,
    /// Where it is recorded to stand; `None`: it is not recorded.
    pub(super) before: Option<Standing>,
    /// Where it stands after the batch.
    pub(super) standing: Standing,
}

impl<'a> Draft<'a> {
    /// The deliveries that a batch tells of, each once. What is about a deleted
    /// endpoint is left out.
    pub(super) fn of(
        batch: Batch<'a>,
        endpoints: &HashMap<Uuid, Condition>,
        marks: &Marks,
    ) -> Vec<Self> {
        let planned = batch.plans.iter().map(|plan| plan.deliveries.len());
        let at_most = planned.sum::<usize>() + batch.records.len();
        let mut seen = HashSet::with_capacity(at_most);
        let of_plans = batch.plans.iter().flat_map(|plan| {
            plan.deliveries.iter().map(|planned| Self {
                id: planned.id.uuid(),
                event_id: plan.event_id.uuid(),
                endpoint_id: planned.endpoint_id.uuid(),
                account: plan.account.as_str(),
                event_type: plan.event_type.as_str(),
                cause: planned.cause,
                generation: number(planned.endpoint_generation),
                accepted_at: plan.accepted_at,
                planned_at: Some(plan.planned_at),
                erased: marks.cover(of_plan(plan)),
                before: None,
                standing: Standing::new(false),
            })
        });
        let of_records = batch.records.iter().map(|record| Self {
            id: record.delivery_id.uuid(),
            event_id: record.event_id.uuid(),
            endpoint_id: record.endpoint_id.uuid(),
            account: record.account.as_str(),
            event_type: record.event_type.as_str(),
            cause: record.cause,
            generation: number(record.endpoint_generation),
            accepted_at: record.accepted_at,
            planned_at: None,
            erased: false,
            before: None,
            standing: Standing::new(false),
        });
        let told = of_plans.chain(of_records);
        // In one piece from the beginning: some thousands are moved each time they outgrow it.
        let mut drafts = Vec::with_capacity(at_most);
        drafts.extend(
            told.filter(|draft| !endpoints[&draft.endpoint_id].deleted && seen.insert(draft.id)),
        );
        drafts
    }

    pub(super) const fn key(&self) -> Key<2> {
        Key {
            ids: [self.event_id, self.id],
            at: Some(self.accepted_at.unix_millis()),
        }
    }

    /// Whether stats and health count it.
    pub(super) fn counts(&self) -> bool {
        self.cause != Cause::Test
    }

    /// Whether its plan alone tells since when it is due: it may come after records that
    /// tell why the delivery waits.
    fn is_due_by_its_plan(&self) -> bool {
        self.planned_at.is_some()
            && self.standing.state == DeliveryState::Pending
            && self.standing.next_attempt_at.is_none()
    }

    fn begin(&mut self, known: &Known) -> Result<(), Error> {
        let row = known.deliveries.get(&self.id);
        self.before = row.map(StandingRow::standing).transpose()?;
        // Disabled since it was planned.
        let outdated = self.generation < known.endpoints[&self.endpoint_id].generation;
        self.standing = self.before.unwrap_or(Standing::new(outdated));
        if self.erased {
            self.standing = self.standing.erased();
        }
        Ok(())
    }
}

/// What the batch changes of what is known; `drafts` are the deliveries it
/// tells of.
///
/// # Errors
///
/// When a stored row cannot be read.
pub(super) fn fold<'a>(
    batch: Batch<'a>,
    mut drafts: Vec<Draft<'a>>,
    mut known: Known,
) -> Result<Changes<'a>, Error> {
    for draft in &mut drafts {
        draft.begin(&known)?;
    }
    let mut changes = Changes::default();
    let mut by_id: HashMap<Uuid, &mut Draft<'a>> =
        drafts.iter_mut().map(|draft| (draft.id, draft)).collect();
    let mut repeated = Vec::new();
    for record in batch.records {
        // Without one: its endpoint is deleted.
        let Some(draft) = by_id.get_mut(&record.delivery_id.uuid()) else {
            if matches!(record.outcome, Outcome::Attempt(_)) {
                let erased = &mut changes.findings.erased;
                erased.endpoints.insert(record.endpoint_id);
            }
            continue;
        };
        if let Outcome::Attempt(attempt) = &record.outcome {
            if !known.attempts.insert(attempt.id.uuid()) {
                repeated.push((record, &**attempt));
                continue;
            }
            changes.attempts.push((record, &**attempt));
        }
        let moved = draft.standing.after(record.attempt_number, &record.outcome);
        draft.standing = moved;
    }
    let attempts = Attempts {
        new: &changes.attempts,
        repeated: &repeated,
    };
    let touched = note(&mut known.endpoints, attempts, &mut changes.findings);
    changes.findings.exhausted = exhausted(attempts, |id| by_id[&id].standing);
    changes.findings.failing = failing(attempts, &known.endpoints);
    settle(drafts, known.endpoints, touched, &mut changes);
    Ok(changes)
}

/// Those of a batch, by whether they are told for the first time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempts<'b, 'a> {
    pub(super) new: &'b [(&'a Record, &'a Attempt)],
    pub(super) repeated: &'b [(&'a Record, &'a Attempt)],
}

/// Notes how endpoints are doing; gives those of which something changed.
fn note(
    endpoints: &mut HashMap<Uuid, Condition>,
    attempts: Attempts<'_, '_>,
    findings: &mut Findings,
) -> HashSet<Uuid> {
    let mut touched = HashSet::new();
    let mut new: Vec<_> = attempts
        .new
        .iter()
        .filter(|(record, _)| record.cause != Cause::Test)
        .collect();
    new.sort_by_key(|(_, attempt)| attempt.started_at);
    for (record, attempt) in new {
        let id = record.endpoint_id.uuid();
        if let Some(endpoint) = endpoints.get_mut(&id) {
            endpoint.attempted(number(record.endpoint_generation), attempt);
            findings
                .recovered
                .extend(recovered(record, attempt, endpoint));
            touched.insert(id);
        }
    }
    for (record, attempt) in attempts.repeated {
        let endpoint = &endpoints[&record.endpoint_id.uuid()];
        findings
            .recovered
            .extend(recovered(record, attempt, endpoint));
    }
    touched
}

/// Draws the sum of what deliveries and endpoints changed.
fn settle<'a>(
    drafts: Vec<Draft<'a>>,
    mut endpoints: HashMap<Uuid, Condition>,
    mut touched: HashSet<Uuid>,
    changes: &mut Changes<'a>,
) {
    for draft in drafts {
        if draft.before == Some(draft.standing) && !draft.is_due_by_its_plan() {
            continue;
        }
        if draft.counts() {
            let hour = draft.accepted_at.unix_millis().div_euclid(HOUR_MS);
            let delta = changes.counts.entry((draft.endpoint_id, hour)).or_default();
            *delta += draft.standing.counts();
            if let Some(before) = draft.before {
                *delta -= before.counts();
            }
            let endpoint = endpoints.get_mut(&draft.endpoint_id);
            if endpoint.is_some_and(|endpoint| endpoint.moved(draft.before, draft.standing)) {
                touched.insert(draft.endpoint_id);
            }
        }
        changes.deliveries.push(draft);
    }
    changes.counts.retain(|_, delta| *delta != Stats::default());
    changes.endpoints = touched
        .into_iter()
        .filter_map(|id| endpoints.remove(&id))
        .collect();
}

fn number(generation: u64) -> i64 {
    i64::try_from(generation).unwrap_or(i64::MAX)
}

//! What the messages of a batch hold.

use broker::{Input, Message};
use domain::{AcceptedEvent, EventId, Outcome, Plan, Record, TraceContext};
use proto::DecodeError;
use store::Batch;

const EVENT: &str = "event";
const PLAN: &str = "plan";
const RECORD: &str = "record";

/// Events, plans and records, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Items {
    events: Vec<AcceptedEvent>,
    plans: Vec<Plan>,
    records: Vec<Record>,
}

impl Items {
    /// Adds what a message of an input holds.
    pub(super) fn add(&mut self, input: Input, message: &Message) -> Result<(), DecodeError> {
        match input {
            Input::Plans => self.plans.append(&mut message.plans()?),
            Input::Records => self.records.append(&mut message.records()?),
            _ => self.events.push(message.event()?),
        }
        Ok(())
    }

    pub(super) fn batch(&self) -> Batch<'_> {
        Batch {
            events: &self.events,
            plans: &self.plans,
            records: &self.records,
        }
    }

    /// The contexts of the events, and of the attempts that were made.
    pub(super) fn traces(&self) -> impl Iterator<Item = &TraceContext> {
        let attempts = self
            .records
            .iter()
            .filter_map(|record| match &record.outcome {
                Outcome::Attempt(attempt) => Some(&attempt.trace),
                Outcome::Ended { .. } | Outcome::Deferred { .. } => None,
            });
        self.events.iter().map(|event| &event.trace).chain(attempts)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts().iter().all(|(_, count)| *count == 0)
    }

    /// How many there are of each kind.
    pub(super) fn counts(&self) -> [(&'static str, u64); 3] {
        [
            (EVENT, self.events.len() as u64),
            (PLAN, self.plans.len() as u64),
            (RECORD, self.records.len() as u64),
        ]
    }

    /// Each alone, with its kind, a name for it, and its event.
    pub(super) fn split(self) -> impl Iterator<Item = (&'static str, String, EventId, Self)> {
        let events = self.events.into_iter().map(|event| {
            let items = Self {
                events: vec![event],
                ..Self::default()
            };
            let event = items.events[0].id;
            (EVENT, event.to_string(), event, items)
        });
        let plans = self.plans.into_iter().map(|plan| {
            let items = Self {
                plans: vec![plan],
                ..Self::default()
            };
            let event = items.plans[0].event_id;
            (PLAN, event.to_string(), event, items)
        });
        let records = self.records.into_iter().map(|record| {
            let name = format!("{} {}", record.delivery_id, record.attempt_number);
            let event = record.event_id;
            let items = Self {
                records: vec![record],
                ..Self::default()
            };
            (RECORD, name, event, items)
        });
        events.chain(plans).chain(records)
    }
}

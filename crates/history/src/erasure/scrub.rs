//! One message of a stream: what is erased goes out of it.

use std::collections::HashSet;

use broker::{Contents, Stored};
use domain::{Delivery, EndpointId, Outcome, Plan, Record};
use store::{Asked, Error, Marks, Pending};

use crate::Shared;
use crate::lag::LATE;

/// What is known to be erased of what some messages hold.
#[derive(Debug, Default)]
pub(crate) struct Scrub {
    marks: Marks,
    endpoints: HashSet<EndpointId>,
}

impl Scrub {
    /// Finds out for these messages.
    pub(crate) async fn of(shared: &Shared, messages: &[Stored]) -> Result<Self, Error> {
        let (mut asked, mut endpoints) = (Vec::new(), HashSet::new());
        for message in messages {
            match &message.contents {
                Contents::Event(event) => asked.push(Asked {
                    event: event.id,
                    account: &event.account,
                    accepted_at: event.accepted_at,
                }),
                Contents::Plans(plans) => {
                    asked.extend(plans.iter().map(of_plan));
                    endpoints.extend(plans.iter().flat_map(endpoints_of));
                }
                Contents::Deliveries(deliveries) => {
                    asked.extend(deliveries.iter().map(of_delivery));
                    endpoints.extend(deliveries.iter().map(|one| one.endpoint_id));
                }
                Contents::Records(records) => {
                    asked.extend(records.iter().map(of_record));
                    endpoints.extend(records.iter().map(|one| one.endpoint_id));
                }
                Contents::Unreadable => {}
            }
        }
        let store = &shared.deps.store;
        Ok(Self {
            marks: store.erased_among(&asked).await?,
            endpoints: store.deleted_among(&endpoints).await?,
        })
    }

    /// Takes what is erased out of a message; whether there was anything.
    pub(crate) async fn message(&self, shared: &Shared, message: &Stored) -> Result<bool, Error> {
        let Some(rest) = self.rest(&message.contents) else {
            return Ok(false);
        };
        let rest = match rest {
            Contents::Deliveries(deliveries) => {
                Contents::Deliveries(still_to_make(shared, deliveries).await?)
            }
            rest => rest,
        };
        let replaced = shared.deps.broker.replace(message, rest).await;
        replaced.map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(true)
    }

    /// What is left of a message; `None`: all of it.
    fn rest(&self, contents: &Contents) -> Option<Contents> {
        match contents {
            Contents::Event(event) => {
                let asked = Asked {
                    event: event.id,
                    account: &event.account,
                    accepted_at: event.accepted_at,
                };
                self.marks.cover(asked).then(|| Contents::Plans(Vec::new()))
            }
            Contents::Plans(plans) => {
                let rest: Vec<Plan> = plans.iter().filter_map(|plan| self.of_plan(plan)).collect();
                (rest != *plans).then_some(Contents::Plans(rest))
            }
            Contents::Deliveries(deliveries) => {
                let is_kept = |one: &&Delivery| !self.takes(of_delivery(one), one.endpoint_id);
                let rest: Vec<Delivery> = deliveries.iter().filter(is_kept).cloned().collect();
                (rest.len() < deliveries.len()).then_some(Contents::Deliveries(rest))
            }
            Contents::Records(records) => {
                let is_kept = |one: &&Record| {
                    // Others tell nothing but that there was one.
                    !matches!(one.outcome, Outcome::Attempt(_))
                        || !self.takes(of_record(one), one.endpoint_id)
                };
                let rest: Vec<Record> = records.iter().filter(is_kept).cloned().collect();
                (rest.len() < records.len()).then_some(Contents::Records(rest))
            }
            Contents::Unreadable => None,
        }
    }

    fn takes(&self, asked: Asked<'_>, endpoint: EndpointId) -> bool {
        self.endpoints.contains(&endpoint) || self.marks.cover(asked)
    }

    /// A plan without what is erased; `None`: nothing is left.
    fn of_plan(&self, plan: &Plan) -> Option<Plan> {
        if self.marks.cover(of_plan(plan)) {
            return None;
        }
        let mut rest = plan.clone();
        let is_kept = |endpoint: EndpointId| !self.endpoints.contains(&endpoint);
        rest.deliveries.retain(|one| is_kept(one.endpoint_id));
        let not_sent = plan.not_sent.iter();
        rest.not_sent = not_sent
            .filter(|(endpoint, _)| is_kept(*endpoint))
            .collect();
        Some(rest)
    }
}

/// Those whose attempt is not recorded yet. A list is done when all of it is, so
/// some may have been made long ago, and would be made again.
async fn still_to_make(shared: &Shared, deliveries: Vec<Delivery>) -> Result<Vec<Delivery>, Error> {
    if deliveries.is_empty() {
        return Ok(deliveries);
    }
    shared.recording_is_current(LATE).await?;
    let pending = |one: &Delivery| Pending {
        event: one.event.id,
        delivery: one.id,
        accepted_at: one.event.accepted_at,
        number: one.attempt_number,
    };
    let pending: Vec<Pending> = deliveries.iter().map(pending).collect();
    let settled = shared.deps.store.settled_among(&pending).await?;
    let left = deliveries.into_iter();
    Ok(left.filter(|one| !settled.contains(&one.id)).collect())
}

fn endpoints_of(plan: &Plan) -> impl Iterator<Item = EndpointId> {
    let sent = plan.deliveries.iter().map(|one| one.endpoint_id);
    sent.chain(plan.not_sent.iter().map(|(endpoint, _)| endpoint))
}

fn of_plan(plan: &Plan) -> Asked<'_> {
    Asked {
        event: plan.event_id,
        account: &plan.account,
        accepted_at: plan.accepted_at,
    }
}

fn of_delivery(delivery: &Delivery) -> Asked<'_> {
    Asked {
        event: delivery.event.id,
        account: &delivery.event.account,
        accepted_at: delivery.event.accepted_at,
    }
}

fn of_record(record: &Record) -> Asked<'_> {
    Asked {
        event: record.event_id,
        account: &record.account,
        accepted_at: record.accepted_at,
    }
}

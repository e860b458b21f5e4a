//! Recording what happened: a batch is read about, folded in memory and
//! written, with a few statements however much is in it.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use domain::{AcceptedEvent, Attempt, EventId, Outcome, Plan, Record, Timestamp};
use tokio::join;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::alike::Repeats;
use super::days::Day;
use super::findings::Findings;
use super::fold::{Draft, Known, fold};
use super::marks::{self, By, Marks, of_plan, of_record, told_by};
use super::text::clean;
use super::write::{self, Writing};
use super::{History, read};
use crate::Error;
use crate::bulk::{Bulk, Key};
use crate::pool::{Engine, Pool};

/// What is recorded at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Batch<'a> {
    pub events: &'a [AcceptedEvent],
    pub plans: &'a [Plan],
    pub records: &'a [Record],
}

/// An item that the tables refused.
#[derive(Debug, Clone, Copy)]
pub struct Quarantined<'a> {
    /// `event`, `plan` or `record`.
    pub kind: &'static str,
    /// Its id, or its delivery's and the attempt's number.
    pub name: &'a str,
    pub event: EventId,
}

impl Batch<'_> {
    /// The days on which it has rows.
    fn days(self) -> BTreeSet<Day> {
        let events = self.events.iter().map(|event| event.accepted_at);
        let plans = self.plans.iter().map(|plan| plan.accepted_at);
        let records = self.records.iter().map(|record| record.accepted_at);
        let attempts = self
            .records
            .iter()
            .filter_map(|record| match &record.outcome {
                Outcome::Attempt(attempt) => Some(attempt.started_at),
                _ => None,
            });
        let all = events.chain(plans).chain(records).chain(attempts);
        all.map(Day::of).collect()
    }
}

/// What of a batch is not erased; with marks only, which is seldom.
struct Kept {
    events: Vec<AcceptedEvent>,
    plans: Vec<Plan>,
    records: Vec<Record>,
    erased: HashSet<EventId>,
}

impl Kept {
    fn of(batch: Batch<'_>, marks: &Marks) -> Self {
        let erased = told_by(batch).filter(|asked| marks.cover(*asked));
        let erased = erased.map(|asked| asked.event).collect();
        let is_kept = |asked| !marks.cover(asked);
        let events = batch
            .events
            .iter()
            .filter(|event| is_kept(marks::of_event(event)));
        // Of an erased event stays what became of it; of an account nothing.
        let plans = batch.plans.iter();
        let plans = plans.filter(|plan| marks.by(of_plan(plan)) != Some(By::Account));
        let records = batch
            .records
            .iter()
            .filter(|record| is_kept(of_record(record)));
        Self {
            events: events.cloned().collect(),
            plans: plans.cloned().collect(),
            records: records.cloned().collect(),
            erased,
        }
    }

    fn batch(&self) -> Batch<'_> {
        Batch {
            events: &self.events,
            plans: &self.plans,
            records: &self.records,
        }
    }
}

/// What came of a try.
enum Tried {
    Recorded(Findings),
    /// These endpoints have no row to be locked yet.
    Unknown(Vec<(Uuid, String)>),
}

impl History {
    /// Records a batch, each thing once however often it is recorded, in
    /// whatever order. A delivery whose plan is not recorded yet is made.
    ///
    /// # Errors
    ///
    /// An outage or a refusal: then part of it may be recorded, and is to be
    /// recorded again.
    pub async fn record(&self, batch: Batch<'_>) -> Result<Findings, Error> {
        let mut days_made = false;
        let mut writing = Writing::New;
        // Rows of endpoints are never removed, so the second try finds them.
        loop {
            match self.try_to_record(batch, writing).await {
                // Something is told again.
                Err(Error::Exists) if writing == Writing::New => writing = Writing::Repeatable,
                // Told late, or ahead of what maintenance has made.
                Err(Error::DayMissing) if !days_made => {
                    self.make_days(&batch.days()).await?;
                    days_made = true;
                }
                Err(error) => return Err(error),
                Ok(Tried::Recorded(findings)) => return Ok(findings),
                // In a transaction of its own: rows are made without holding
                // others, and locked in one order.
                Ok(Tried::Unknown(endpoints)) => transaction!(self.pool, tx => {
                    write::new_endpoints(&mut *tx, &endpoints).await
                })?,
            }
        }
    }

    /// PostgreSQL works on each connection with a process of its own, so the events and
    /// then the attempts go over one, while what became of deliveries goes over another.
    /// They are committed in this order: whoever meets a delivery meets its event and
    /// its attempts.
    async fn try_to_record(&self, batch: Batch<'_>, writing: Writing) -> Result<Tried, Error> {
        let mut repeats = self.alike.begin();
        let (tried, erased) = match self.pool.0 {
            Engine::Sqlite { .. } => transaction!(self.pool, tx => {
                let tried = settle(&mut *tx, batch, &mut repeats, writing, None).await?;
                Ok((tried, tell(&mut *tx, batch.events, writing).await?))
            })?,
            Engine::Postgres(_) => {
                let (told, is_told) = oneshot::channel();
                let apart = Apart {
                    pool: &self.pool,
                    is_told,
                };
                let settled = async {
                    transaction!(self.pool, tx => {
                        settle(&mut *tx, batch, &mut repeats, writing, Some(apart)).await
                    })
                };
                let erased = async move {
                    let erased = match batch.events {
                        [] => HashSet::new(),
                        events => transaction!(self.pool, tx => {
                            tell(&mut *tx, events, writing).await
                        })?,
                    };
                    // Who does not wait for it has failed by itself.
                    let _ = told.send(());
                    Ok::<_, Error>(erased)
                };
                let (tried, erased) = join!(settled, erased);
                // First the part that the others have waited for.
                let erased = erased?;
                (tried?, erased)
            }
        };
        Ok(match tried {
            Tried::Recorded(mut findings) => {
                repeats.committed();
                findings.erased.events.extend(erased);
                Tried::Recorded(findings)
            }
            unknown @ Tried::Unknown(_) => unknown,
        })
    }

    /// Keeps a note of what the tables refused.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn quarantine(
        &self,
        item: Quarantined<'_>,
        error: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        transaction!(self.pool, tx => {
            sqlx::query(
                "INSERT INTO quarantine (id, kind, subject, error, at, event_id) \
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
                .bind(Uuid::now_v7())
                .bind(item.kind)
                .bind(item.name)
                .bind(clean(error))
                .bind(now.unix_millis())
                .bind(item.event.uuid())
                .execute(&mut *tx)
                .await?;
            Ok(())
        })
    }
}

/// Writes events; gives those that are erased.
async fn tell<C: Bulk>(
    connection: &mut C,
    events: &[AcceptedEvent],
    writing: Writing,
) -> Result<HashSet<EventId>, Error> {
    let batch = Batch {
        events,
        ..Batch::default()
    };
    let marks = Marks::find(connection, told_by(batch)).await?;
    let kept = (!marks.is_empty()).then(|| Kept::of(batch, &marks));
    let events = kept.as_ref().map_or(events, |kept| &kept.events);
    write::events(connection, events, writing).await?;
    Ok(kept.map(|kept| kept.erased).unwrap_or_default())
}

/// Attempts in a transaction of their own, beside the rest: those that are the last of
/// their delivery. An attempt that is recorded counts as counted once a later one of
/// its delivery is; so one that another follows stays with its delivery.
struct Apart<'a> {
    pool: &'a Pool,
    /// Whether the batch's events are committed.
    is_told: oneshot::Receiver<()>,
}

impl Apart<'_> {
    fn takes((_, attempt): &(&Record, &Attempt)) -> bool {
        attempt.next_attempt_at.is_none()
    }

    /// Commits them if the rest `is_written`, which then only is to be committed.
    async fn write(
        self,
        attempts: &[(&Record, &Attempt)],
        writing: Writing,
        is_written: oneshot::Receiver<()>,
    ) -> Result<(), Error> {
        let Self { pool, is_told } = self;
        let unwritten = |_| Error::Unavailable("the rest is not written".to_owned());
        is_told.await.map_err(unwritten)?;
        if attempts.is_empty() {
            return Ok(());
        }
        transaction!(pool, tx => {
            write::attempts(&mut *tx, attempts, writing).await?;
            is_written.await.map_err(unwritten)
        })
    }
}

/// Writes plans, and what they and records make of deliveries, attempts and
/// endpoints.
async fn settle<C: Bulk>(
    connection: &mut C,
    batch: Batch<'_>,
    repeats: &mut Repeats<'_>,
    writing: Writing,
    apart: Option<Apart<'_>>,
) -> Result<Tried, Error> {
    let batch = Batch {
        events: &[],
        ..batch
    };
    let accounts = accounts(batch);
    let undivided = |id: &Uuid| Key {
        ids: [*id],
        at: None,
    };
    let mut ids: Vec<Key<1>> = accounts.keys().map(undivided).collect();
    // The order in which everybody locks.
    ids.sort_unstable_by_key(|key| key.ids);
    let endpoints = read::lock_endpoints(connection, &ids).await?;
    if endpoints.len() < ids.len() {
        let mut unknown: Vec<(Uuid, String)> = accounts
            .into_iter()
            .filter(|(id, _)| !endpoints.contains_key(id))
            .map(|(id, account)| (id, account.to_owned()))
            .collect();
        unknown.sort_unstable();
        return Ok(Tried::Unknown(unknown));
    }
    let marks = Marks::find(connection, told_by(batch)).await?;
    let kept = (!marks.is_empty()).then(|| Kept::of(batch, &marks));
    let batch = kept.as_ref().map_or(batch, Kept::batch);
    let left_out = batch.plans.iter().map(|plan| repeats.pack(plan, &marks));
    let left_out: Vec<Bytes> = left_out.collect();
    let drafts = Draft::of(batch, &endpoints, &marks);
    let keys: Vec<Key<2>> = drafts.iter().map(Draft::key).collect();
    let deliveries = read::standings(connection, &keys).await?;
    let known = Known {
        attempts: known_attempts(connection, batch, &deliveries).await?,
        endpoints,
        deliveries,
    };
    let mut changes = fold(batch, drafts, known)?;
    if let Some(kept) = &kept {
        changes.findings.erased.events.extend(&kept.erased);
    }
    let (last, others): (Vec<_>, Vec<_>) = match &apart {
        Some(_) => changes
            .attempts
            .iter()
            .partition(|attempt| Apart::takes(attempt)),
        None => (Vec::new(), changes.attempts.clone()),
    };
    let (written, is_written) = oneshot::channel();
    let beside = async {
        match apart {
            Some(apart) => apart.write(&last, writing, is_written).await,
            None => Ok(()),
        }
    };
    let rest = async {
        write::attempts(connection, &others, writing).await?;
        write::plans(connection, batch.plans, &left_out, writing).await?;
        write::deliveries(connection, &changes.deliveries, writing).await?;
        write::counts(connection, &changes.counts).await?;
        write::conditions(connection, &changes.endpoints).await?;
        // Who does not wait for it has failed by itself.
        let _ = written.send(());
        Ok(())
    };
    let (beside, rest) = join!(beside, rest);
    rest.and(beside)?;
    Ok(Tried::Recorded(changes.findings))
}

/// Every endpoint that the batch tells deliveries of, with its account.
fn accounts(batch: Batch<'_>) -> HashMap<Uuid, &str> {
    let mut accounts = HashMap::new();
    for plan in batch.plans {
        let sent = plan.deliveries.iter().map(|delivery| delivery.endpoint_id);
        accounts.extend(sent.map(|endpoint| (endpoint.uuid(), plan.account.as_str())));
    }
    let of_records = batch.records.iter();
    accounts.extend(of_records.map(|record| (record.endpoint_id.uuid(), record.account.as_str())));
    accounts
}

/// Those of the batch's attempts that are recorded. One that is has counted at
/// its delivery, so most batches need not ask.
async fn known_attempts<C: Bulk>(
    connection: &mut C,
    batch: Batch<'_>,
    deliveries: &HashMap<Uuid, read::StandingRow>,
) -> Result<HashSet<Uuid>, Error> {
    let mut ids = Vec::new();
    for record in batch.records {
        let Outcome::Attempt(attempt) = &record.outcome else {
            continue;
        };
        let delivery = deliveries.get(&record.delivery_id.uuid());
        if delivery.is_some_and(|row| row.last_number >= i64::from(record.attempt_number)) {
            ids.push(Key {
                ids: [attempt.id.uuid()],
                at: Some(attempt.started_at.unix_millis()),
            });
        }
    }
    read::attempts(connection, &ids).await
}

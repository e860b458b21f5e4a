//! A steady stream of events under which things are broken, and the account of
//! what became of each.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proto::status::unanswered;
use proto::v1::PublishEventRequest;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::receiver::Receiver;
use crate::wait::eventually;

/// Each waits for its answer before it publishes the next one, and catches up
/// with what it is late with.
const PUBLISHERS: u32 = 100;
/// An event is repeated for so long before it counts as lost to its publisher.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(200);
/// The path of the one endpoint.
const PATH: &str = "hook";

/// What is published, and to where.
#[derive(Debug, Clone)]
pub struct Plan {
    pub account: &'static str,
    /// Where ingest answers; a repeat goes to the next one.
    pub doors: Vec<String>,
    pub key: String,
    pub events_per_second: u32,
}

/// Publishers at work.
#[derive(Debug)]
pub struct Load {
    started: Instant,
    events_per_second: u32,
    stop: CancellationToken,
    publishers: JoinSet<Result<Vec<Accepted>>>,
}

#[derive(Debug)]
struct Accepted {
    id: String,
    at: Instant,
    repeats: u32,
}

/// What the publishers were told.
#[derive(Debug)]
pub struct Account {
    /// In the order of their answers.
    accepted: Vec<Accepted>,
    started: Instant,
    ended: Instant,
    events_per_second: u32,
}

/// A part of the load's time: from its own beginning to the next one's.
#[derive(Debug, Clone)]
pub struct Phase {
    pub name: String,
    pub began: Instant,
}

impl Phase {
    /// One that begins now.
    #[must_use]
    pub fn now(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            began: Instant::now(),
        }
    }
}

/// How a part of the load's time went.
#[derive(Debug)]
pub struct Summary {
    pub name: String,
    pub length: Duration,
    pub accepted: usize,
    /// Publishes that were repeated before one of these was accepted.
    pub repeats: u32,
    /// The longest time in which nothing was accepted.
    pub longest_silence: Duration,
}

impl Load {
    /// Starts the publishers.
    #[must_use]
    pub fn start(plan: &Plan) -> Self {
        let stop = CancellationToken::new();
        let mut publishers = JoinSet::new();
        for publisher in 0..PUBLISHERS {
            publishers.spawn(publish(plan.clone(), publisher, stop.clone()));
        }
        Self {
            started: Instant::now(),
            events_per_second: plan.events_per_second,
            stop,
            publishers,
        }
    }

    /// Lets each publisher finish the event it is at, and adds up.
    ///
    /// # Errors
    ///
    /// When an event was refused, or never accepted.
    pub async fn finish(mut self) -> Result<Account> {
        self.stop.cancel();
        let ended = Instant::now();
        let mut accepted = Vec::new();
        while let Some(published) = self.publishers.join_next().await {
            accepted.extend(published??);
        }
        accepted.sort_by_key(|one| one.at);
        Ok(Account {
            accepted,
            started: self.started,
            ended,
            events_per_second: self.events_per_second,
        })
    }
}

impl Account {
    /// How many events were accepted.
    #[must_use]
    pub fn events(&self) -> usize {
        self.accepted.len()
    }

    /// All of its time.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.between("all", self.started, self.ended)
    }

    /// How often the event was repeated that was repeated most.
    #[must_use]
    pub fn most_repeats(&self) -> u32 {
        let repeats = self.accepted.iter().map(|one| one.repeats);
        repeats.max().unwrap_or(0)
    }

    /// How many events were offered in a second, and how many were accepted.
    #[must_use]
    pub fn rates(&self) -> (u32, f64) {
        let seconds = (self.ended - self.started).as_secs_f64();
        (self.events_per_second, self.events() as f64 / seconds)
    }

    /// Each part of its time.
    #[must_use]
    pub fn phases(&self, phases: &[Phase]) -> Vec<Summary> {
        let ends = phases.iter().skip(1).map(|next| next.began);
        let ends = ends.chain([self.ended]);
        let parts = phases.iter().zip(ends);
        parts
            .map(|(phase, end)| self.between(&phase.name, phase.began, end))
            .collect()
    }

    fn between(&self, name: &str, from: Instant, to: Instant) -> Summary {
        let inside = |one: &&Accepted| (from..to).contains(&one.at);
        let inside: Vec<&Accepted> = self.accepted.iter().filter(inside).collect();
        let answers = inside.iter().map(|one| one.at);
        let marks: Vec<Instant> = [from].into_iter().chain(answers).chain([to]).collect();
        let silences = marks.windows(2).map(|pair| pair[1] - pair[0]);
        Summary {
            name: name.to_owned(),
            length: to - from,
            accepted: inside.len(),
            repeats: inside.iter().map(|one| one.repeats).sum(),
            longest_silence: silences.max().unwrap_or_default(),
        }
    }

    /// Waits until every accepted event has arrived at the endpoint; how many came
    /// more than once.
    ///
    /// # Errors
    ///
    /// When one is missing after `limit`, with when the missing ones were accepted.
    pub async fn arrived(&self, receiver: &Receiver, limit: Duration) -> Result<usize> {
        let ids: HashSet<&str> = self.accepted.iter().map(|one| one.id.as_str()).collect();
        ensure!(ids.len() == self.events(), "an id was answered twice");
        eventually("every accepted event has arrived", limit, || async {
            receiver.counted(PATH, |counts| {
                // A look at each of them is for when enough have come.
                ensure!(
                    counts.len() >= ids.len(),
                    "{} of {} came",
                    counts.len(),
                    ids.len()
                );
                let missing = |one: &&Accepted| !counts.contains_key(&one.id);
                let missing: Vec<f64> = self
                    .accepted
                    .iter()
                    .filter(missing)
                    .map(|one| (one.at - self.started).as_secs_f64())
                    .collect();
                ensure!(
                    missing.is_empty(),
                    "{} are missing, accepted after {:?} s",
                    missing.len(),
                    &missing[..missing.len().min(20)]
                );
                Ok(counts.values().filter(|count| **count > 1).count())
            })
        })
        .await
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:<44} {:>6.1} s {:>7} accepted {:>6} publishes repeated {:>5.1} s without accepts",
            self.name,
            self.length.as_secs_f64(),
            self.accepted,
            self.repeats,
            self.longest_silence.as_secs_f64()
        )
    }
}

/// Publishes on a schedule; what is late is published as soon as it can be.
async fn publish(plan: Plan, publisher: u32, stop: CancellationToken) -> Result<Vec<Accepted>> {
    let mut clients = Vec::new();
    for door in &plan.doors {
        clients.push(api::ingest(door, &plan.key).await?);
    }
    let interval = Duration::from_secs(1) * PUBLISHERS / plan.events_per_second;
    // Not all at the same instant.
    let first = tokio::time::Instant::now() + interval * publisher / PUBLISHERS;
    let mut ticks = tokio::time::interval_at(first, interval);
    let mut accepted: Vec<Accepted> = Vec::new();
    for number in 0_usize.. {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        let request = PublishEventRequest {
            account: plan.account.into(),
            r#type: "message.incoming".into(),
            object: format!("{{\"n\":{number}}}").into(),
            id: format!("{publisher}.{number}"),
            ..PublishEventRequest::default()
        };
        let started = Instant::now();
        for repeats in 0_u32.. {
            let door = (number + repeats as usize) % clients.len();
            match clients[door].publish_event(request.clone()).await {
                Ok(answer) => {
                    let id = answer.into_inner().id;
                    let at = Instant::now();
                    accepted.push(Accepted { id, at, repeats });
                    break;
                }
                Err(status) => {
                    ensure!(unanswered(&status), "{status:?}");
                    ensure!(started.elapsed() < PATIENCE, "never accepted: {status:?}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
    Ok(accepted)
}

/// The account's one endpoint at `receiver`, which counts what comes.
///
/// # Errors
///
/// When it cannot be made.
pub async fn endpoint(api: &api::Api, account: &str, receiver: &Receiver) -> Result<String> {
    receiver.only_count(PATH);
    let url = receiver.url(PATH);
    let endpoint = api.endpoint(account, &url, &["message.incoming"]).await;
    endpoint.context("the endpoint")
}

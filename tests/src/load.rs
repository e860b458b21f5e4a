//! A steady stream of events under which things are broken, and the account of
//! what became of each.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proto::v1::PublishEventRequest;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::api;
use crate::receiver::Receiver;
use crate::wait::eventually;

const PUBLISHERS: u32 = 20;
/// An event is repeated for so long before it counts as lost to its publisher.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(200);

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
#[derive(Debug, Default)]
pub struct Account {
    pub accepted: HashSet<String>,
    /// Publishes that were repeated, all together, and of one event at most.
    pub repeats: u32,
    pub most_repeats: u32,
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
        Self { stop, publishers }
    }

    /// Lets each publisher finish the event it is at, and adds up.
    ///
    /// # Errors
    ///
    /// When an event was refused, or never accepted.
    pub async fn finish(mut self) -> Result<Account> {
        self.stop.cancel();
        let mut all = Vec::new();
        while let Some(accepted) = self.publishers.join_next().await {
            all.extend(accepted??);
        }
        all.sort_by_key(|one| one.at);
        let silences = all.windows(2).map(|pair| pair[1].at - pair[0].at);
        Ok(Account {
            longest_silence: silences.max().unwrap_or_default(),
            repeats: all.iter().map(|one| one.repeats).sum(),
            most_repeats: all.iter().map(|one| one.repeats).max().unwrap_or(0),
            accepted: all.into_iter().map(|one| one.id).collect(),
        })
    }
}

impl Account {
    /// Waits until every accepted event has arrived; how many came more than
    /// once.
    ///
    /// # Errors
    ///
    /// When one is missing after `limit`.
    pub async fn arrived(&self, receiver: &Receiver, path: &str, limit: Duration) -> Result<usize> {
        let arrivals = eventually("every accepted event has arrived", limit, || async {
            let mut arrivals: HashMap<String, usize> = HashMap::new();
            for received in receiver.received(path) {
                let id = received.header("webhook-id").to_owned();
                *arrivals.entry(id).or_default() += 1;
            }
            let missing = self
                .accepted
                .iter()
                .filter(|id| !arrivals.contains_key(*id));
            let missing = missing.count();
            ensure!(
                missing == 0,
                "{missing} of {} are missing",
                self.accepted.len()
            );
            Ok(arrivals)
        });
        let arrivals = arrivals.await?;
        Ok(arrivals.values().filter(|count| **count > 1).count())
    }
}

/// Publishes on a schedule; what is late is published as soon as it can be.
async fn publish(plan: Plan, publisher: u32, stop: CancellationToken) -> Result<Vec<Accepted>> {
    let mut clients = Vec::new();
    for door in &plan.doors {
        clients.push(api::ingest(door, &plan.key).await?);
    }
    let interval = Duration::from_secs(1) * PUBLISHERS / plan.events_per_second;
    let mut ticks = tokio::time::interval(interval);
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
                    ensure!(passes(status.code()), "{status:?}");
                    ensure!(started.elapsed() < PATIENCE, "never accepted: {status:?}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
    Ok(accepted)
}

/// Whether the README tells publishers to repeat.
fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
    )
}

/// The account's one endpoint at `receiver`.
///
/// # Errors
///
/// When it cannot be made.
pub async fn endpoint(api: &api::Api, account: &str, receiver: &Receiver) -> Result<String> {
    let url = receiver.url("hook");
    let endpoint = api.endpoint(account, &url, &["message.incoming"]).await;
    endpoint.context("the endpoint")
}

//! 5,000 events under load while every part in turn is killed with -9.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::api;
use harness::deployment::{Deployment, Mode, ROLES};
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use harness::wait::eventually;
use proto::status::unanswered;
use proto::v1::PublishEventRequest;
use serde_json::Value;
use tokio::task::JoinSet;

const ACCOUNT: &str = "chaos";
const EVENTS: u64 = 5_000;
/// Publishers at once; each waits this long between its events.
const PUBLISHERS: u64 = 10;
const PAUSE: Duration = Duration::from_millis(60);
/// One event is repeated for this long before the scenario gives up.
const PATIENCE: Duration = Duration::from_secs(90);
const READY: Duration = Duration::from_secs(30);
const DRAIN: Duration = Duration::from_secs(120);

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![every_accepted_event_arrives_whatever_is_killed]
}

async fn every_accepted_event_arrives_whatever_is_killed(mode: Mode) -> Result<()> {
    let settings = [
        ("POSTRIDER_RETRY_SCHEDULE", "1s,1s,2s,2s,4s"),
        ("POSTRIDER_DELIVERY_TIMEOUT", "3s"),
    ];
    let deployment = Arc::new(Deployment::start(mode, &settings).await?);
    let receiver = Receiver::start().await?;
    receiver.script(
        "hook",
        [Answer::status(200).after(Duration::from_millis(20))],
    );
    let api = deployment.api();
    let endpoint = api
        .endpoint(ACCOUNT, &receiver.url("hook"), &["message.incoming"])
        .await?;

    let repeats = Arc::new(AtomicU64::new(0));
    let mut publishers = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let (deployment, repeats) = (Arc::clone(&deployment), Arc::clone(&repeats));
        publishers.spawn(publish(deployment, publisher, repeats));
    }
    kill_each_in_turn(&deployment).await?;
    let mut accepted = HashSet::new();
    while let Some(published) = publishers.join_next().await {
        accepted.extend(published??);
    }
    ensure!(
        accepted.len() as u64 == EVENTS,
        "{} accepted",
        accepted.len()
    );

    let arrivals = eventually("every accepted event has arrived", DRAIN, || async {
        let mut arrivals: HashMap<String, usize> = HashMap::new();
        for received in receiver.received("hook") {
            *arrivals
                .entry(received.header("webhook-id").to_owned())
                .or_default() += 1;
        }
        let missing = accepted
            .iter()
            .filter(|id| !arrivals.contains_key(*id))
            .count();
        ensure!(missing == 0, "{missing} of {} are missing", accepted.len());
        Ok(arrivals)
    })
    .await?;
    let twice: Vec<&String> = arrivals
        .iter()
        .filter(|(_, count)| **count > 1)
        .map(|(id, _)| id)
        .collect();
    println!(
        "{}: {} accepted, {} publishes repeated, {} arrived, {} of them more than once",
        mode.name(),
        accepted.len(),
        repeats.load(Ordering::Relaxed),
        arrivals.len(),
        twice.len()
    );
    let stats = format!("/v1/accounts/{ACCOUNT}/endpoints/{endpoint}/stats");
    eventually("the history has all of them", DRAIN, || async {
        let stats = api.get(&stats).await?;
        ensure!(
            stats["total_messages"] == EVENTS && stats["successful"] == EVENTS,
            "{stats}"
        );
        Ok(())
    })
    .await?;
    for event in twice {
        was_in_flight(&deployment, ACCOUNT, &endpoint, event).await?;
    }
    deployment.all_running()
}

/// Publishes its share, repeating what is not answered with the same id.
async fn publish(
    deployment: Arc<Deployment>,
    publisher: u64,
    repeats: Arc<AtomicU64>,
) -> Result<Vec<String>> {
    let client = api::ingest(&deployment.grpc("ingest"), deployment.api().key()).await?;
    let mut accepted = Vec::new();
    for number in 0..EVENTS / PUBLISHERS {
        let request = PublishEventRequest {
            account: ACCOUNT.into(),
            r#type: "message.incoming".into(),
            object: format!("{{\"n\":{number}}}").into(),
            id: format!("{publisher}.{number}"),
            ..PublishEventRequest::default()
        };
        let started = Instant::now();
        loop {
            match client.clone().publish_event(request.clone()).await {
                Ok(answer) => {
                    accepted.push(answer.into_inner().id);
                    break;
                }
                Err(status) => {
                    ensure!(unanswered(&status), "{status:?}");
                    ensure!(started.elapsed() < PATIENCE, "never accepted: {status:?}");
                    repeats.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(accepted)
}

async fn kill_each_in_turn(deployment: &Deployment) -> Result<()> {
    let victims: &[&'static str] = match deployment.mode() {
        Mode::Standalone => &["standalone", "standalone"],
        Mode::Processes | Mode::Overlay => &ROLES,
    };
    for victim in victims {
        tokio::time::sleep(Duration::from_secs(2)).await;
        deployment.kill(victim)?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        deployment.start_process(victim).await?;
        deployment.process_ready(victim, READY).await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    deployment.kill_nats().await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    deployment.start_nats().await?;
    deployment.ready(READY).await
}

/// What arrived twice was under way when something was killed: a POST whose
/// success was recorded is never made again.
pub(crate) async fn was_in_flight(
    deployment: &Deployment,
    account: &str,
    endpoint: &str,
    event: &str,
) -> Result<()> {
    let path = format!("/v1/accounts/{account}/endpoints/{endpoint}/attempts?event_id={event}");
    let page = deployment.api().get(&path).await?;
    let attempts = page["attempts"].as_array().context("attempts")?;
    let succeeded = |attempt: &&Value| attempt["status"] == "succeeded";
    let succeeded = attempts.iter().filter(succeeded).count();
    ensure!(
        succeeded <= 1,
        "{event} was sent again after its success was recorded: {attempts:?}"
    );
    Ok(())
}

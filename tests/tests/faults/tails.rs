//! More tails than there may be, and one that is read too slowly.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::api;
use harness::deployment::{Deployment, Mode};
use harness::receiver::Receiver;
use harness::suite::Scenario;
use harness::wait::eventually;
use proto::v1::{TailAttemptsRequest, TailAttemptsResponse};
use serde_json::{Value, json};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

const LIMIT: Duration = Duration::from_secs(60);
/// Of one process, of the accounts that may have so many of them each.
const TAILS: usize = 64;
const OF_ACCOUNT: usize = 16;
const BATCH: usize = 500;
const BATCHES: usize = 10;

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![
        a_process_serves_64_tails_and_refuses_the_next,
        a_client_that_does_not_read_keeps_nobody_waiting,
    ]
}

type Tail = Streaming<TailAttemptsResponse>;

async fn tail(deployment: &Deployment, account: &str) -> Result<Result<Tail, Status>> {
    let mut history = api::history(&deployment.grpc("history"), deployment.api().key()).await?;
    let request = TailAttemptsRequest {
        account: account.to_owned(),
        ..TailAttemptsRequest::default()
    };
    let answer = history.tail_attempts(request).await;
    Ok(answer.map(tonic::Response::into_inner))
}

async fn a_process_serves_64_tails_and_refuses_the_next(mode: Mode) -> Result<()> {
    let deployment = Deployment::start(mode, &[]).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let accounts = (0..TAILS / OF_ACCOUNT).map(|number| format!("tails{number}"));
    let mut tails = Vec::new();
    for account in accounts {
        api.endpoint(&account, &receiver.url("hook"), &["message.report"])
            .await?;
        for _ in 0..OF_ACCOUNT {
            let tail = tail(&deployment, &account).await??;
            tails.push((account.clone(), tail));
        }
    }
    let refused = tail(&deployment, "tails").await?;
    let refused = refused.err().context("one too many")?;
    ensure!(refused.code() == Code::ResourceExhausted, "{refused:?}");
    for of_account in tails.chunks_mut(OF_ACCOUNT) {
        let account = &of_account[0].0;
        let event = api.publish(account, "message.report", &json!({})).await?;
        for (_, tail) in of_account {
            told(tail, &event).await?;
        }
    }
    // The place of one that left is free.
    tails.pop();
    eventually("there is room again", LIMIT, || async {
        tail(&deployment, "tails").await??;
        Ok(())
    })
    .await?;
    deployment.all_running()
}

/// Waits until an attempt is told, which is this event's.
async fn told(tail: &mut Tail, event: &str) -> Result<()> {
    loop {
        let message = timeout(LIMIT, tail.message()).await??;
        let message = message.context("it has ended")?;
        if let Some(attempt) = message.attempt {
            ensure!(attempt.event_id == event, "{attempt:?}");
            return Ok(());
        }
    }
}

async fn a_client_that_does_not_read_keeps_nobody_waiting(mode: Mode) -> Result<()> {
    let deployment = Deployment::start(mode, &[]).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let endpoint = api
        .endpoint("tails", &receiver.url("hook"), &["message.report"])
        .await?;
    let mut slow = tail(&deployment, "tails").await??;
    let mut quick = tail(&deployment, "tails").await??;
    let mut published = HashSet::new();
    let event = json!({"type": "message.report", "object": {}});
    let body = json!({"events": vec![event; BATCH]});
    for _ in 0..BATCHES {
        let answer = api
            .post(200, "/v1/accounts/tails/events/batch", &body)
            .await?;
        for result in answer["results"].as_array().context("results")? {
            published.insert(result["id"].as_str().context("an id")?.to_owned());
        }
    }
    let began = Instant::now();
    let stats = format!("/v1/accounts/tails/endpoints/{endpoint}/stats");
    let recorded = eventually("all is recorded", LIMIT, || async {
        let stats: Value = api.get(&stats).await?;
        ensure!(stats["successful"] == BATCH * BATCHES, "{stats}");
        Ok(began.elapsed())
    })
    .await?;
    ensure!(
        events(&mut quick, BATCH * BATCHES).await? == published,
        "the quick one"
    );
    println!(
        "{}: {} attempts were recorded within {:.1} s beside a tail that nobody reads",
        mode.name(),
        BATCH * BATCHES,
        recorded.as_secs_f64()
    );
    // Only now somebody reads: nothing is missing.
    ensure!(
        events(&mut slow, BATCH * BATCHES).await? == published,
        "the slow one"
    );
    deployment.all_running()
}

/// The events of the next attempts.
async fn events(
    tail: &mut Streaming<TailAttemptsResponse>,
    count: usize,
) -> Result<HashSet<String>> {
    let mut events = HashSet::new();
    while events.len() < count {
        let message = timeout(LIMIT, tail.message()).await??;
        let message = message.context("it has ended")?;
        events.extend(message.attempt.map(|attempt| attempt.event_id));
    }
    Ok(events)
}

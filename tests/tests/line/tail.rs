//! Attempts as they are made.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::api::{self, Api};
use harness::deployment::Deployment;
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use proto::v1::{TailAttemptsRequest, TailAttemptsResponse};
use reqwest::Method;
use serde_json::json;
use tokio::time::timeout;
use tonic::{Code, Streaming};

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        a_tail_goes_on_behind_its_cursor,
        a_tail_shows_one_endpoint_or_one_account,
        a_tail_over_rest_is_server_sent_events,
        a_cursor_beyond_the_end_is_refused,
    ]
}

async fn tail(
    deployment: &Deployment,
    request: TailAttemptsRequest,
) -> Result<Streaming<TailAttemptsResponse>> {
    let mut history = api::history(&deployment.grpc("history"), deployment.api().key()).await?;
    Ok(history.tail_attempts(request).await?.into_inner())
}

async fn next(tail: &mut Streaming<TailAttemptsResponse>) -> Result<TailAttemptsResponse> {
    let message = timeout(LIMIT, tail.message()).await;
    message.context("nothing comes")??.context("it has ended")
}

/// The event ids of the next attempts, and the cursor behind them.
async fn events(
    tail: &mut Streaming<TailAttemptsResponse>,
    count: usize,
) -> Result<(Vec<String>, String)> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    while ids.len() < count {
        let message = next(tail).await?;
        cursor = message.cursor;
        ids.extend(message.attempt.map(|attempt| attempt.event_id));
    }
    Ok((ids, cursor))
}

async fn publish(api: &Api, account: &str, count: usize) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(
            api.publish(account, "message.report", &json!({"n": n}))
                .await?,
        );
    }
    Ok(ids)
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

async fn a_tail_goes_on_behind_its_cursor(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "tail-cursor";
    api.endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let asked = TailAttemptsRequest {
        account: account.to_owned(),
        ..Default::default()
    };
    let mut whole = tail(&deployment, asked.clone()).await?;
    let first = next(&mut whole).await?;
    ensure!(
        first.attempt.is_none() && !first.cursor.is_empty(),
        "{first:?}"
    );
    let published = sorted(publish(&api, account, 12).await?);
    let (seen, _) = events(&mut whole, 12).await?;
    ensure!(
        sorted(seen.clone()) == published,
        "{seen:?} of {published:?}"
    );

    // Read in pieces, each behind the last one's cursor: nothing twice, nothing
    // missed, the same order.
    let mut cursor = first.cursor;
    let mut pieces = Vec::new();
    for count in [1, 4, 7] {
        let mut tail = tail(
            &deployment,
            TailAttemptsRequest {
                cursor,
                ..asked.clone()
            },
        )
        .await?;
        let (ids, behind) = events(&mut tail, count).await?;
        pieces.extend(ids);
        cursor = behind;
    }
    ensure!(pieces == seen, "{pieces:?} instead of {seen:?}");
    Ok(())
}

async fn a_tail_shows_one_endpoint_or_one_account(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let (account, others) = ("tail-own", "tail-others");
    receiver.script("failing", [Answer::status(500)]);
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let theirs = api
        .endpoint(others, &receiver.url("failing"), &["message.report"])
        .await?;
    let asked = |account: &str, endpoint: &str| TailAttemptsRequest {
        account: account.to_owned(),
        endpoint_id: endpoint.to_owned(),
        cursor: String::new(),
    };
    let mut own = tail(&deployment, asked(account, &endpoint)).await?;
    let mut their = tail(&deployment, asked(others, "")).await?;
    next(&mut own).await?;
    next(&mut their).await?;
    publish(&api, others, 1).await?;
    let mine = publish(&api, account, 1).await?;
    let (ids, _) = events(&mut own, 1).await?;
    ensure!(ids == mine, "{ids:?}");
    let failed = next(&mut their).await?.attempt.context("an attempt")?;
    ensure!(
        failed.endpoint_id == theirs && failed.status == "failed",
        "{failed:?}"
    );
    ensure!(
        failed.response_status == Some(500) && failed.failure_class == "http_status",
        "{failed:?}"
    );
    for request in [asked(account, &theirs), asked(account, "ep_1")] {
        let refused = tail(&deployment, request).await.err().context("refused")?;
        let status = refused
            .downcast_ref::<tonic::Status>()
            .context("a status")?;
        ensure!(status.code() == Code::NotFound, "{status:?}");
    }
    Ok(())
}

async fn a_tail_over_rest_is_server_sent_events(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "tail-rest";
    api.endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let path = format!("/v1/accounts/{account}/attempts/tail");
    let mut response = api.request(Method::GET, &path).send().await?;
    ensure!(response.status() == 200, "{}", response.status());
    let mut text = String::new();
    let mut published = Vec::new();
    while !text.contains("event: attempt") {
        let chunk = timeout(LIMIT, response.chunk())
            .await
            .context("silence")??;
        text.push_str(std::str::from_utf8(&chunk.context("it has ended")?)?);
        if published.is_empty() && text.contains("event: cursor") {
            published = publish(&api, account, 1).await?;
        }
    }
    ensure!(text.contains(&published[0]), "{text}");
    let wrong = api
        .expect(400, Method::GET, &format!("{path}?cursor=x"), None)
        .await?;
    ensure!(wrong["errors"][0]["field"] == "cursor", "{wrong}");
    Ok(())
}

async fn a_cursor_beyond_the_end_is_refused(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let account = "tail-beyond";
    let now = TailAttemptsRequest {
        account: account.to_owned(),
        ..Default::default()
    };
    let end = next(&mut tail(&deployment, now.clone()).await?)
        .await?
        .cursor;
    // The end itself is there, a place far behind it is not.
    let at_end = TailAttemptsRequest {
        cursor: end.clone(),
        ..now.clone()
    };
    let first = next(&mut tail(&deployment, at_end).await?).await?;
    ensure!(first.cursor == end, "{first:?}");
    let (sequence, records) = end.split_once('-').context("two numbers")?;
    let sequence = u64::from_str_radix(sequence, 16)? + 1_000_000;
    let beyond = format!("{sequence:x}-{records}");
    let refused = TailAttemptsRequest {
        cursor: beyond.clone(),
        ..now
    };
    let refused = tail(&deployment, refused).await.err().context("refused")?;
    let status = refused
        .downcast_ref::<tonic::Status>()
        .context("a status")?;
    ensure!(status.code() == Code::InvalidArgument, "{status:?}");
    let path = format!("/v1/accounts/{account}/attempts/tail?cursor={beyond}");
    let problem = api.expect(400, Method::GET, &path, None).await?;
    ensure!(problem["errors"][0]["field"] == "cursor", "{problem}");
    Ok(())
}

//! Sending a span of events again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::api::Api;
use harness::deployment::Deployment;
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use harness::wait::eventually;
use reqwest::Method;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);
const LONG_AGO: &str = "2020-01-01T00:00:00Z";
const FAR_AHEAD: &str = "2120-01-01T00:00:00Z";

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        a_replay_of_failures_sends_each_once_and_what_succeeded_not_at_all,
        a_second_replay_of_the_same_span_sends_all_again,
        two_replays_at_once_send_each_event_once,
        a_replay_leaves_room_for_live_deliveries,
        a_cancelled_replay_sends_nothing_more,
        what_arrives_after_a_disable_counts_as_delivered,
        what_a_disable_cancels_ends_its_replay,
        a_replay_says_which_field_is_wrong,
    ]
}

/// An endpoint that fails for good with its first attempt.
async fn impatient(api: &Api, account: &str, url: &str) -> Result<String> {
    let body = json!({"url": url, "description": "a test", "retry_schedule": [],
        "event_types": ["message.report", "form.submitted"]});
    let path = format!("/v1/accounts/{account}/endpoints");
    let endpoint = api.post(201, &path, &body).await?;
    Ok(endpoint["id"].as_str().context("an id")?.to_owned())
}

async fn ended(api: &Api, endpoint: &str, state: &str, count: u64) -> Result<()> {
    eventually("all is recorded", LIMIT, || async {
        let stats = api.get(&format!("{endpoint}/stats")).await?;
        ensure!(stats[state] == count, "{stats}");
        Ok(())
    })
    .await
}

fn span(status: &str) -> Value {
    json!({"after": LONG_AGO, "before": FAR_AHEAD, "status": status})
}

async fn done(api: &Api, account: &str, replay: &Value) -> Result<Value> {
    let id = replay["id"].as_str().context("an id")?;
    eventually("the replay is done", LIMIT, || async {
        let shown = api
            .get(&format!("/v1/accounts/{account}/replays/{id}"))
            .await?;
        ensure!(shown["ended_at"].is_string(), "{shown}");
        Ok(shown)
    })
    .await
}

async fn a_replay_of_failures_sends_each_once_and_what_succeeded_not_at_all(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "replay-failures";
    receiver.script("hook", [Answer::status(500)]);
    let id = impatient(&api, account, &receiver.url("hook")).await?;
    let endpoint = format!("/v1/accounts/{account}/endpoints/{id}");
    let mut failed = Vec::new();
    for n in 0..5 {
        let event_type = ["message.report", "form.submitted"][n % 2];
        failed.push(api.publish(account, event_type, &json!({"n": n})).await?);
    }
    ended(&api, &endpoint, "failed", 5).await?;
    receiver.script("hook", [Answer::status(200)]);
    api.publish(account, "message.report", &json!({})).await?;
    ended(&api, &endpoint, "successful", 1).await?;
    // One of them succeeds before the replay.
    let resent = failed.remove(0);
    let resend = format!("/v1/accounts/{account}/events/{resent}/resend");
    api.post(202, &resend, &json!({"endpoint_id": id})).await?;
    ended(&api, &endpoint, "successful", 2).await?;

    let path = format!("{endpoint}/replay");
    let mut dry = span("failed");
    dry["dry_run"] = json!(true);
    let counted = api.post(202, &path, &dry).await?;
    ensure!(
        counted["state"] == "dry_run" && counted["matched"] == 4,
        "{counted}"
    );
    dry["event_types"] = json!(["form.submitted"]);
    let counted = api.post(202, &path, &dry).await?;
    ensure!(counted["matched"] == 2, "{counted}");

    let before = receiver.received("hook").len();
    let replay = api.post(202, &path, &span("failed")).await?;
    ensure!(
        replay["state"] == "running" && replay["matched"] == 4,
        "{replay}"
    );
    let replay = done(&api, account, &replay).await?;
    let counts = ["matched", "sent", "succeeded", "failed"].map(|name| replay[name].as_u64());
    ensure!(counts == [Some(4), Some(4), Some(4), Some(0)], "{replay}");
    ensure!(replay["state"] == "done", "{replay}");
    let received = receiver.received("hook").split_off(before);
    let mut ids: Vec<&str> = received
        .iter()
        .map(|one| one.header("webhook-id"))
        .collect();
    // Several are under way at once.
    ids.sort_unstable();
    failed.sort_unstable();
    ensure!(ids == failed, "each once: {ids:?}");
    let event = api
        .get(&format!("/v1/accounts/{account}/events/{}", failed[0]))
        .await?;
    let deliveries = event["deliveries"].as_array().context("deliveries")?;
    let replayed = deliveries.iter().find(|one| one["cause"] == "replay");
    let replayed = replayed.with_context(|| event.to_string())?;
    ensure!(
        replayed["state"] == "succeeded" && replayed["attempts"] == 1,
        "{event}"
    );
    // Nothing of it is left to be sent.
    let replay = api.post(202, &path, &span("failed")).await?;
    ensure!(replay["matched"] == 0, "{replay}");
    let replay = done(&api, account, &replay).await?;
    ensure!(replay["sent"] == 0, "{replay}");
    Ok(())
}

async fn a_second_replay_of_the_same_span_sends_all_again(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "replay-twice";
    let id = impatient(&api, account, &receiver.url("hook")).await?;
    let endpoint = format!("/v1/accounts/{account}/endpoints/{id}");
    for n in 0..3 {
        api.publish(account, "message.report", &json!({"n": n}))
            .await?;
    }
    ended(&api, &endpoint, "successful", 3).await?;
    for round in 2..=3 {
        let replay = api
            .post(202, &format!("{endpoint}/replay"), &span("all"))
            .await?;
        let replay = done(&api, account, &replay).await?;
        ensure!(
            replay["sent"] == 3 && replay["succeeded"] == 3 && replay["matched"] == 3,
            "{replay}"
        );
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for one in receiver.received("hook") {
            *times
                .entry(one.header("webhook-id").to_owned())
                .or_default() += 1;
        }
        ensure!(
            times.len() == 3 && times.values().all(|count| *count == round),
            "{times:?}"
        );
    }
    Ok(())
}

async fn two_replays_at_once_send_each_event_once(deployment: Arc<Deployment>) -> Result<()> {
    const FAILED: usize = 24;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "replay-at-once";
    // In turn, so that the endpoint is not paused.
    let in_turn = (0..2 * FAILED).map(|n| Answer::status([500, 200][n % 2]));
    receiver.script("hook", in_turn);
    let id = impatient(&api, account, &receiver.url("hook")).await?;
    let endpoint = format!("/v1/accounts/{account}/endpoints/{id}");
    for n in 0..2 * FAILED {
        api.publish(account, "message.report", &json!({"n": n}))
            .await?;
    }
    ended(&api, &endpoint, "failed", FAILED as u64).await?;
    ended(&api, &endpoint, "successful", FAILED as u64).await?;
    let slow = json!({"rate_limit": 20});
    api.expect(200, Method::PATCH, &endpoint, Some(&slow))
        .await?;
    let before = receiver.received("hook").len();
    let path = format!("{endpoint}/replay");
    let body = span("failed");
    let (first, second) =
        tokio::try_join!(api.post(202, &path, &body), api.post(202, &path, &body))?;
    let (first, second) = (
        done(&api, account, &first).await?,
        done(&api, account, &second).await?,
    );
    let count = |replay: &Value, name: &str| replay[name].as_u64().unwrap_or_default() as usize;
    for replay in [&first, &second] {
        ensure!(replay["state"] == "done", "{replay}");
        // Whatever was still failed when it was started, is delivered.
        let matched = count(replay, "matched");
        let (succeeded, failed) = (count(replay, "succeeded"), count(replay, "failed"));
        ensure!(succeeded == matched && failed == 0, "{replay}");
    }
    let both = |name: &str| [count(&first, name), count(&second, name)];
    ensure!(
        both("matched").contains(&FAILED) && both("sent").iter().sum::<usize>() == FAILED,
        "{first} {second}"
    );
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for one in &receiver.received("hook")[before..] {
        *times
            .entry(one.header("webhook-id").to_owned())
            .or_default() += 1;
    }
    ensure!(
        times.len() == FAILED && times.values().all(|count| *count == 1),
        "{times:?}"
    );
    Ok(())
}

/// An endpoint that has got so many events; its path.
async fn with_history(
    api: &Api,
    account: &str,
    receiver: &Receiver,
    events: u64,
) -> Result<String> {
    let id = impatient(api, account, &receiver.url("hook")).await?;
    let endpoint = format!("/v1/accounts/{account}/endpoints/{id}");
    for n in 0..events {
        api.publish(account, "message.report", &json!({"n": n}))
            .await?;
    }
    ended(api, &endpoint, "successful", events).await?;
    Ok(endpoint)
}

async fn a_replay_leaves_room_for_live_deliveries(deployment: Arc<Deployment>) -> Result<()> {
    const EVENTS: u64 = 60;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "replay-pace";
    let endpoint = with_history(&api, account, &receiver, EVENTS).await?;
    api.expect(
        200,
        Method::PATCH,
        &endpoint,
        Some(&json!({"rate_limit": 10})),
    )
    .await?;
    let replay = api
        .post(202, &format!("{endpoint}/replay"), &span("all"))
        .await?;
    let before = receiver.received("hook").len();
    receiver.wait_for("hook", before + 10, LIMIT).await?;
    let live = api.publish(account, "message.report", &json!({})).await?;
    eventually("the live event has come", LIMIT, || async {
        let received = receiver.received("hook");
        ensure!(
            received.iter().any(|one| one.header("webhook-id") == live),
            "not yet"
        );
        Ok(())
    })
    .await?;
    let shown = api
        .get(&format!(
            "/v1/accounts/{account}/replays/{}",
            replay["id"].as_str().context("an id")?
        ))
        .await?;
    let sent = shown["sent"].as_u64().context("a count")?;
    ensure!(
        shown["state"] == "running" && sent < 45,
        "the live event did not wait for the replay: {shown}"
    );
    let replay = done(&api, account, &replay).await?;
    ensure!(replay["succeeded"] == EVENTS, "{replay}");
    Ok(())
}

async fn a_cancelled_replay_sends_nothing_more(deployment: Arc<Deployment>) -> Result<()> {
    const EVENTS: u64 = 30;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "replay-cancel";
    let endpoint = with_history(&api, account, &receiver, EVENTS).await?;
    let slow = json!({"rate_limit": 4});
    api.expect(200, Method::PATCH, &endpoint, Some(&slow))
        .await?;
    let before = receiver.received("hook").len();
    let replay = api
        .post(202, &format!("{endpoint}/replay"), &span("all"))
        .await?;
    receiver.wait_for("hook", before + 3, LIMIT).await?;
    let id = replay["id"].as_str().context("an id")?;
    let path = format!("/v1/accounts/{account}/replays/{id}");
    let cancelled = api
        .expect(200, Method::POST, &format!("{path}/cancel"), None)
        .await?;
    ensure!(cancelled["state"] == "cancelled", "{cancelled}");
    let replay = done(&api, account, &replay).await?;
    let sent = replay["sent"].as_u64().context("a count")?;
    ensure!((3..EVENTS).contains(&sent), "{replay}");
    ensure!(
        replay["state"] == "cancelled" && replay["succeeded"] == sent,
        "{replay}"
    );
    let received = receiver.received("hook").len() - before;
    ensure!(received as u64 == sent, "{received} came of {sent}");
    let again = api
        .expect(200, Method::POST, &format!("{path}/cancel"), None)
        .await?;
    ensure!(again == replay, "{again}");
    Ok(())
}

/// An endpoint with a policy of its own, that has got so many events; its path.
async fn with_policy(
    api: &Api,
    account: &str,
    receiver: &Receiver,
    policy: &Value,
    events: u64,
) -> Result<String> {
    let endpoint = with_history(api, account, receiver, events).await?;
    api.expect(200, Method::PATCH, &endpoint, Some(policy))
        .await?;
    Ok(endpoint)
}

/// A replay is under way, and its endpoint disabled once each of its deliveries has
/// reached `state`; the replay.
async fn disabled_meanwhile(
    api: &Api,
    endpoint: &str,
    receiver: &Receiver,
    (state, events): (&str, u64),
) -> Result<Value> {
    let before = receiver.received("hook").len();
    let path = format!("{endpoint}/replay");
    let replay = api.post(202, &path, &span("all")).await?;
    let count = before + usize::try_from(events)?;
    receiver.wait_for("hook", count, LIMIT).await?;
    ended(api, endpoint, state, events).await?;
    let path = format!("{endpoint}/disable");
    api.expect(200, Method::POST, &path, None).await?;
    Ok(replay)
}

async fn what_arrives_after_a_disable_counts_as_delivered(
    deployment: Arc<Deployment>,
) -> Result<()> {
    const EVENTS: u64 = 8;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "replay-disabled";
    let patient = json!({"timeout_seconds": 30});
    let endpoint = with_policy(&api, account, &receiver, &patient, EVENTS).await?;
    receiver.script("hook", [Answer::status(200).after(Duration::from_secs(5))]);
    let state = ("pending", EVENTS);
    let replay = disabled_meanwhile(&api, &endpoint, &receiver, state).await?;
    // The POSTs go on: of none is it known how it ends.
    ended(&api, &endpoint, "cancelled", EVENTS).await?;
    let replay = done(&api, account, &replay).await?;
    ensure!(
        replay["state"] == "done" && replay["succeeded"] == EVENTS && replay["failed"] == 0,
        "{replay}"
    );
    let stats = api.get(&format!("{endpoint}/stats")).await?;
    ensure!(
        stats["successful"] == 2 * EVENTS && stats["cancelled"] == 0,
        "{stats}"
    );
    Ok(())
}

async fn what_a_disable_cancels_ends_its_replay(deployment: Arc<Deployment>) -> Result<()> {
    const EVENTS: u64 = 3;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "replay-cancelled";
    let policy = json!({"timeout_seconds": 1, "retry_schedule": ["1h"]});
    let endpoint = with_policy(&api, account, &receiver, &policy, EVENTS).await?;
    receiver.script("hook", [Answer::status(500)]);
    let state = ("retrying", EVENTS);
    let replay = disabled_meanwhile(&api, &endpoint, &receiver, state).await?;
    ended(&api, &endpoint, "cancelled", EVENTS).await?;
    // No attempt is under way, which nobody can know before one would have ended.
    let replay = done(&api, account, &replay).await?;
    ensure!(
        replay["state"] == "done" && replay["succeeded"] == 0 && replay["failed"] == EVENTS,
        "{replay}"
    );
    Ok(())
}

async fn a_replay_says_which_field_is_wrong(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let account = "replay-fields";
    let id = impatient(&api, account, "http://127.0.0.1:9900/").await?;
    let path = format!("/v1/accounts/{account}/endpoints/{id}/replay");
    let wrong = [
        ("after", Value::Null),
        ("after", json!("yesterday")),
        ("before", Value::Null),
        ("before", json!("2019-12-31T00:00:00Z")),
        ("before", json!(LONG_AGO)),
        ("status", json!("succeeded")),
        ("event_types", json!(["no spaces"])),
        ("event_types", json!(["message.report", "nope.nope"])),
        // All of it is to come.
        ("after", json!("2110-01-01T00:00:00Z")),
        ("dry_run", json!("yes")),
    ];
    for (field, value) in wrong {
        let mut body = span("failed");
        body[field] = value;
        if body[field].is_null() {
            body.as_object_mut().context("an object")?.remove(field);
        }
        let problem = api.post(422, &path, &body).await?;
        ensure!(problem["errors"][0]["field"] == field, "{body}: {problem}");
        if field != "dry_run" {
            body["dry_run"] = json!(true);
            let dry = api.post(422, &path, &body).await?;
            ensure!(dry == problem, "{body}: {dry}");
        }
    }
    let others = format!("/v1/accounts/replay-others/endpoints/{id}/replay");
    api.post(404, &others, &span("failed")).await?;
    let replay = api.post(202, &path, &span("failed")).await?;
    let replay = replay["id"].as_str().context("an id")?;
    for path in [
        format!("/v1/accounts/replay-others/replays/{replay}"),
        format!("/v1/accounts/{account}/replays/rpl_1"),
    ] {
        api.expect(404, Method::GET, &path, None).await?;
        api.expect(404, Method::POST, &format!("{path}/cancel"), None)
            .await?;
    }
    Ok(())
}

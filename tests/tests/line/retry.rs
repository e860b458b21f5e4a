//! Failing, waiting, trying again. The suite's schedule is 1 s, 2 s, 3 s.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::{Deployment, Mode};
use harness::receiver::{Answer, Received, Receiver};
use harness::suite::Scenario;
use harness::wait::{eventually, throughout};
use reqwest::Method;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        three_failures_then_success_are_four_attempts_on_schedule,
        a_kill_between_attempts_changes_nothing,
        retries_used_up_end_the_delivery_as_failed,
        retry_after_is_honoured,
        a_slow_answer_ends_at_the_timeout,
        gone_disables_the_endpoint_and_cancels_its_deliveries,
        an_endpoint_that_is_enabled_again_begins_anew,
    ]
}

/// Between two arrivals lies the delay and up to a fifth more, and whatever
/// the machine adds.
fn on_schedule(received: &[Received], delays: &[u64], slack: Duration) -> Result<()> {
    for (pair, delay) in received.windows(2).zip(delays) {
        let waited = pair[1].at - pair[0].at;
        let least = Duration::from_secs(*delay);
        let most = least.mul_f64(1.2) + slack;
        ensure!(
            (least..most).contains(&waited),
            "waited {waited:?} instead of {least:?}"
        );
    }
    Ok(())
}

async fn recorded(
    deployment: &Deployment,
    account: &str,
    endpoint: &str,
    count: usize,
) -> Result<Vec<Value>> {
    eventually(&format!("{count} attempts are recorded"), LIMIT, || async {
        let mut attempts = deployment.api().attempts(account, endpoint).await?;
        ensure!(attempts.len() == count, "{} are", attempts.len());
        attempts.reverse();
        Ok(attempts)
    })
    .await
}

async fn three_failures_then_success_are_four_attempts_on_schedule(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "retries";
    let answers =
        [500, 404, 302, 200].map(|status| Answer::status(status).header("x-answer", "yes"));
    receiver.script("hook", answers);
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let event = api
        .publish(account, "message.report", &json!({"n": 1}))
        .await?;
    let received = receiver.wait_for("hook", 4, LIMIT).await?;
    on_schedule(&received, &[1, 2, 3], Duration::from_millis(1_500))?;
    let mut timestamps: Vec<&str> = received
        .iter()
        .map(|one| one.header("webhook-timestamp"))
        .collect();
    timestamps.dedup();
    ensure!(
        timestamps.len() == 4,
        "a new webhook-timestamp each: {timestamps:?}"
    );
    ensure!(
        received.iter().all(|one| one.header("webhook-id") == event),
        "the same webhook-id"
    );
    ensure!(
        received.iter().all(|one| one.body == received[0].body),
        "the same body"
    );

    let attempts = recorded(&deployment, account, &endpoint, 4).await?;
    for (index, (attempt, status)) in attempts.iter().zip([500, 404, 302, 200]).enumerate() {
        ensure!(
            attempt["number"] == index + 1 && attempt["response_status"] == status,
            "{attempt}"
        );
        ensure!(
            attempt["delivery_id"] == attempts[0]["delivery_id"],
            "one delivery: {attempt}"
        );
        let id = attempt["id"].as_str().context("an id")?;
        let detail = api
            .get(&format!("/v1/accounts/{account}/attempts/{id}"))
            .await?;
        let sent = &received[index];
        ensure!(
            detail["request_body"].as_str() == std::str::from_utf8(&sent.body).ok(),
            "{detail}"
        );
        for name in [
            "webhook-timestamp",
            "webhook-signature",
            "x-webhook-signature",
            "traceparent",
        ] {
            ensure!(
                detail["request_headers"][name] == sent.header(name),
                "{name}: {detail}"
            );
        }
        ensure!(detail["response_headers"]["x-answer"] == "yes", "{detail}");
        ensure!(
            detail["response_body"] == format!("answered {status}"),
            "{detail}"
        );
        ensure!(
            detail["duration_ms"].is_u64() && detail["delivery_state"] == "succeeded",
            "{detail}"
        );
    }
    let stats = api
        .get(&format!(
            "/v1/accounts/{account}/endpoints/{endpoint}/stats"
        ))
        .await?;
    ensure!(
        stats["total_messages"] == 1 && stats["successful"] == 1,
        "{stats}"
    );
    ensure!(
        stats["success_rate"] == 1.0 && stats["retrying"] == 0,
        "{stats}"
    );
    Ok(())
}

async fn a_kill_between_attempts_changes_nothing(deployment: Arc<Deployment>) -> Result<()> {
    // The other scenarios run beside this one, so the kill is a deployment's
    // of its own.
    let mode = deployment.mode();
    drop(deployment);
    let settings = [
        ("POSTRIDER_RETRY_SCHEDULE", "4s,5s,6s"),
        // Else 20 s in a cluster, and the schedule is held to seconds here.
        ("POSTRIDER_LEASE_DURATION", "3s"),
        ("POSTRIDER_DELIVERY_TIMEOUT", "3s"),
    ];
    let deployment = Deployment::start(mode, &settings).await?;
    let victim = if mode == Mode::Standalone {
        "standalone"
    } else {
        "dispatcher"
    };
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "killed";
    receiver.script("hook", [500, 500, 500, 200].map(Answer::status));
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    api.publish(account, "message.report", &json!({})).await?;
    for attempt in 1..=3 {
        receiver.wait_for("hook", attempt, LIMIT).await?;
        recorded(&deployment, account, &endpoint, attempt).await?;
        deployment.kill(victim)?;
        deployment.start_process(victim).await?;
        deployment.process_ready(victim, LIMIT).await?;
    }
    let received = receiver.wait_for("hook", 4, LIMIT).await?;
    on_schedule(&received, &[4, 5, 6], Duration::from_secs(5))?;
    recorded(&deployment, account, &endpoint, 4).await?;
    throughout(
        "there are four attempts",
        Duration::from_secs(7),
        || async {
            ensure!(receiver.received("hook").len() == 4, "one more came");
            Ok(())
        },
    )
    .await
}

async fn retries_used_up_end_the_delivery_as_failed(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "used-up";
    receiver.script("hook", [Answer::status(503)]);
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let event = api.publish(account, "message.report", &json!({})).await?;
    let path = format!("/v1/accounts/{account}/endpoints/{endpoint}");
    let stats = eventually("the delivery retries", LIMIT, || async {
        let stats = api.get(&format!("{path}/stats")).await?;
        ensure!(stats["retrying"] == 1 && stats["pending"] == 1, "{stats}");
        Ok(stats)
    })
    .await?;
    ensure!(stats["success_rate"].is_null(), "{stats}");
    let shown = api.get(&path).await?;
    ensure!(shown["health"]["state"] == "failing", "{shown}");

    recorded(&deployment, account, &endpoint, 4).await?;
    let shown = eventually("the delivery has failed", LIMIT, || async {
        let shown = api
            .get(&format!("/v1/accounts/{account}/events/{event}"))
            .await?;
        ensure!(shown["deliveries"][0]["state"] == "failed", "{shown}");
        Ok(shown)
    })
    .await?;
    ensure!(shown["deliveries"][0]["attempts"] == 4, "{shown}");
    ensure!(
        shown["deliveries"][0]["next_attempt_at"].is_null(),
        "{shown}"
    );
    let stats = api.get(&format!("{path}/stats")).await?;
    ensure!(stats["failed"] == 1 && stats["pending"] == 0, "{stats}");
    ensure!(stats["success_rate"] == 0.0, "{stats}");
    Ok(())
}

async fn retry_after_is_honoured(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    // So long that a busy machine does not make the third wait look like it.
    let wait = |status: u16| Answer::status(status).header("retry-after", "9");
    // 429 and 503 are asked to wait; a 500 has no say.
    receiver.script("hook", [wait(429), wait(500), Answer::status(200)]);
    api.endpoint("retry-after", &receiver.url("hook"), &["message.report"])
        .await?;
    api.publish("retry-after", "message.report", &json!({}))
        .await?;
    let received = receiver.wait_for("hook", 3, LIMIT).await?;
    on_schedule(&received, &[9, 2], Duration::from_secs(6))
}

async fn a_slow_answer_ends_at_the_timeout(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "slow";
    let slow = Answer::status(200).after(Duration::from_secs(20));
    receiver.script("hook", [slow, Answer::status(200)]);
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    api.publish(account, "message.report", &json!({})).await?;
    let attempts = recorded(&deployment, account, &endpoint, 2).await?;
    ensure!(attempts[0]["failure_class"] == "timeout", "{attempts:?}");
    ensure!(attempts[0]["response_status"].is_null(), "{attempts:?}");
    let duration = attempts[0]["duration_ms"].as_u64().context("a duration")?;
    ensure!(
        (2_900..4_500).contains(&duration),
        "{duration} ms for a timeout of 3 s"
    );
    ensure!(attempts[1]["status"] == "succeeded", "{attempts:?}");
    Ok(())
}

async fn gone_disables_the_endpoint_and_cancels_its_deliveries(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "gone";
    receiver.script("hook", [Answer::status(410), Answer::status(200)]);
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let event = api.publish(account, "message.report", &json!({})).await?;
    let path = format!("/v1/accounts/{account}/endpoints/{endpoint}");
    let shown = eventually("the endpoint is disabled", LIMIT, || async {
        let shown = api.get(&path).await?;
        ensure!(shown["status"] == "disabled", "{shown}");
        Ok(shown)
    })
    .await?;
    ensure!(
        shown["disabled_reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("410")),
        "{shown}"
    );
    eventually("its delivery is cancelled", LIMIT, || async {
        let shown = api
            .get(&format!("/v1/accounts/{account}/events/{event}"))
            .await?;
        let delivery = &shown["deliveries"][0];
        ensure!(delivery["state"] == "cancelled", "{shown}");
        ensure!(delivery["reason"] == "endpoint_disabled", "{shown}");
        ensure!(delivery["next_attempt_at"].is_null(), "{shown}");
        Ok(())
    })
    .await?;
    // The disable may be told before it.
    let attempts = recorded(&deployment, account, &endpoint, 1).await?;
    let id = attempts[0]["id"].as_str().context("an id")?;
    let attempt = api
        .get(&format!("/v1/accounts/{account}/attempts/{id}"))
        .await?;
    ensure!(attempt["response_status"] == 410, "{attempt}");
    ensure!(attempt["delivery_state"] == "cancelled", "{attempt}");
    ensure!(attempt["next_attempt_at"].is_null(), "{attempt}");
    // Also when it is active again before the retry was due.
    api.post(200, &format!("{path}/enable"), &Value::Null)
        .await?;
    throughout(
        "the cancelled delivery rests",
        Duration::from_secs(4),
        || async {
            ensure!(receiver.received("hook").len() == 1, "it was tried again");
            Ok(())
        },
    )
    .await?;
    let skipped = api
        .publish(account, "message.report", &json!({"n": 2}))
        .await?;
    let received = receiver.wait_for("hook", 2, LIMIT).await?;
    ensure!(
        received[1].header("webhook-id") == skipped,
        "the next event arrives"
    );
    Ok(())
}

async fn an_endpoint_that_is_enabled_again_begins_anew(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "anew";
    receiver.script("hook", [Answer::status(500)]);
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let path = format!("/v1/accounts/{account}/endpoints/{endpoint}");
    // More than it takes to be paused.
    for n in 0..14 {
        api.publish(account, "message.report", &json!({"n": n}))
            .await?;
    }
    eventually("it fails and is paused", LIMIT, || async {
        let health = api.get(&path).await?["health"].take();
        let message = health["message"].as_str().context("a message")?;
        ensure!(
            health["state"] == "failing" && message.contains("Paused"),
            "{health}"
        );
        ensure!(health["failing_since"].is_string(), "{health}");
        Ok(())
    })
    .await?;
    let message = "No deliveries since it was disabled";
    let anew = json!({"state": "unknown", "message": message, "failing_since": null});
    for verb in ["disable", "enable"] {
        let call = format!("{path}/{verb}");
        let answered = api.expect(200, Method::POST, &call, None).await?;
        ensure!(answered["health"] == anew, "{verb}: {answered}");
        let shown = api.get(&path).await?;
        ensure!(shown["health"] == anew, "{verb}: {shown}");
    }
    Ok(())
}

//! What an endpoint receives.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use harness::api;
use harness::deployment::Deployment;
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use harness::wait::eventually;
use proto::v1::PublishEventRequest;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(15);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        a_published_object_arrives_byte_for_byte,
        each_subscribed_endpoint_gets_the_same_body_once,
        a_large_object_arrives_whole,
        a_test_event_reaches_its_endpoint_only,
        a_redirect_is_a_failure_and_not_followed,
        a_long_answer_is_cut_at_64_kib,
        a_thousand_events_right_after_their_endpoint_all_arrive,
    ]
}

/// Big integers, key order, unicode, escapes, floats and white space.
const OBJECT: &str = "{\"z\":12345678901234567890123456789, \"a\":1.0e+2,\"\\u00e9\":\"é\\ud83d\\ude00😀\\/\\n\",\
                      \"nested\":{\"b\":[1,2,{}],\"a\":null},\"a\":\"again\",\"zero\":-0.0 }";

async fn a_published_object_arrives_byte_for_byte(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "bytes";
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.incoming"])
        .await?;
    let before = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)?
        .as_secs();

    let mut client = api::ingest(&deployment.grpc("ingest"), api.key()).await?;
    let request = PublishEventRequest {
        account: account.into(),
        r#type: "message.incoming".into(),
        object: OBJECT.into(),
        ..PublishEventRequest::default()
    };
    let answer = client.publish_event(request).await?.into_inner();
    let event = answer.id.clone();
    ensure!(!answer.duplicate && event.starts_with("evt_"), "{answer:?}");

    let received = receiver.wait_for("hook", 1, LIMIT).await?.remove(0);
    let body = std::str::from_utf8(&received.body)?;
    let start = format!(
        "{{\"id\":\"{event}\",\"type\":\"message.incoming\",\"api_version\":\"2026-02-04\",\"created_at\":"
    );
    let rest = body
        .strip_prefix(&start)
        .with_context(|| format!("the body is {body}"))?;
    let (created_at, rest) = rest.split_once(',').context("created_at and more")?;
    let created_at: u64 = created_at.parse()?;
    ensure!(
        (before..before + 30).contains(&created_at),
        "created_at {created_at}, now {before}"
    );
    ensure!(
        rest == format!("\"liveMode\":true,\"data\":{{\"object\":{OBJECT}}}}}"),
        "rest: {rest}"
    );

    ensure!(
        received.header("content-type") == "application/json",
        "{:?}",
        received.headers
    );
    ensure!(
        received.header("user-agent").starts_with("Postrider/"),
        "{:?}",
        received.headers
    );
    ensure!(
        received.header("webhook-id") == event,
        "{:?}",
        received.headers
    );
    let traceparent: Vec<&str> = received.header("traceparent").split('-').collect();
    ensure!(
        traceparent.len() == 4 && traceparent[1].len() == 32,
        "{traceparent:?}"
    );

    let attempts = eventually("the attempt is recorded", LIMIT, || async {
        let attempts = api.attempts(account, &endpoint).await?;
        ensure!(attempts.len() == 1, "{} are", attempts.len());
        Ok(attempts)
    })
    .await?;
    let id = attempts[0]["id"].as_str().context("an attempt id")?;
    let detail = api
        .get(&format!("/v1/accounts/{account}/attempts/{id}"))
        .await?;
    ensure!(detail["request_body"] == body, "{detail}");
    ensure!(detail["trace_id"] == traceparent[1], "{detail}");
    ensure!(detail["request_headers"]["webhook-id"] == event, "{detail}");
    ensure!(
        detail["response_status"] == 200 && detail["response_body"] == "answered 200",
        "{detail}"
    );
    ensure!(
        detail["delivery_state"] == "succeeded" && detail["next_attempt_at"].is_null(),
        "{detail}"
    );

    let shown = api
        .get(&format!("/v1/accounts/{account}/events/{event}"))
        .await?;
    ensure!(shown["body"] == body, "{shown}");
    ensure!(shown["deliveries"][0]["state"] == "succeeded", "{shown}");
    Ok(())
}

async fn each_subscribed_endpoint_gets_the_same_body_once(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "fan-out";
    for path in ["one", "two", "three"] {
        api.endpoint(
            account,
            &receiver.url(path),
            &["message.report", "form.submitted"],
        )
        .await?;
    }
    let other = api
        .endpoint(account, &receiver.url("other"), &["message.incoming"])
        .await?;
    let event = api
        .publish(account, "message.report", &json!({"n": 1}))
        .await?;
    let mut bodies = Vec::new();
    for path in ["one", "two", "three"] {
        bodies.push(receiver.wait_for(path, 1, LIMIT).await?.remove(0).body);
    }
    ensure!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");

    let shown = eventually("all are recorded", LIMIT, || async {
        let shown = api
            .get(&format!("/v1/accounts/{account}/events/{event}"))
            .await?;
        let deliveries = shown["deliveries"].as_array().context("deliveries")?;
        let succeeded = deliveries
            .iter()
            .filter(|one| one["state"] == "succeeded")
            .count();
        ensure!(succeeded == 3 && deliveries.len() == 3, "{shown}");
        Ok(shown)
    })
    .await?;
    let not_sent = json!([{"endpoint_id": other, "reason": "not_subscribed"}]);
    ensure!(shown["not_sent"] == not_sent, "{shown}");
    for path in ["one", "two", "three"] {
        ensure!(receiver.received(path).len() == 1, "once each");
    }
    ensure!(
        receiver.received("other").is_empty(),
        "it did not subscribe"
    );
    Ok(())
}

async fn a_large_object_arrives_whole(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    // The fullest object allowed, which is too large to ride in a delivery.
    let text = "x".repeat(256 * 1024 - "{\"t\":\"\"}".len());
    receiver.script("hook", [Answer::status(500), Answer::status(200)]);
    api.endpoint("large", &receiver.url("hook"), &["form.submitted"])
        .await?;
    api.publish("large", "form.submitted", &json!({"t": text}))
        .await?;
    for received in receiver.wait_for("hook", 2, LIMIT).await? {
        let body: Value = serde_json::from_slice(&received.body)?;
        ensure!(
            body["data"]["object"]["t"] == text,
            "cut to {} bytes",
            received.body.len()
        );
    }
    Ok(())
}

async fn a_test_event_reaches_its_endpoint_only(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "testing";
    let endpoint = api
        .endpoint(account, &receiver.url("mine"), &["message.incoming"])
        .await?;
    api.endpoint(account, &receiver.url("other"), &["message.report"])
        .await?;
    let path = format!("/v1/accounts/{account}/endpoints/{endpoint}");
    // A type it does not subscribe to: the catalogue's example is sent.
    let answer = api
        .post(
            202,
            &format!("{path}/test"),
            &json!({"event_type": "message.report"}),
        )
        .await?;
    let received = receiver.wait_for("mine", 1, LIMIT).await?.remove(0);
    let body: Value = serde_json::from_slice(&received.body)?;
    ensure!(
        body["liveMode"] == false && body["id"] == answer["event_id"],
        "{body}"
    );
    ensure!(body["data"]["object"]["status"] == "READ", "{body}");

    let attempt = eventually("the attempt is recorded", LIMIT, || async {
        api.attempts(account, &endpoint)
            .await?
            .pop()
            .context("none yet")
    })
    .await?;
    ensure!(
        attempt["delivery_id"] == answer["delivery_id"],
        "{attempt} of {answer}"
    );
    let stats = api.get(&format!("{path}/stats")).await?;
    ensure!(
        stats["total_messages"] == 0 && stats["success_rate"].is_null(),
        "{stats}"
    );
    let endpoint = api.get(&path).await?;
    ensure!(
        endpoint["health"]["message"] == "No deliveries yet",
        "{endpoint}"
    );
    ensure!(
        receiver.received("other").is_empty(),
        "it is for one endpoint"
    );
    Ok(())
}

async fn a_redirect_is_a_failure_and_not_followed(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let target = receiver.url("target");
    receiver.script(
        "hook",
        [
            Answer::status(307).header("location", &target),
            Answer::status(200),
        ],
    );
    let endpoint = api
        .endpoint("redirects", &receiver.url("hook"), &["message.report"])
        .await?;
    api.publish("redirects", "message.report", &json!({}))
        .await?;
    receiver.wait_for("hook", 2, LIMIT).await?;
    let attempts = eventually("both are recorded", LIMIT, || async {
        let attempts = api.attempts("redirects", &endpoint).await?;
        ensure!(attempts.len() == 2, "{} are", attempts.len());
        Ok(attempts)
    })
    .await?;
    ensure!(attempts[1]["response_status"] == 307, "{attempts:?}");
    ensure!(
        attempts[1]["failure_class"] == "http_status",
        "{attempts:?}"
    );
    ensure!(
        receiver.received("target").is_empty(),
        "the redirect was followed"
    );
    Ok(())
}

async fn a_long_answer_is_cut_at_64_kib(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "long-answer";
    let binary: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[0]).collect();
    receiver.script("hook", [Answer::status(200).body(binary.clone())]);
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    api.publish(account, "message.report", &json!({})).await?;
    let attempt = eventually("the attempt is recorded", LIMIT, || async {
        api.attempts(account, &endpoint)
            .await?
            .pop()
            .context("none yet")
    })
    .await?;
    ensure!(attempt["status"] == "succeeded", "{attempt}");
    let id = attempt["id"].as_str().context("an id")?;
    let detail = api
        .get(&format!("/v1/accounts/{account}/attempts/{id}"))
        .await?;
    ensure!(
        detail["response_truncated"] == true,
        "{}",
        detail["response_truncated"]
    );
    ensure!(
        detail["response_body_encoding"] == "base64",
        "{}",
        detail["response_body_encoding"]
    );
    let kept = base64::engine::general_purpose::STANDARD
        .decode(detail["response_body"].as_str().context("a body")?)?;
    ensure!(
        kept == binary[..64 * 1024],
        "{} bytes were kept",
        kept.len()
    );
    Ok(())
}

async fn a_thousand_events_right_after_their_endpoint_all_arrive(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    for n in 0..1_000 {
        let account = format!("at-once-{}", n % 50);
        let path = format!("p{n}");
        let endpoint = api
            .endpoint(&account, &receiver.url(&path), &["message.report"])
            .await?;
        api.publish(&account, "message.report", &json!({"n": n}))
            .await?;
        receiver
            .wait_for(&path, 1, LIMIT)
            .await
            .with_context(|| format!("event {n} was published right after its endpoint"))?;
        if n % 50 >= 40 {
            // Every fifth account keeps few endpoints, the others many.
            let path = format!("/v1/accounts/{account}/endpoints/{endpoint}");
            api.expect(204, reqwest::Method::DELETE, &path, None)
                .await?;
        }
    }
    Ok(())
}

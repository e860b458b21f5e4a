//! Endpoints that must echo a challenge before they get events.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::api::{self, Api};
use harness::deployment::{Deployment, Mode};
use harness::ports::free_port;
use harness::receiver::{Answer, Received, Receiver};
use harness::suite::Scenario;
use harness::wait::{eventually, throughout};
use proto::v1::VerifyEndpointRequest;
use reqwest::header::{CONTENT_TYPE, COOKIE, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::process::Command;
use tonic::Code;

const LIMIT: Duration = Duration::from_secs(15);
const ACCOUNT: &str = "careful";
const HEADER: &str = "webhook-challenge";
/// Between two challenges to an endpoint.
const INTERVAL: Duration = Duration::from_secs(10);

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![
        an_endpoint_gets_events_once_it_has_echoed_its_challenge,
        another_url_needs_another_echo,
        challenges_are_few_and_its_accounts_alone,
        its_page_says_so_and_sends_another_one,
        the_receiver_of_the_docs_passes,
    ]
}

async fn start(mode: Mode) -> Result<(Deployment, Receiver)> {
    let settings = [
        ("POSTRIDER_VERIFY_ENDPOINTS", "true"),
        ("POSTRIDER_RETRY_SCHEDULE", "1s,2s"),
    ];
    let deployment = Deployment::start(mode, &settings).await?;
    Ok((deployment, Receiver::start().await?))
}

fn path(endpoint: &str) -> String {
    format!("/v1/accounts/{ACCOUNT}/endpoints/{endpoint}")
}

/// Waits until the endpoint is in that state, and gives it.
async fn becomes(api: &Api, endpoint: &str, state: &str) -> Result<Value> {
    eventually(&format!("it becomes {state}"), LIMIT, || async {
        let shown = api.get(&path(endpoint)).await?;
        ensure!(shown["verification"] == state, "{shown}");
        Ok(shown)
    })
    .await
}

/// Waits until an event's page says why it did not go to the endpoint.
async fn not_sent(api: &Api, event: &str, endpoint: &str, reason: &str) -> Result<()> {
    let path = format!("/v1/accounts/{ACCOUNT}/events/{event}");
    let expected = json!([{"endpoint_id": endpoint, "reason": reason}]);
    eventually("the plan is recorded", LIMIT, || async {
        let shown = api.get(&path).await?;
        ensure!(shown["not_sent"] == expected, "{shown}");
        ensure!(shown["deliveries"] == json!([]), "{shown}");
        Ok(())
    })
    .await
}

/// Whether a request is one: with a header of its own, and signed like any.
fn challenge(received: &Received) -> Result<String> {
    let body: Value = serde_json::from_slice(&received.body)?;
    ensure!(body["type"] == "endpoint.verification", "{body}");
    ensure!(received.header("x-webhook-signature").len() == 64);
    let challenge = received.header(HEADER).to_owned();
    ensure!(challenge.len() == 64, "{challenge:?}");
    ensure!(
        !body.to_string().contains(&challenge),
        "only the header says it"
    );
    Ok(challenge)
}

/// Asks for a challenge as soon as the last one is old enough.
async fn ask_again(api: &Api, endpoint: &str) -> Result<Value> {
    let begun = Instant::now();
    loop {
        let path = format!("{}/verify", path(endpoint));
        let (status, answer) = api.call(Method::POST, &path, None).await?;
        if status == 200 {
            return Ok(answer);
        }
        ensure!(answer["code"] == "RATE_LIMITED", "{answer}");
        ensure!(begun.elapsed() < INTERVAL * 2, "it has no end: {answer}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// An endpoint that does not echo its challenge, and that challenge.
async fn silent(api: &Api, receiver: &Receiver) -> Result<(String, String)> {
    receiver.script("hook", [Answer::status(200)]);
    let endpoint = api
        .endpoint(ACCOUNT, &receiver.url("hook"), &["message.report"])
        .await?;
    let first = receiver.wait_for("hook", 1, LIMIT).await?;
    Ok((endpoint, challenge(&first[0])?))
}

async fn an_endpoint_gets_events_once_it_has_echoed_its_challenge(mode: Mode) -> Result<()> {
    let (deployment, receiver) = start(mode).await?;
    let api = deployment.api();
    // It answers every time, and never with the challenge.
    let (endpoint, first) = silent(&api, &receiver).await?;
    let event = api
        .publish(ACCOUNT, "message.report", &json!({"n": 1}))
        .await?;
    not_sent(&api, &event, &endpoint, "unverified").await?;
    let attempt = eventually("its answer is recorded", LIMIT, || async {
        let attempts = api.attempts(ACCOUNT, &endpoint).await?;
        attempts.into_iter().next().context("no attempt yet")
    })
    .await?;
    ensure!(attempt["failure_class"] == "response_invalid", "{attempt}");
    let attempt = attempt["id"].as_str().context("an id")?;
    let attempt = api
        .get(&format!("/v1/accounts/{ACCOUNT}/attempts/{attempt}"))
        .await?;
    let message = attempt["failure_message"].as_str().unwrap_or_default();
    ensure!(message.contains(HEADER), "{attempt}");
    ensure!(attempt["next_attempt_at"].is_null(), "{attempt}");

    // Nothing else leads there either.
    let test = json!({"event_type": "message.report"});
    let refused = api
        .post(409, &format!("{}/test", path(&endpoint)), &test)
        .await?;
    ensure!(refused["code"] == "ENDPOINT_UNVERIFIED", "{refused}");
    let resend = format!("/v1/accounts/{ACCOUNT}/events/{event}/resend");
    let to = json!({"endpoint_id": endpoint});
    let refused = api.post(409, &resend, &to).await?;
    ensure!(refused["code"] == "ENDPOINT_UNVERIFIED", "{refused}");
    let span = json!({"after": "2026-01-01T00:00:00Z", "before": "2030-01-01T00:00:00Z",
        "status": "all"});
    let refused = api
        .post(409, &format!("{}/replay", path(&endpoint)), &span)
        .await?;
    ensure!(refused["code"] == "ENDPOINT_UNVERIFIED", "{refused}");
    let test = json!({"event_type": "endpoint.verification"});
    let (status, _) = api
        .call(
            Method::POST,
            &format!("{}/test", path(&endpoint)),
            Some(&test),
        )
        .await?;
    ensure!(status == 422, "{status}: nobody sends it by hand");

    // A challenge of before is no answer to the next one.
    receiver.script("hook", [Answer::status(200).body(first.clone())]);
    ask_again(&api, &endpoint).await?;
    let received = receiver.wait_for("hook", 2, LIMIT).await?;
    ensure!(challenge(&received[1])? != first, "each is another");
    throughout("it is not verified", Duration::from_secs(2), || async {
        let shown = api.get(&path(&endpoint)).await?;
        ensure!(shown["verification"] == "pending", "{shown}");
        Ok(())
    })
    .await?;

    receiver.script("hook", [Answer::echo(HEADER)]);
    ask_again(&api, &endpoint).await?;
    becomes(&api, &endpoint, "verified").await?;
    let seen = receiver.received("hook").len();
    let next = api
        .publish(ACCOUNT, "message.report", &json!({"n": 2}))
        .await?;
    let received = receiver.wait_for("hook", seen + 1, LIMIT).await?;
    ensure!(received[seen].header("webhook-id") == next, "{received:?}");
    ensure!(received[seen].header(HEADER).is_empty(), "{received:?}");
    // What it missed is sent when somebody says so.
    api.post(202, &resend, &to).await?;
    let received = receiver.wait_for("hook", seen + 2, LIMIT).await?;
    ensure!(
        received[seen + 1].header("webhook-id") == event,
        "{received:?}"
    );
    eventually("challenges are not counted", LIMIT, || async {
        let stats = api.get(&format!("{}/stats", path(&endpoint))).await?;
        ensure!(stats["total_messages"] == 2, "{stats}");
        Ok(())
    })
    .await?;
    audited(&api, &endpoint).await?;
    deployment.all_running()
}

async fn audited(api: &Api, endpoint: &str) -> Result<()> {
    let page = api
        .get(&format!("/v1/accounts/{ACCOUNT}/audit-log?page_size=100"))
        .await?;
    let entries = page["audit_entries"].as_array().context("entries")?;
    let of = |action: &str| {
        let is = |one: &&Value| one["action"] == action && one["target"] == endpoint;
        entries.iter().filter(is).count()
    };
    let counts = (of("endpoint.challenged"), of("endpoint.verified"));
    ensure!(counts == (3, 1), "{counts:?} in {page}");
    Ok(())
}

async fn another_url_needs_another_echo(mode: Mode) -> Result<()> {
    let (deployment, receiver) = start(mode).await?;
    let api = deployment.api();
    receiver.script("old", [Answer::echo(HEADER), Answer::status(500)]);
    receiver.script("new", [Answer::status(404)]);
    let endpoint = api
        .endpoint(ACCOUNT, &receiver.url("old"), &["message.report"])
        .await?;
    becomes(&api, &endpoint, "verified").await?;
    let waiting = api.publish(ACCOUNT, "message.report", &json!({})).await?;
    receiver.wait_for("old", 2, LIMIT).await?;

    // The same URL, or another field, asks for nothing.
    let same = json!({"url": receiver.url("old"), "description": "another"});
    let shown = api
        .expect(200, Method::PATCH, &path(&endpoint), Some(&same))
        .await?;
    ensure!(shown["verification"] == "verified", "{shown}");
    let other = json!({"url": receiver.url("new")});
    let shown = api
        .expect(200, Method::PATCH, &path(&endpoint), Some(&other))
        .await?;
    ensure!(shown["verification"] == "pending", "{shown}");
    let seen = receiver.received("old").len();
    challenge(&receiver.wait_for("new", 1, LIMIT).await?[0])?;
    let event = api.publish(ACCOUNT, "message.report", &json!({})).await?;
    not_sent(&api, &event, &endpoint, "unverified").await?;
    let shown = format!("/v1/accounts/{ACCOUNT}/events/{waiting}");
    eventually("the retry for the old URL is cancelled", LIMIT, || async {
        let shown = api.get(&shown).await?;
        let delivery = &shown["deliveries"][0];
        ensure!(delivery["state"] == "cancelled", "{shown}");
        ensure!(delivery["reason"] == "endpoint_unverified", "{shown}");
        Ok(())
    })
    .await?;

    receiver.script("new", [Answer::echo(HEADER)]);
    ask_again(&api, &endpoint).await?;
    becomes(&api, &endpoint, "verified").await?;
    // What was cancelled meanwhile can be recovered.
    let span = json!({"after": "2026-01-01T00:00:00Z", "before": "2030-01-01T00:00:00Z",
        "status": "failed"});
    api.post(202, &format!("{}/replay", path(&endpoint)), &span)
        .await?;
    let received = receiver.wait_for("new", 3, LIMIT).await?;
    ensure!(received[2].header("webhook-id") == waiting, "{received:?}");
    ensure!(
        receiver.received("old").len() <= seen,
        "the old URL got more"
    );
    deployment.all_running()
}

async fn challenges_are_few_and_its_accounts_alone(mode: Mode) -> Result<()> {
    let (deployment, receiver) = start(mode).await?;
    let api = deployment.api();
    let endpoint = silent(&api, &receiver).await?.0;
    let verify = format!("{}/verify", path(&endpoint));
    let response = api.request(Method::POST, &verify).send().await?;
    ensure!(response.status() == 429, "{}", response.status());
    ensure!(response.headers()["retry-after"] == "10");

    let body = json!({"description": "another's", "scope": "admin", "account": "other"});
    let key = api.post(201, "/v1/keys", &body).await?;
    let other = api.with_key(key["key"].as_str().context("a key")?);
    other.post(404, &verify, &Value::Null).await?;
    let elsewhere = format!("/v1/accounts/other/endpoints/{endpoint}/verify");
    other.post(404, &elsewhere, &Value::Null).await?;
    let mut client = api::endpoints(&deployment.grpc("control"), other.key()).await?;
    let request = VerifyEndpointRequest {
        account: "other".into(),
        id: endpoint.clone(),
    };
    let status = client.verify_endpoint(request).await;
    ensure!(
        status
            .as_ref()
            .is_err_and(|status| status.code() == Code::NotFound),
        "{status:?}"
    );
    let body = json!({"description": "a reader's", "scope": "read", "account": ACCOUNT});
    let key = api.post(201, "/v1/keys", &body).await?;
    let reader = api.with_key(key["key"].as_str().context("a key")?);
    reader.post(403, &verify, &Value::Null).await?;

    // Nor is it a means to knock at strangers' doors.
    let mut limited = None;
    for n in 0..100 {
        let body = json!({"url": receiver.url("hook"), "description": format!("{n}"),
            "event_types": ["message.report"]});
        let base = format!("/v1/accounts/{ACCOUNT}/endpoints");
        let (status, made) = api.call(Method::POST, &base, Some(&body)).await?;
        if status == 429 {
            limited = Some(n);
            break;
        }
        let id = made["id"].as_str().with_context(|| made.to_string())?;
        api.expect(204, Method::DELETE, &path(id), None).await?;
    }
    ensure!(limited == Some(59), "{limited:?}: one was there before");
    ensure!(
        receiver.received("hook").len() <= 60,
        "more than were asked for"
    );
    deployment.all_running()
}

async fn the_receiver_of_the_docs_passes(mode: Mode) -> Result<()> {
    let (deployment, _) = start(mode).await?;
    let api = deployment.api();
    let root = harness::repository().join("docs");
    let page = std::fs::read_to_string(root.join("verification.md"))?;
    let code = page.split("```python\n").nth(1).context("a receiver")?;
    let code = code.split("```").next().context("its end")?.to_owned();
    let documented = deployment.dir().join("receive.py");
    std::fs::write(&documented, code)?;
    for program in [
        ("python3", documented),
        ("python3", root.join("recipes/crm_sync.py")),
        ("node", root.join("recipes/delivery_monitoring.mjs")),
        ("node", root.join("recipes/team_alerts.mjs")),
    ] {
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}/");
        let endpoint = api.endpoint(ACCOUNT, &url, &["message.report"]).await?;
        let _running = Command::new(program.0)
            .arg(&program.1)
            .env("PORT", port.to_string())
            .env("SECRET", api.secret(ACCOUNT, &endpoint).await?)
            .env("DATABASE", deployment.dir().join("contacts.db"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        eventually("it listens", LIMIT, async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
            Ok(())
        })
        .await?;
        ask_again(&api, &endpoint).await?;
        becomes(&api, &endpoint, "verified")
            .await
            .with_context(|| format!("{program:?}"))?;
    }
    deployment.all_running()
}

async fn its_page_says_so_and_sends_another_one(mode: Mode) -> Result<()> {
    let (deployment, receiver) = start(mode).await?;
    let api = deployment.api();
    let endpoint = silent(&api, &receiver).await?.0;
    let event = api.publish(ACCOUNT, "message.report", &json!({})).await?;
    not_sent(&api, &event, &endpoint, "unverified").await?;

    let base = deployment.http();
    let client = Client::builder().redirect(Policy::none()).build()?;
    let form = |path: &str| client.post(format!("{base}{path}")).header(ORIGIN, &base);
    let key = format!("key={}", deployment.admin_key());
    let kind = "application/x-www-form-urlencoded";
    let answer = form("/sign-in").header(CONTENT_TYPE, kind).body(key).send();
    let answer = answer.await?;
    let cookie = answer
        .headers()
        .get(SET_COOKIE)
        .context("a session")?
        .clone();
    let page = async |path: &str| -> Result<String> {
        let answer = client
            .get(format!("{base}{path}"))
            .header(COOKIE, &cookie)
            .send();
        let answer = answer.await?;
        ensure!(answer.status() == 200, "{path}: {}", answer.status());
        Ok(answer.text().await?)
    };
    let list = format!("/accounts/{ACCOUNT}/webhooks");
    let editor = format!("{list}/{endpoint}");
    for path in [&list, &editor] {
        let shown = page(path).await?;
        ensure!(shown.contains("Not verified yet"), "{shown}");
    }
    let shown = page(&editor).await?;
    ensure!(shown.contains("Send challenge again"), "{shown}");
    ensure!(!shown.contains("Send Test Event"), "{shown}");
    let shown = page(&format!("/accounts/{ACCOUNT}/events/{event}")).await?;
    ensure!(
        shown.contains("It was not verified yet when the event came."),
        "{shown}"
    );

    receiver.script("hook", [Answer::echo(HEADER)]);
    let begun = Instant::now();
    let answer = loop {
        let sent = form(&format!("{editor}/challenge"))
            .header(COOKIE, &cookie)
            .send();
        let sent = sent.await?;
        if sent.status() != 429 {
            break sent;
        }
        ensure!(begun.elapsed() < INTERVAL * 2, "it has no end");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    ensure!(answer.status() == 303, "{}", answer.status());
    becomes(&api, &endpoint, "verified").await?;
    let shown = page(&editor).await?;
    ensure!(!shown.contains("Not verified yet"), "{shown}");
    ensure!(shown.contains("Send Test Event"), "{shown}");
    deployment.all_running()
}

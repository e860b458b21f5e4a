//! Asking what happened: lists, filters, pages, resend.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use harness::deployment::Deployment;
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use harness::wait::eventually;
use reqwest::Method;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        attempts_are_filtered_and_paged_both_ways,
        what_no_event_can_have_is_refused,
        stats_count_deliveries_in_a_range,
        a_resend_is_a_new_delivery_with_the_same_id,
        a_resend_brings_a_waiting_retry_forward,
        a_resend_of_what_waits_for_a_limit_says_so,
        a_test_event_stays_a_test_when_it_is_sent_again,
        an_unreachable_endpoint_says_why,
        a_page_of_large_events_ends_early_and_none_is_left_out,
    ]
}

async fn attempts_are_filtered_and_paged_both_ways(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "pages";
    receiver.script("hook", [Answer::status(500), Answer::status(200)]);
    let endpoint = api
        .endpoint(
            account,
            &receiver.url("hook"),
            &["message.report", "form.submitted"],
        )
        .await?;
    for n in 0..10 {
        let event_type = if n % 2 == 0 {
            "message.report"
        } else {
            "form.submitted"
        };
        api.publish(account, event_type, &json!({"n": n})).await?;
    }
    let base = format!("/v1/accounts/{account}/endpoints/{endpoint}/attempts");
    let all = eventually("eleven attempts are recorded", LIMIT, || async {
        let attempts = api.attempts(account, &endpoint).await?;
        ensure!(attempts.len() == 11, "{} are", attempts.len());
        Ok(attempts)
    })
    .await?;
    let newest_first = all
        .windows(2)
        .all(|pair| pair[0]["started_at"].as_str() >= pair[1]["started_at"].as_str());
    ensure!(newest_first, "{all:?}");

    let mut paged = Vec::new();
    let mut pages: Vec<Value> = Vec::new();
    let mut token = String::new();
    loop {
        let page = api
            .get(&format!("{base}?page_size=4&page_token={token}"))
            .await?;
        paged.extend(page["attempts"].as_array().context("attempts")?.clone());
        token = page["next_page_token"]
            .as_str()
            .context("a token")?
            .to_owned();
        pages.push(page);
        if token.is_empty() {
            break;
        }
    }
    ensure!(paged == all && pages.len() == 3, "{} pages", pages.len());
    let token = pages[2]["prev_page_token"].as_str().context("a token")?;
    let back = api
        .get(&format!("{base}?page_size=4&page_token={token}"))
        .await?;
    ensure!(back["attempts"] == pages[1]["attempts"], "{back}");

    let filtered = |filter: String| {
        let (api, base) = (api.clone(), base.clone());
        async move {
            let page = api.get(&format!("{base}?page_size=100&{filter}")).await?;
            anyhow::Ok(page["attempts"].as_array().context("attempts")?.clone())
        }
    };
    let failed = filtered("status=failed".into()).await?;
    ensure!(
        failed.len() == 1 && failed[0]["response_status"] == 500,
        "{failed:?}"
    );
    ensure!(
        filtered("status=succeeded".into()).await?.len() == 10,
        "the rest succeeded"
    );
    let event = failed[0]["event_id"].as_str().context("an id")?;
    ensure!(
        filtered(format!("event_id={event}")).await?.len() == 2,
        "it was tried twice"
    );
    let forms = filtered("event_type=form.submitted".into()).await?;
    ensure!(
        forms
            .iter()
            .all(|one| one["event_type"] == "form.submitted")
            && forms.len() >= 5,
        "{forms:?}"
    );
    let middle = all[5]["started_at"].as_str().context("a time")?;
    let after = filtered(format!("after={middle}")).await?.len();
    let before = filtered(format!("before={middle}")).await?.len();
    ensure!(
        after + before == 11 && after >= 6,
        "{after} after and {before} before"
    );
    Ok(())
}

async fn what_no_event_can_have_is_refused(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let account = "/v1/accounts/no-event-can";
    let both = "events?tag=a=b&trace_id=4bf92f3577b34da6a3ce929d0e0e4736";
    for (path, status, code, field) in [
        (
            "attempts?event_type=Bad%20Type",
            422,
            "EVENT_TYPE_INVALID",
            "event_type",
        ),
        (
            "events?event_type=Bad%20Type",
            422,
            "EVENT_TYPE_INVALID",
            "event_type",
        ),
        ("events?tag==1", 422, "FIELD_INVALID", "tag"),
        ("events?tag_name=&tag_value=1", 422, "FIELD_INVALID", "tag"),
        (both, 400, "REQUEST_MALFORMED", "trace_id"),
    ] {
        let path = format!("{account}/{path}");
        let problem = api.expect(status, Method::GET, &path, None).await?;
        ensure!(
            problem["code"] == code && problem["errors"][0]["field"] == field,
            "{path}: {problem}"
        );
    }
    Ok(())
}

async fn stats_count_deliveries_in_a_range(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "stats";
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let path = format!("/v1/accounts/{account}/endpoints/{endpoint}");
    for n in 0..5 {
        api.publish(account, "message.report", &json!({"n": n}))
            .await?;
    }
    let stats = eventually("five have succeeded", LIMIT, || async {
        let stats = api.get(&format!("{path}/stats")).await?;
        ensure!(stats["successful"] == 5, "{stats}");
        Ok(stats)
    })
    .await?;
    let expected = json!({"total_messages": 5, "successful": 5, "failed": 0, "retrying": 0,
        "pending": 0, "cancelled": 0, "success_rate": 1.0});
    ensure!(stats == expected, "{stats}");
    let none = api
        .get(&format!("{path}/stats?before=2020-01-01T00:00:00Z"))
        .await?;
    ensure!(
        none["total_messages"] == 0 && none["success_rate"].is_null(),
        "{none}"
    );
    let all = api
        .get(&format!("{path}/stats?after=2020-01-01T00:00:00%2B05:30"))
        .await?;
    ensure!(all == expected, "{all}");
    let shown = api.get(&path).await?;
    let message = "No recent delivery errors";
    let health = json!({"state": "healthy", "message": message, "failing_since": null});
    ensure!(shown["health"] == health, "{shown}");
    Ok(())
}

async fn a_resend_is_a_new_delivery_with_the_same_id(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "resend";
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let event = api
        .publish(account, "message.report", &json!({"n": 1}))
        .await?;
    receiver.wait_for("hook", 1, LIMIT).await?;
    let path = format!("/v1/accounts/{account}/events/{event}");
    let first = eventually("it has succeeded", LIMIT, || async {
        let shown = api.get(&path).await?;
        ensure!(shown["deliveries"][0]["state"] == "succeeded", "{shown}");
        Ok(shown["deliveries"][0]["id"].clone())
    })
    .await?;
    let mut deliveries = vec![first];
    for n in 2..=3 {
        let body = json!({"endpoint_id": endpoint});
        let answer = api.post(202, &format!("{path}/resend"), &body).await?;
        ensure!(
            !deliveries.contains(&answer["delivery_id"]),
            "{answer} of {deliveries:?}"
        );
        ensure!(
            answer["outcome"] == "created" && answer["reason"].is_null(),
            "{answer}"
        );
        deliveries.push(answer["delivery_id"].clone());
        let received = receiver.wait_for("hook", n, LIMIT).await?;
        ensure!(received[n - 1].body == received[0].body, "the same bytes");
        ensure!(
            received[n - 1].header("webhook-id") == event,
            "the same webhook-id"
        );
        eventually("the resend has succeeded", LIMIT, || async {
            let shown = api.get(&path).await?;
            let all = shown["deliveries"].as_array().context("deliveries")?;
            let done = all
                .iter()
                .filter(|one| one["state"] == "succeeded" && one["attempts"] == 1);
            ensure!(all.len() == n && done.count() == n, "{shown}");
            ensure!(
                all.iter().filter(|one| one["cause"] == "resend").count() == n - 1,
                "{shown}"
            );
            Ok(())
        })
        .await?;
    }
    let slow = Answer::status(200).after(Duration::from_secs(1));
    receiver.script("hook", [slow]);
    let resend = format!("{path}/resend");
    let body = json!({"endpoint_id": endpoint});
    let at_once = try_join_all((0..8).map(|_| api.post(202, &resend, &body))).await?;
    let one = &at_once[0]["delivery_id"];
    ensure!(
        at_once.iter().all(|answer| answer["delivery_id"] == *one),
        "who asks at once is answered with one delivery: {at_once:?}"
    );
    let recorded = eventually("that one is recorded", LIMIT, || async {
        let shown = api.get(&path).await?;
        let all = shown["deliveries"].as_array().context("deliveries")?;
        ensure!(
            all.len() == 4 && all.iter().all(|one| one["state"] == "succeeded"),
            "{shown}"
        );
        Ok(())
    });
    recorded.await?;
    let received = receiver.received("hook").len();
    ensure!(received == 4, "{received}");
    let unknown = "evt_00000000-0000-4000-8000-000000000000";
    let path = format!("/v1/accounts/{account}/events/{unknown}/resend");
    api.post(404, &path, &json!({"endpoint_id": endpoint}))
        .await?;
    Ok(())
}

async fn a_test_event_stays_a_test_when_it_is_sent_again(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "resent-tests";
    let (url, other) = (receiver.url("hook"), receiver.url("other"));
    let endpoint = api.endpoint(account, &url, &["message.report"]).await?;
    let other = api.endpoint(account, &other, &["message.report"]).await?;
    let base = format!("/v1/accounts/{account}/endpoints/{endpoint}");
    let body = json!({"event_type": "message.report"});
    let sent = api.post(202, &format!("{base}/test"), &body).await?;
    let event = sent["event_id"].as_str().context("an id")?;
    let path = format!("/v1/accounts/{account}/events/{event}");
    let succeeded = async |deliveries: usize| {
        eventually("it has succeeded", LIMIT, || async {
            let shown = api.get(&path).await?;
            let all = shown["deliveries"].as_array().context("deliveries")?;
            let done = |one: &Value| one["state"] == "succeeded" && one["cause"] == "test";
            ensure!(all.len() == deliveries && all.iter().all(done), "{shown}");
            Ok(())
        })
        .await
    };
    succeeded(1).await?;
    let resend = format!("{path}/resend");
    api.post(202, &resend, &json!({"endpoint_id": endpoint}))
        .await?;
    succeeded(2).await?;
    let stats = api.get(&format!("{base}/stats")).await?;
    ensure!(stats["total_messages"] == 0, "{stats}");
    let shown = api.get(&base).await?;
    ensure!(shown["health"]["state"] == "unknown", "{shown}");

    let problem = api
        .post(422, &resend, &json!({"endpoint_id": other}))
        .await?;
    ensure!(problem["errors"][0]["field"] == "endpoint_id", "{problem}");
    ensure!(receiver.received("other").is_empty(), "it was sent");
    Ok(())
}

async fn a_resend_brings_a_waiting_retry_forward(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "forward";
    let wait = Answer::status(503).header("retry-after", "3600");
    receiver.script("hook", [wait, Answer::status(200)]);
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let event = api.publish(account, "message.report", &json!({})).await?;
    let path = format!("/v1/accounts/{account}/events/{event}");
    let waiting = eventually("it waits for its retry", LIMIT, || async {
        let shown = api.get(&path).await?;
        ensure!(
            shown["deliveries"][0]["next_attempt_at"].is_string(),
            "{shown}"
        );
        Ok(shown["deliveries"][0]["id"].clone())
    })
    .await?;
    let body = json!({"endpoint_id": endpoint});
    let answer = api.post(202, &format!("{path}/resend"), &body).await?;
    ensure!(
        answer["delivery_id"] == waiting && answer["outcome"] == "brought_forward",
        "the waiting one is brought forward: {answer}"
    );
    receiver.wait_for("hook", 2, LIMIT).await?;
    eventually("it has succeeded", LIMIT, || async {
        let shown = api.get(&path).await?;
        ensure!(shown["deliveries"][0]["state"] == "succeeded", "{shown}");
        ensure!(shown["deliveries"][0]["attempts"] == 2, "{shown}");
        Ok(())
    })
    .await
}

async fn a_resend_of_what_waits_for_a_limit_says_so(deployment: Arc<Deployment>) -> Result<()> {
    const EVENTS: usize = 20;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "resend-waits";
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let path = format!("/v1/accounts/{account}/endpoints/{endpoint}");
    let limit = |rate: Value| json!({ "rate_limit": rate });
    let (slow, fast) = (limit(json!(1)), limit(Value::Null));
    api.expect(200, Method::PATCH, &path, Some(&slow)).await?;
    let mut event = String::new();
    for n in 0..EVENTS {
        event = api
            .publish(account, "message.report", &json!({"n": n}))
            .await?;
    }
    let shown = format!("/v1/accounts/{account}/events/{event}");
    let waiting = eventually("the last one waits for its turn", LIMIT, || async {
        let shown = api.get(&shown).await?;
        let delivery = &shown["deliveries"][0];
        ensure!(delivery["reason"] == "throttled", "{shown}");
        Ok(delivery["id"].clone())
    })
    .await?;
    let body = json!({"endpoint_id": endpoint});
    let answer = api.post(202, &format!("{shown}/resend"), &body).await?;
    let expected = json!({"delivery_id": waiting, "outcome": "already_pending",
        "reason": "throttled"});
    ensure!(answer == expected, "{answer}");
    api.expect(200, Method::PATCH, &path, Some(&fast)).await?;
    eventually("all have come", LIMIT, || async {
        let stats = api.get(&format!("{path}/stats")).await?;
        ensure!(
            stats["successful"] == EVENTS && stats["total_messages"] == EVENTS,
            "{stats}"
        );
        Ok(())
    })
    .await?;
    let received = receiver.received("hook").len();
    ensure!(received == EVENTS, "{received} of {EVENTS}");
    Ok(())
}

async fn an_unreachable_endpoint_says_why(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let account = "unreachable";
    let port = harness::ports::free_port();
    // Nobody listens there.
    let url = format!("http://127.0.0.1:{port}/hook");
    let endpoint = api.endpoint(account, &url, &["message.report"]).await?;
    api.publish(account, "message.report", &json!({})).await?;
    let attempt = eventually("the attempt is recorded", LIMIT, || async {
        api.attempts(account, &endpoint)
            .await?
            .pop()
            .context("none yet")
    })
    .await?;
    ensure!(attempt["failure_class"] == "connect", "{attempt}");
    let id = attempt["id"].as_str().context("an id")?;
    let detail = api
        .get(&format!("/v1/accounts/{account}/attempts/{id}"))
        .await?;
    ensure!(
        detail["failure_message"]
            .as_str()
            .is_some_and(|text| text.len() > 10),
        "{detail}"
    );
    Ok(())
}

async fn a_page_of_large_events_ends_early_and_none_is_left_out(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let api = deployment.api();
    let base = "/v1/accounts/large-pages/events";
    let object = json!({"text": "x".repeat(250_000)});
    let mut published = Vec::new();
    for _ in 0..24 {
        let id = api
            .publish("large-pages", "message.report", &object)
            .await?;
        published.insert(0, id);
    }
    let page = async |size: u32, token: &str| {
        let path = format!("{base}?page_size={size}&page_token={token}");
        api.get(&path).await
    };
    eventually("all of them are recorded", LIMIT, || async {
        let mut known = 0;
        let mut token = String::new();
        loop {
            let page = page(10, &token).await?;
            known += page["events"].as_array().context("events")?.len();
            page["next_page_token"]
                .as_str()
                .unwrap_or("")
                .clone_into(&mut token);
            if token.is_empty() {
                break;
            }
        }
        ensure!(known == published.len(), "{known}");
        Ok(())
    })
    .await?;
    let mut listed: Vec<String> = Vec::new();
    let mut token = String::new();
    let last = loop {
        let page = page(100, &token).await?;
        let events = page["events"].as_array().context("events")?;
        ensure!(events.len() <= 16, "{} in one page", events.len());
        let ids = events.iter().filter_map(|event| event["id"].as_str());
        listed.extend(ids.map(str::to_owned));
        page["next_page_token"]
            .as_str()
            .unwrap_or("")
            .clone_into(&mut token);
        if token.is_empty() {
            break page;
        }
    };
    ensure!(listed == published, "{listed:?}");
    // And back.
    let token = last["prev_page_token"].as_str().context("a token")?;
    let back = page(100, token).await?;
    let before = back["events"].as_array().context("events")?;
    let count = last["events"].as_array().context("events")?.len();
    let end = published.len() - count;
    let ids: Vec<&str> = before.iter().filter_map(|one| one["id"].as_str()).collect();
    ensure!(
        !ids.is_empty() && ids == published[end - ids.len()..end],
        "{ids:?}"
    );
    Ok(())
}

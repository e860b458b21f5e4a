//! Endpoints: reading what was written, changing, secrets, deleting.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::api;
use harness::deployment::Deployment;
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use harness::wait::{eventually, throughout};
use proto::v1::{CreateEndpointRequest, GetEndpointRequest, UpdateEndpointRequest};
use reqwest::Method;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(15);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        an_endpoint_is_created_read_changed_and_listed,
        a_change_holds_for_the_next_event,
        a_disabled_endpoint_gets_nothing_and_the_event_says_why,
        a_deleted_endpoint_stops_and_its_history_is_gone,
        grpc_and_rest_see_the_same_endpoint,
        event_types_can_be_registered,
    ]
}

async fn an_endpoint_is_created_read_changed_and_listed(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let base = "/v1/accounts/crud/endpoints";
    let body = json!({"url": "https://example.com/hook?a=1", "description": "  CRM ✓",
        "event_types": ["message.incoming", "form.submitted"], "rate_limit": 10});
    let created = api.post(201, base, &body).await?;
    let id = created["id"].as_str().context("an id")?;
    let path = format!("{base}/{id}");
    for field in ["url", "description", "event_types", "rate_limit"] {
        ensure!(created[field] == body[field], "{field}: {created}");
    }
    ensure!(
        created["status"] == "active" && created["disabled_reason"].is_null(),
        "{created}"
    );
    // Nobody is asked unless the operator wants it.
    ensure!(created["verification"] == "not_required", "{created}");
    let unasked = api
        .post(200, &format!("{path}/verify"), &Value::Null)
        .await?;
    ensure!(unasked == created, "{unasked}");
    let health = json!({"state": "unknown", "message": "No deliveries yet", "failing_since": null});
    ensure!(created["health"] == health, "{created}");
    ensure!(
        api.get(&path).await? == created,
        "what was created is what is read"
    );

    let changed = api
        .expect(
            200,
            Method::PATCH,
            &path,
            Some(&json!({"description": "new", "rate_limit": null})),
        )
        .await?;
    ensure!(
        changed["description"] == "new" && changed["rate_limit"].is_null(),
        "{changed}"
    );
    ensure!(
        changed["url"] == body["url"],
        "absent means unchanged: {changed}"
    );
    ensure!(
        changed["updated_at"].as_str() >= created["updated_at"].as_str(),
        "{changed}"
    );

    let secret = api.secret("crud", id).await?;
    ensure!(
        secret.starts_with("whsec_") && secret.len() == 6 + 44,
        "{} long",
        secret.len()
    );
    for n in 0..6 {
        let body = json!({"url": "https://example.com", "description": format!("{n}"),
            "event_types": ["message.report"]});
        api.post(201, base, &body).await?;
    }
    pages_both_ways(&api, base).await
}

async fn pages_both_ways(api: &api::Api, base: &str) -> Result<()> {
    let mut descriptions = Vec::new();
    let mut pages = Vec::new();
    let mut token = String::new();
    loop {
        let page = api
            .get(&format!("{base}?page_size=3&page_token={token}"))
            .await?;
        for endpoint in page["endpoints"].as_array().context("endpoints")? {
            descriptions.push(endpoint["description"].as_str().context("text")?.to_owned());
        }
        pages.push(page.clone());
        token = page["next_page_token"]
            .as_str()
            .context("a token")?
            .to_owned();
        if token.is_empty() {
            break;
        }
    }
    ensure!(
        descriptions == ["5", "4", "3", "2", "1", "0", "new"],
        "newest first: {descriptions:?}"
    );
    ensure!(
        pages.len() == 3 && pages[0]["prev_page_token"] == "",
        "{pages:?}"
    );
    let token = pages[2]["prev_page_token"].as_str().context("a token")?;
    let back = api
        .get(&format!("{base}?page_size=3&page_token={token}"))
        .await?;
    ensure!(
        back["endpoints"] == pages[1]["endpoints"],
        "back is the page before: {back}"
    );
    Ok(())
}

async fn a_change_holds_for_the_next_event(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "changes";
    let endpoint = api
        .endpoint(account, &receiver.url("p0"), &["message.report"])
        .await?;
    let path = format!("/v1/accounts/{account}/endpoints/{endpoint}");
    for n in 1..=50 {
        let place = format!("p{n}");
        let body = json!({"url": receiver.url(&place)});
        api.expect(200, Method::PATCH, &path, Some(&body)).await?;
        let event = api
            .publish(account, "message.report", &json!({"n": n}))
            .await?;
        let received = receiver.wait_for(&place, 1, LIMIT).await?;
        ensure!(
            received[0].header("webhook-id") == event,
            "event {n} went elsewhere"
        );
    }
    let body = json!({"event_types": ["form.submitted"]});
    api.expect(200, Method::PATCH, &path, Some(&body)).await?;
    api.publish(account, "message.report", &json!({})).await?;
    let event = api.publish(account, "form.submitted", &json!({})).await?;
    let received = receiver.wait_for("p50", 2, LIMIT).await?;
    ensure!(
        received[1].header("webhook-id") == event,
        "it no longer subscribes to reports"
    );
    Ok(())
}

async fn a_disabled_endpoint_gets_nothing_and_the_event_says_why(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "disabled";
    receiver.script("hook", [Answer::status(500), Answer::status(200)]);
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let path = format!("/v1/accounts/{account}/endpoints/{endpoint}");
    let pending = api
        .publish(account, "message.report", &json!({"n": 1}))
        .await?;
    receiver.wait_for("hook", 1, LIMIT).await?;
    let shown = api
        .post(200, &format!("{path}/disable"), &Value::Null)
        .await?;
    ensure!(
        shown["status"] == "disabled" && shown["disabled_reason"].is_string(),
        "{shown}"
    );
    let event = api
        .publish(account, "message.report", &json!({"n": 2}))
        .await?;
    let shown = eventually("the plan is recorded", LIMIT, || async {
        let shown = api
            .get(&format!("/v1/accounts/{account}/events/{event}"))
            .await?;
        ensure!(
            shown["not_sent"] == json!([{"endpoint_id": endpoint, "reason": "disabled"}]),
            "{shown}"
        );
        Ok(shown)
    })
    .await?;
    ensure!(shown["deliveries"] == json!([]), "{shown}");
    eventually("the waiting delivery is cancelled", LIMIT, || async {
        let shown = api
            .get(&format!("/v1/accounts/{account}/events/{pending}"))
            .await?;
        ensure!(shown["deliveries"][0]["state"] == "cancelled", "{shown}");
        Ok(())
    })
    .await?;
    api.post(
        409,
        &format!("{path}/test"),
        &json!({"event_type": "message.report"}),
    )
    .await?;
    api.post(200, &format!("{path}/enable"), &Value::Null)
        .await?;
    let event = api
        .publish(account, "message.report", &json!({"n": 3}))
        .await?;
    let received = receiver.wait_for("hook", 2, LIMIT).await?;
    ensure!(
        received[1].header("webhook-id") == event,
        "only what came after it was enabled"
    );
    Ok(())
}

async fn a_deleted_endpoint_stops_and_its_history_is_gone(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "deleted";
    receiver.script("hook", [Answer::status(500)]);
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let event = api.publish(account, "message.report", &json!({})).await?;
    let attempt = eventually("an attempt is recorded", LIMIT, || async {
        let attempt = api
            .attempts(account, &endpoint)
            .await?
            .pop()
            .context("none yet")?;
        Ok(attempt["id"].as_str().context("an id")?.to_owned())
    })
    .await?;
    let path = format!("/v1/accounts/{account}/endpoints/{endpoint}");
    api.expect(204, Method::DELETE, &path, None).await?;
    let seen = receiver.received("hook").len();
    for gone in ["", "/secret", "/stats", "/attempts"] {
        api.expect(404, Method::GET, &format!("{path}{gone}"), None)
            .await?;
    }
    let attempt = format!("/v1/accounts/{account}/attempts/{attempt}");
    api.expect(404, Method::GET, &attempt, None).await?;
    let shown = api
        .get(&format!("/v1/accounts/{account}/events/{event}"))
        .await?;
    ensure!(
        shown["deliveries"] == json!([]) && shown["not_sent"] == json!([]),
        "{shown}"
    );
    api.expect(404, Method::DELETE, &path, None).await?;
    // One attempt may have been on its way when the answer came.
    throughout("no retry comes", Duration::from_secs(6), || async {
        ensure!(receiver.received("hook").len() <= seen + 1, "a retry came");
        Ok(())
    })
    .await
}

async fn grpc_and_rest_see_the_same_endpoint(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let mut client = api::endpoints(&deployment.grpc("control"), api.key()).await?;
    let request = CreateEndpointRequest {
        account: "twins".into(),
        url: "https://example.com/".into(),
        description: "over gRPC".into(),
        event_types: vec!["message.report".into()],
        rate_limit: Some(7),
        ..CreateEndpointRequest::default()
    };
    let created = client.create_endpoint(request).await?.into_inner();
    let rest = api
        .get(&format!("/v1/accounts/twins/endpoints/{}", created.id))
        .await?;
    ensure!(
        rest["rate_limit"] == 7 && rest["description"] == "over gRPC",
        "{rest}"
    );
    let change = UpdateEndpointRequest {
        account: "twins".into(),
        id: created.id.clone(),
        clear_rate_limit: true,
        ..UpdateEndpointRequest::default()
    };
    let changed = client.update_endpoint(change).await?.into_inner();
    ensure!(
        changed.rate_limit.is_none() && changed.url == created.url,
        "{changed:?}"
    );
    let foreign = GetEndpointRequest {
        account: "others".into(),
        id: created.id,
    };
    let status = client
        .get_endpoint(foreign)
        .await
        .err()
        .context("not theirs")?;
    ensure!(status.code() == tonic::Code::NotFound, "{status:?}");
    Ok(())
}

async fn event_types_can_be_registered(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let listed = api.get("/v1/event-types?page_size=100").await?;
    for name in ["message.incoming", "message.report", "form.submitted"] {
        let types = listed["event_types"].as_array().context("event types")?;
        let found = types.iter().find(|one| one["name"] == name).context(name)?;
        ensure!(
            found["schema"].is_object() && found["example"].is_object(),
            "{found}"
        );
    }
    let body = json!({"name": "call.missed", "description": "Nobody answered",
        "schema": {"type": "object"}, "example": {"from": "+911234567890"}});
    let (status, answer) = api
        .call(Method::POST, "/v1/event-types", Some(&body))
        .await?;
    ensure!(status == 201, "{status}: {answer}");
    // At once, for endpoints and for publishing.
    api.endpoint("catalogue", &receiver.url("hook"), &["call.missed"])
        .await?;
    api.publish("catalogue", "call.missed", &json!({"from": "+91"}))
        .await?;
    receiver.wait_for("hook", 1, LIMIT).await?;
    Ok(())
}

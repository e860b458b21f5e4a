//! The same over gRPC: each call ends with the right code, `ErrorInfo`,
//! `BadRequest` for the fields at fault and a sentence that says what to do, and
//! nothing of it is stored.

mod callers;
mod endpoints;
mod events;
mod frames;
mod lookups;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use domain::{Problem, Reason};
use harness::api::{self, Api};
use harness::deployment::Deployment;
use harness::receiver::Receiver;
use harness::suite::Scenario;
use harness::wait::eventually;
use proto::v1::{
    CreateEndpointRequest, DeleteEndpointRequest, GetAttemptRequest, GetEndpointRequest,
    GetEndpointSecretRequest, GetEndpointStatsRequest, GetEventRequest, ListAttemptsRequest,
    ListEndpointsRequest, ListEventsRequest, PublishEventRequest, PublishEventsRequest,
    RegenerateEndpointSecretRequest, ResendEventRequest, SendTestEventRequest, StartReplayRequest,
    UpdateEndpointRequest,
};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::bad_input::is_a_helpful_sentence;

const ACCOUNT: &str = "bad-input-grpc";
const OTHERS: &str = "bad-input-grpc-others";
const LIMIT: Duration = Duration::from_secs(15);
/// Fewer would leave something out.
const AT_LEAST: usize = 25;
const NOBODY: &str = "ep_00000000-0000-4000-8000-000000000000";

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        bad_input_over_grpc_is_explained_and_not_stored,
        a_bad_item_of_a_batch_is_explained_like_a_call,
        frames::what_is_no_message_is_refused,
        frames::a_stream_ends_with_what_could_not_be_read,
    ]
}

enum Call {
    Publish(PublishEventRequest),
    PublishMany(PublishEventsRequest),
    Create(CreateEndpointRequest),
    Get(GetEndpointRequest),
    List(ListEndpointsRequest),
    Update(UpdateEndpointRequest),
    Delete(DeleteEndpointRequest),
    Secret(GetEndpointSecretRequest),
    Regenerate(RegenerateEndpointSecretRequest),
    Test(SendTestEventRequest),
    Attempts(ListAttemptsRequest),
    Stats(GetEndpointStatsRequest),
    Attempt(GetAttemptRequest),
    Events(ListEventsRequest),
    Event(GetEventRequest),
    Resend(ResendEventRequest),
    Replay(StartReplayRequest),
}

struct Case {
    what: String,
    key: String,
    call: Call,
    code: Code,
    reason: Reason,
    /// The fields at fault, separated by spaces.
    fields: &'static str,
}

/// What the cases refer to.
struct World {
    api: Api,
    url: String,
    endpoint: String,
    their_endpoint: String,
    their_event: String,
    page_token: String,
    reader: String,
    /// Admin of [`ACCOUNT`] only.
    bound: String,
    revoked: String,
}

impl World {
    async fn make(deployment: &Deployment, receiver: &Receiver) -> Result<Self> {
        let api = deployment.api();
        let url = receiver.url("hook");
        let endpoint = api.endpoint(ACCOUNT, &url, &["message.report"]).await?;
        let their_endpoint = api.endpoint(OTHERS, &url, &["message.report"]).await?;
        api.endpoint(OTHERS, &url, &["message.report"]).await?;
        let their_event = api.publish(OTHERS, "form.submitted", &json!({})).await?;
        let path = format!("/v1/accounts/{OTHERS}/endpoints?page_size=1");
        let page = api.get(&path).await?;
        let (revoked, id) = key(&api, "admin", None).await?;
        let path = format!("/v1/keys/{id}");
        api.expect(204, reqwest::Method::DELETE, &path, None)
            .await?;
        Ok(Self {
            page_token: page["next_page_token"]
                .as_str()
                .context("a token")?
                .to_owned(),
            reader: key(&api, "read", None).await?.0,
            bound: key(&api, "admin", Some(ACCOUNT)).await?.0,
            revoked,
            api,
            url,
            endpoint,
            their_endpoint,
            their_event,
        })
    }

    fn case(
        &self,
        what: impl Into<String>,
        call: Call,
        code: Code,
        reason: Reason,
        fields: &'static str,
    ) -> Case {
        let (what, key) = (what.into(), self.api.key().to_owned());
        Case {
            what,
            key,
            call,
            code,
            reason,
            fields,
        }
    }

    fn invalid(
        &self,
        what: impl Into<String>,
        call: Call,
        reason: Reason,
        field: &'static str,
    ) -> Case {
        self.case(what, call, Code::InvalidArgument, reason, field)
    }

    fn endpoint(&self) -> CreateEndpointRequest {
        CreateEndpointRequest {
            account: ACCOUNT.into(),
            url: self.url.clone(),
            description: "bad".into(),
            event_types: vec!["message.report".into()],
            ..CreateEndpointRequest::default()
        }
    }

    fn change(&self) -> UpdateEndpointRequest {
        UpdateEndpointRequest {
            account: ACCOUNT.into(),
            id: self.endpoint.clone(),
            ..UpdateEndpointRequest::default()
        }
    }
}

async fn key(api: &Api, scope: &str, account: Option<&str>) -> Result<(String, String)> {
    let body = json!({"description": "bad input over gRPC", "scope": scope, "account": account});
    let made = api.post(201, "/v1/keys", &body).await?;
    let text = |name: &str| made[name].as_str().context("a text").map(str::to_owned);
    Ok((text("key")?, text("id")?))
}

fn event() -> PublishEventRequest {
    PublishEventRequest {
        account: ACCOUNT.into(),
        r#type: "message.report".into(),
        object: "{}".into(),
        ..PublishEventRequest::default()
    }
}

async fn bad_input_over_grpc_is_explained_and_not_stored(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let receiver = Receiver::start().await?;
    let world = World::make(&deployment, &receiver).await?;
    let before = stored(&world.api).await?;
    let mut cases = events::cases(&world);
    cases.extend(endpoints::cases(&world));
    cases.extend(lookups::cases(&world));
    cases.extend(callers::cases(&world));
    ensure!(cases.len() >= AT_LEAST, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for Case {
        what,
        key,
        call,
        code,
        reason,
        fields,
    } in cases
    {
        let judged = match send(&deployment, &key, call).await {
            Ok(()) => Err(anyhow::anyhow!("it was accepted")),
            Err(status) => judge(&status, code, reason, fields),
        };
        if let Err(error) = judged {
            wrong.push(format!("{what}: {error:#}"));
        }
    }
    ensure!(stored(&world.api).await? == before, "before: {before:?}");
    // Events are recorded in their own time: the last one shows that none is
    // under way.
    let last = world
        .api
        .publish(ACCOUNT, "form.submitted", &json!({}))
        .await?;
    let path = format!("/v1/accounts/{ACCOUNT}/events");
    eventually("the last event is recorded", LIMIT, || async {
        let listed = world.api.get(&path).await?;
        let events = listed["events"].as_array().context("events")?;
        ensure!(events.len() == 1 && events[0]["id"] == last, "{listed}");
        Ok(())
    })
    .await?;
    ensure!(receiver.received("hook").is_empty(), "something was sent");
    if !wrong.is_empty() {
        bail!("{} cases:\n{}", wrong.len(), wrong.join("\n"));
    }
    Ok(())
}

async fn stored(api: &Api) -> Result<Vec<Value>> {
    let mut stored = Vec::new();
    for account in [ACCOUNT, OTHERS] {
        for mut endpoint in api
            .get(&format!("/v1/accounts/{account}/endpoints"))
            .await?["endpoints"]
            .as_array()
            .context("endpoints")?
            .clone()
        {
            let id = endpoint["id"].as_str().context("an id")?;
            stored.push(json!(api.secret(account, id).await?));
            // Tells of deliveries, not of what was stored.
            endpoint["health"] = Value::Null;
            stored.push(endpoint);
        }
    }
    Ok(stored)
}

async fn send(deployment: &Deployment, key: &str, call: Call) -> Result<(), Status> {
    let client = |error: anyhow::Error| Status::unknown(format!("{error:#}"));
    let (ingest, control, history) = (
        deployment.grpc("ingest"),
        deployment.grpc("control"),
        deployment.grpc("history"),
    );
    let mut ingest = api::ingest(&ingest, key).await.map_err(client)?;
    let mut endpoints = api::endpoints(&control, key).await.map_err(client)?;
    let mut history = api::history(&history, key).await.map_err(client)?;
    match call {
        Call::Publish(request) => ingest.publish_event(request).await.map(drop),
        Call::PublishMany(request) => ingest.publish_events(request).await.map(drop),
        Call::Create(request) => endpoints.create_endpoint(request).await.map(drop),
        Call::Get(request) => endpoints.get_endpoint(request).await.map(drop),
        Call::List(request) => endpoints.list_endpoints(request).await.map(drop),
        Call::Update(request) => endpoints.update_endpoint(request).await.map(drop),
        Call::Delete(request) => endpoints.delete_endpoint(request).await.map(drop),
        Call::Secret(request) => endpoints.get_endpoint_secret(request).await.map(drop),
        Call::Regenerate(request) => endpoints
            .regenerate_endpoint_secret(request)
            .await
            .map(drop),
        Call::Test(request) => endpoints.send_test_event(request).await.map(drop),
        Call::Attempts(request) => history.list_attempts(request).await.map(drop),
        Call::Stats(request) => history.get_endpoint_stats(request).await.map(drop),
        Call::Attempt(request) => history.get_attempt(request).await.map(drop),
        Call::Events(request) => history.list_events(request).await.map(drop),
        Call::Event(request) => history.get_event(request).await.map(drop),
        Call::Resend(request) => history.resend_event(request).await.map(drop),
        Call::Replay(request) => history.start_replay(request).await.map(drop),
    }
}

fn judge(status: &Status, code: Code, reason: Reason, fields: &str) -> Result<()> {
    ensure!(status.code() == code, "{status:?}");
    let problem: Problem = proto::status::to_problem(status, Reason::Internal);
    ensure!(problem.reason == reason, "{problem:?}");
    is_a_helpful_sentence(&problem.detail)?;
    for field in &problem.fields {
        ensure!(field.message.contains(' '), "{problem:?}");
    }
    let named: Vec<&str> = problem
        .fields
        .iter()
        .map(|field| field.field.as_str())
        .collect();
    ensure!(named.join(" ") == fields, "{problem:?}");
    Ok(())
}

async fn a_bad_item_of_a_batch_is_explained_like_a_call(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let mut client = api::ingest(&deployment.grpc("ingest"), api.key()).await?;
    let bad = [
        PublishEventRequest {
            account: "*".into(),
            ..event()
        },
        PublishEventRequest {
            r#type: "message.>".into(),
            ..event()
        },
        PublishEventRequest {
            r#type: "message.lost".into(),
            ..event()
        },
        PublishEventRequest {
            object: "[".into(),
            ..event()
        },
        PublishEventRequest {
            object: "[]".into(),
            ..event()
        },
        PublishEventRequest {
            id: "a b".into(),
            ..event()
        },
    ];
    let batch = PublishEventsRequest {
        events: bad.to_vec(),
    };
    let results = client.publish_events(batch).await?.into_inner().results;
    ensure!(results.len() == bad.len(), "{results:?}");
    for (request, result) in bad.into_iter().zip(results) {
        let status = client
            .publish_event(request)
            .await
            .err()
            .context("it is bad")?;
        let problem = proto::status::to_problem(&status, Reason::Internal);
        let error = result.error.context("an error")?;
        ensure!(
            error.grpc_code == i32::from(status.code()),
            "{error:?}, {status:?}"
        );
        ensure!(
            error.code == problem.reason.code(),
            "{error:?}, {problem:?}"
        );
        ensure!(error.message == problem.detail, "{error:?}, {problem:?}");
        let field = &error.errors.first().context("a field")?.field;
        ensure!(*field == problem.fields[0].field, "{error:?}, {problem:?}");
        ensure!(result.id.is_empty(), "{}", result.id);
    }
    Ok(())
}

//! Publishing: repeats, conflicts, batches, streams.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::api;
use harness::deployment::Deployment;
use harness::receiver::Receiver;
use harness::suite::Scenario;
use harness::wait::{eventually, throughout};
use proto::v1::ingest_service_client::IngestServiceClient;
use proto::v1::{PublishEventRequest, PublishEventsRequest, StreamEventsRequest};
use serde_json::json;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic::transport::Endpoint;

const LIMIT: Duration = Duration::from_secs(15);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        a_repeat_sends_nothing_and_another_payload_is_a_conflict,
        an_id_is_free_again_after_the_window,
        the_idempotency_key_header_is_the_id,
        simultaneous_repeats_are_accepted_once,
        a_batch_answers_for_each_item,
        a_rest_batch_answers_for_each_item,
        a_batch_decides_about_one_id_in_its_order,
        a_stream_acks_each_event,
        a_stream_of_tiny_events_outlives_a_slow_reader_of_acks,
        an_event_nobody_subscribes_to_is_recorded,
        a_tag_is_found_whatever_its_name_holds,
    ]
}

fn event(account: &str, object: &str) -> PublishEventRequest {
    PublishEventRequest {
        account: account.into(),
        r#type: "message.incoming".into(),
        object: object.to_owned().into(),
        ..PublishEventRequest::default()
    }
}

async fn a_repeat_sends_nothing_and_another_payload_is_a_conflict(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    api.endpoint("repeats", &receiver.url("hook"), &["message.incoming"])
        .await?;
    let mut client = api::ingest(&deployment.grpc("ingest"), api.key()).await?;
    let mut request = event("repeats", r#"{"n":1}"#);
    request.id = "order:1.a_b-C".into();
    let first = client.publish_event(request.clone()).await?.into_inner();
    let second = client.publish_event(request.clone()).await?.into_inner();
    ensure!(
        !first.duplicate && second.duplicate && first.id == second.id,
        "{first:?} {second:?}"
    );

    let conflicts = [
        PublishEventRequest {
            object: r#"{"n":2}"#.into(),
            ..request.clone()
        },
        PublishEventRequest {
            r#type: "form.submitted".into(),
            ..request.clone()
        },
        PublishEventRequest {
            live_mode: Some(false),
            ..request.clone()
        },
        PublishEventRequest {
            tags: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            ..request.clone()
        },
    ];
    for conflict in conflicts {
        let status = client
            .publish_event(conflict.clone())
            .await
            .err()
            .context("a conflict")?;
        ensure!(
            status.code() == Code::AlreadyExists,
            "{conflict:?}: {status:?}"
        );
    }
    // Another account's id is another id.
    let other = PublishEventRequest {
        account: "repeats-2".into(),
        ..request.clone()
    };
    let other = client.publish_event(other).await?.into_inner();
    ensure!(!other.duplicate && other.id != first.id, "{other:?}");

    let rest = json!({"type": "message.incoming", "object": {"n": 1}, "id": "order:1.a_b-C"});
    let path = "/v1/accounts/repeats/events";
    let answer = api.post(202, path, &rest).await?;
    ensure!(
        answer == json!({"id": first.id, "duplicate": true}),
        "{answer}"
    );
    let conflict = json!({"type": "message.incoming", "object": {"n": 3}, "id": "order:1.a_b-C"});
    let problem = api.post(409, path, &conflict).await?;
    ensure!(problem["code"] == "IDEMPOTENCY_CONFLICT", "{problem}");

    receiver.wait_for("hook", 1, LIMIT).await?;
    throughout("one delivery", Duration::from_secs(2), || async {
        ensure!(receiver.received("hook").len() == 1, "a repeat was sent");
        Ok(())
    })
    .await
}

/// Long before the dispatcher forgets what it has sent.
async fn an_id_is_free_again_after_the_window(shared: Arc<Deployment>) -> Result<()> {
    let mode = shared.mode();
    drop(shared);
    let deployment = Deployment::start(mode, &[("POSTRIDER_DUPLICATE_WINDOW", "1s")]).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    api.endpoint("window", &receiver.url("hook"), &["message.incoming"])
        .await?;
    let path = "/v1/accounts/window/events";
    let mut published = Vec::new();
    for n in [1, 2, 2] {
        let body = json!({"type": "message.incoming", "object": {"n": n}, "id": "order-1"});
        // A duplicate or a conflict until the window has passed.
        let answer = eventually("it is accepted", LIMIT, || async {
            let answer = api.post(202, path, &body).await?;
            ensure!(answer["duplicate"] == false, "{answer}");
            Ok(answer)
        });
        let id = answer.await?["id"].as_str().context("an id")?.to_owned();
        let received = receiver
            .wait_for("hook", published.len() + 1, LIMIT)
            .await?;
        let last = received.last().context("one more")?;
        ensure!(last.header("webhook-id") == id, "{last:?}");
        published.push((id, String::from_utf8(last.body.to_vec())?, n));
    }
    for (id, received, n) in &published {
        let event = eventually("it is recorded", LIMIT, || async {
            let event = api.get(&format!("{path}/{id}")).await?;
            ensure!(event["deliveries"][0]["state"] == "succeeded", "{event}");
            Ok(event)
        });
        let event = event.await?;
        ensure!(event["body"] == *received, "{event}: {received}");
        let body: serde_json::Value = serde_json::from_str(received)?;
        ensure!(body["data"]["object"] == json!({"n": n}), "{received}");
        ensure!(
            event["deliveries"].as_array().map(Vec::len) == Some(1),
            "{event}"
        );
    }
    let ids: HashSet<&String> = published.iter().map(|(id, ..)| id).collect();
    ensure!(ids.len() == 3, "{published:?}");
    Ok(())
}

async fn the_idempotency_key_header_is_the_id(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let path = "/v1/accounts/header/events";
    let body = json!({"type": "message.incoming", "object": {}});
    let mut answers = Vec::new();
    for _ in 0..2 {
        let request = api
            .request(reqwest::Method::POST, path)
            .header("idempotency-key", "abc");
        let answer: serde_json::Value = request.json(&body).send().await?.json().await?;
        answers.push(answer);
    }
    ensure!(
        answers[0]["duplicate"] == false && answers[1]["duplicate"] == true,
        "{answers:?}"
    );
    ensure!(answers[0]["id"] == answers[1]["id"], "{answers:?}");
    Ok(())
}

async fn simultaneous_repeats_are_accepted_once(deployment: Arc<Deployment>) -> Result<()> {
    let client = api::ingest(&deployment.grpc("ingest"), deployment.api().key()).await?;
    let mut request = event("simultaneous", "{}");
    request.id = "once".into();
    let calls = (0..20).map(|_| {
        let (mut client, request) = (client.clone(), request.clone());
        async move { Ok::<_, tonic::Status>(client.publish_event(request).await?.into_inner()) }
    });
    let answers = futures::future::try_join_all(calls).await?;
    let fresh = answers.iter().filter(|answer| !answer.duplicate).count();
    let ids: HashSet<&str> = answers.iter().map(|answer| answer.id.as_str()).collect();
    ensure!(fresh == 1 && ids.len() == 1, "{answers:?}");
    Ok(())
}

async fn a_batch_answers_for_each_item(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    api.endpoint("batch", &receiver.url("hook"), &["message.incoming"])
        .await?;
    let mut client = api::ingest(&deployment.grpc("ingest"), api.key()).await?;
    let mut events: Vec<_> = (0..500)
        .map(|n| event("batch", &format!("{{\"n\":{n}}}")))
        .collect();
    events[7].r#type = "no.such_type".into();
    events[8].object = "[]".into();
    events[9].account = "not an account".into();
    let results = client
        .publish_events(PublishEventsRequest { events })
        .await?
        .into_inner()
        .results;
    ensure!(results.len() == 500, "{} results", results.len());
    for (index, result) in results.iter().enumerate() {
        match (index, &result.error) {
            (7, Some(error)) => ensure!(error.code == "EVENT_TYPE_UNKNOWN", "{error:?}"),
            (8, Some(error)) => ensure!(error.errors[0].field == "object", "{error:?}"),
            (9, Some(error)) => ensure!(error.code == "ACCOUNT_INVALID", "{error:?}"),
            (_, None) => ensure!(result.id.starts_with("evt_"), "{result:?}"),
            (_, Some(error)) => anyhow::bail!("item {index}: {error:?}"),
        }
    }
    let received = receiver.wait_for("hook", 497, LIMIT).await?;
    let ids: HashSet<&str> = received
        .iter()
        .map(|one| one.header("webhook-id"))
        .collect();
    ensure!(ids.len() == 497, "each once: {}", ids.len());
    Ok(())
}

async fn a_batch_decides_about_one_id_in_its_order(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let mut client = api::ingest(&deployment.grpc("ingest"), api.key()).await?;
    let item = |id: &str, object: &str| PublishEventRequest {
        id: id.to_owned(),
        ..event("ordered-batch", object)
    };
    for round in 0..20 {
        let id = format!("order-{round}");
        let events = vec![
            item(&id, r#"{"n":1}"#),
            item(&id, r#"{"n":1}"#),
            item(&id, r#"{"n":2}"#),
            item("", "{}"),
            item(&id, r#"{"n":1}"#),
        ];
        let batch = PublishEventsRequest { events };
        let results = client.publish_events(batch).await?.into_inner().results;
        let decided: Vec<(bool, &str)> = results
            .iter()
            .map(|one| {
                let code = one.error.as_ref().map_or("", |error| error.code.as_str());
                (one.duplicate, code)
            })
            .collect();
        let expected = [
            (false, ""),
            (true, ""),
            (false, "IDEMPOTENCY_CONFLICT"),
            (false, ""),
            (true, ""),
        ];
        ensure!(decided == expected, "{results:?}");
        ensure!(
            results[0].id == results[1].id && results[0].id == results[4].id,
            "{results:?}"
        );
    }
    Ok(())
}

async fn a_rest_batch_answers_for_each_item(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let path = "/v1/accounts/rest-batch/events/batch";
    let events = json!({"events": [
        {"type": "message.incoming", "object": {"n": 1}, "id": "one"},
        {"type": "no.such_type", "object": {}},
        {"type": "message.incoming", "object": 7},
        {"type": "message.incoming", "object": {"n": 1}, "id": "one"},
    ]});
    let answer = api.post(200, path, &events).await?;
    let results = answer["results"].as_array().context("results")?;
    ensure!(results.len() == 4, "{answer}");
    ensure!(
        results[0]["duplicate"] == false && results[3]["duplicate"] == true,
        "{answer}"
    );
    ensure!(results[0]["id"] == results[3]["id"], "{answer}");
    ensure!(
        results[1]["error"]["code"] == "EVENT_TYPE_UNKNOWN",
        "{answer}"
    );
    ensure!(
        results[2]["error"]["errors"][0]["field"] == "object",
        "{answer}"
    );
    let many: Vec<_> = (0..1_001)
        .map(|_| json!({"type": "message.incoming", "object": {}}))
        .collect();
    let problem = api.post(422, path, &json!({"events": many})).await?;
    ensure!(problem["errors"][0]["field"] == "events", "{problem}");
    Ok(())
}

async fn a_stream_acks_each_event(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    api.endpoint("stream", &receiver.url("hook"), &["message.incoming"])
        .await?;
    let mut client = api::ingest(&deployment.grpc("ingest"), api.key()).await?;
    let requests = tokio_stream::iter((0..2_000_u64).map(|sequence| StreamEventsRequest {
        sequence,
        event: Some(if sequence == 5 {
            event("stream", "not json")
        } else {
            event("stream", &format!("{{\"n\":{sequence}}}"))
        }),
    }));
    let mut acks = client.stream_events(requests).await?.into_inner();
    let mut seen = HashSet::new();
    while let Some(ack) = acks.message().await? {
        ensure!(ack.error.is_some() == (ack.sequence == 5), "{ack:?}");
        ensure!(
            seen.insert(ack.sequence),
            "a second ack for {}",
            ack.sequence
        );
    }
    ensure!(seen.len() == 2_000, "{} acks", seen.len());
    receiver
        .wait_for("hook", 1_999, Duration::from_secs(30))
        .await?;
    Ok(())
}

/// Each event in a frame of its own, as gRPC's other libraries send them, and
/// faster than they are taken: they wait in the stream's window.
async fn a_stream_of_tiny_events_outlives_a_slow_reader_of_acks(
    deployment: Arc<Deployment>,
) -> Result<()> {
    const EVENTS: u64 = 8_000;
    let channel = Endpoint::from_shared(deployment.grpc("ingest"))?
        .initial_stream_window_size(64 << 10)
        .connect()
        .await?;
    let mut client = IngestServiceClient::new(channel);
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let events = tokio_stream::iter(0..EVENTS).then(move |sequence| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            // The library would put what is ready into one frame.
            tokio::task::yield_now().await;
            StreamEventsRequest {
                sequence,
                event: Some(event("tiny", "{}")),
            }
        }
    });
    let mut request = tonic::Request::new(events);
    let bearer = format!("Bearer {}", deployment.api().key()).parse()?;
    request.metadata_mut().insert("authorization", bearer);
    let mut acks = client.stream_events(request).await?.into_inner();
    // Nothing is read until the server takes no more.
    let mut before = u64::MAX;
    while before != sent.load(Ordering::Relaxed) {
        before = sent.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    ensure!(before < EVENTS, "all were taken without an ack being read");
    let mut seen = HashSet::new();
    while let Some(ack) = acks
        .message()
        .await
        .with_context(|| format!("{} acks", seen.len()))?
    {
        ensure!(ack.error.is_none(), "{ack:?}");
        seen.insert(ack.sequence);
    }
    ensure!(seen.len() as u64 == EVENTS, "{} acks", seen.len());
    Ok(())
}

async fn a_tag_is_found_whatever_its_name_holds(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let account = "/v1/accounts/tag-names";
    let tags = json!({"a=b": "c=d", "plain": "x=y", "100%": ""});
    let body = json!({"type": "message.incoming", "object": {}, "tags": tags});
    let answer = api.post(202, &format!("{account}/events"), &body).await?;
    let found = async |query: &str| {
        let listed = api.get(&format!("{account}/events?{query}")).await?;
        let events = listed["events"].as_array().context("events")?;
        anyhow::Ok(events.iter().any(|one| one["id"] == answer["id"]))
    };
    for query in [
        "tag_name=a%3Db&tag_value=c%3Dd",
        "tag_name=plain&tag_value=x%3Dy",
        "tag=plain%3Dx%3Dy",
        "tag_name=100%25&tag_value=",
        "tag=100%25%3D",
    ] {
        eventually("it is found", LIMIT, || async {
            ensure!(found(query).await?, "{query}");
            Ok(())
        })
        .await?;
    }
    for query in ["tag=a%3Db%3Dc%3Dd", "tag_name=a%3Db&tag_value=c"] {
        ensure!(!found(query).await?, "{query}");
    }
    Ok(())
}

async fn an_event_nobody_subscribes_to_is_recorded(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let body = json!({"type": "message.incoming", "object": {}, "tags": {"chat": "42"}});
    let answer = api.post(202, "/v1/accounts/nobody/events", &body).await?;
    let id = answer["id"].as_str().context("an id")?;
    let path = format!("/v1/accounts/nobody/events/{id}");
    let event = eventually("it is recorded", LIMIT, || api.get(&path)).await?;
    ensure!(
        event["deliveries"] == json!([]) && event["not_sent"] == json!([]),
        "{event}"
    );
    ensure!(event["tags"] == json!({"chat": "42"}), "{event}");
    Ok(())
}

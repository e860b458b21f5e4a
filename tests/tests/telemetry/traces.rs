//! One trace from the caller's span to the customer's answer.

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::collector::Seen;
use harness::deployment::Deployment;
use harness::receiver::Answer;
use harness::suite::Scenario;
use harness::wait::eventually;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use proto::v1::PublishEventsRequest;
use reqwest::Method;
use serde_json::json;

use self::world::{Caller, World, event, shape};
use crate::collector;

const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        a_grpc_call_is_followed_to_the_post,
        a_rest_call_is_followed_to_the_post,
        each_event_of_a_batch_of_500_is_followed_to_its_post,
        an_event_of_a_batch_can_have_a_trace_of_its_own,
        a_third_attempt_is_a_linked_trace,
        what_the_caller_does_not_sample_is_recorded_and_not_sent,
    ]
}

/// Name, kind and parent of what follows an accepted event to one endpoint.
const FROM_EVENT_TO_POST: [(&str, SpanKind, &str); 4] = [
    (
        "process events.{account}",
        SpanKind::Consumer,
        "send events.{account}",
    ),
    (
        "send deliver.{partition}",
        SpanKind::Producer,
        "process events.{account}",
    ),
    (
        "process deliver.{partition}",
        SpanKind::Consumer,
        "send deliver.{partition}",
    ),
    ("POST", SpanKind::Client, "process deliver.{partition}"),
];

const PUBLISH: &str = "postrider.v1.IngestService/PublishEvent";
const PUBLISH_BATCH: &str = "postrider.v1.IngestService/PublishEvents";

async fn a_grpc_call_is_followed_to_the_post(deployment: Arc<Deployment>) -> Result<()> {
    let world = World::new(&deployment, "grpc-trace").await?;
    let caller = Caller::new(true);
    let id = world.publish(&caller).await?;
    let spans = collector().whole_trace(&caller.trace_id, 6).await?;
    let mut expected = vec![
        (PUBLISH, SpanKind::Server, ""),
        ("send events.{account}", SpanKind::Producer, PUBLISH),
    ];
    expected.extend(FROM_EVENT_TO_POST);
    shape(&spans, &caller, &expected)?;
    leads_to_the_post(&world, &spans, &id).await
}

async fn a_rest_call_is_followed_to_the_post(deployment: Arc<Deployment>) -> Result<()> {
    let world = World::new(&deployment, "rest-trace").await?;
    let caller = Caller::new(true);
    let path = format!("/v1/accounts/{}/events", world.account);
    let answer = world
        .api
        .request(Method::POST, &path)
        .header("traceparent", &caller.traceparent)
        .json(&json!({"type": "message.incoming", "object": {"n": 1}}))
        .send()
        .await?;
    ensure!(answer.status() == 202, "{}", answer.status());
    let answer: serde_json::Value = answer.json().await?;
    let id = answer["id"].as_str().context("an id")?.to_owned();
    let spans = collector().whole_trace(&caller.trace_id, 8).await?;
    let call = "POST /v1/accounts/{account}/events";
    let mut expected = vec![
        (call, SpanKind::Server, ""),
        (PUBLISH, SpanKind::Client, call),
        (PUBLISH, SpanKind::Server, PUBLISH),
        ("send events.{account}", SpanKind::Producer, PUBLISH),
    ];
    expected.extend(FROM_EVENT_TO_POST);
    shape(&spans, &caller, &expected)?;
    leads_to_the_post(&world, &spans, &id).await
}

/// What the endpoint got and what history shows name the POST's span.
async fn leads_to_the_post(world: &World, spans: &[Seen], event_id: &str) -> Result<()> {
    let post = spans.iter().find(|span| span.name == "POST");
    let post = post.context("a POST")?;
    let received = world.receiver.wait_for("hook", 1, LIMIT).await?;
    let expected = format!("00-{}-{}-01", post.trace_id, post.span_id);
    let sent = received[0].header("traceparent");
    ensure!(sent == expected, "{sent}, not {expected}");
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("server.address", "127.0.0.1"),
        ("postrider.event.id", event_id),
        ("postrider.endpoint.id", &world.endpoint),
        ("postrider.account.id", &world.account),
    ] {
        let seen = post.attribute(key);
        ensure!(seen == value, "{key}: {seen}, not {value}");
    }
    let attempt = world.attempt(1).await?;
    ensure!(attempt["trace_id"] == post.trace_id.as_str(), "{attempt}");
    ensure!(attempt["span_id"] == post.span_id.as_str(), "{attempt}");
    let by_trace = format!(
        "/v1/accounts/{}/attempts?trace_id={}",
        world.account, post.trace_id
    );
    let found = world.api.get(&by_trace).await?;
    ensure!(
        found["attempts"][0]["event_id"] == event_id,
        "its trace id leads to it: {found}"
    );
    waits_are_visible(spans)
}

/// Each consumer began after what it consumes was sent, and says how long that
/// was.
fn waits_are_visible(spans: &[Seen]) -> Result<()> {
    let consumers = spans.iter().filter(|span| span.kind == SpanKind::Consumer);
    for consumer in consumers {
        let sender = spans.iter().find(|one| one.span_id == consumer.parent_id);
        let sender = sender.context("a consumer has a sender")?;
        // Clocks of one machine, rounded to milliseconds by the messages.
        ensure!(
            consumer.started + 2_000_000 >= sender.started,
            "{consumer:?} began before {sender:?}"
        );
        let waited: u64 = consumer.attribute("postrider.queue_wait_ms").parse()?;
        ensure!(waited < 30_000, "{waited} ms");
    }
    Ok(())
}

async fn each_event_of_a_batch_of_500_is_followed_to_its_post(
    deployment: Arc<Deployment>,
) -> Result<()> {
    const EVENTS: usize = 500;
    let world = World::new(&deployment, "batch-trace").await?;
    let caller = Caller::new(true);
    let events = (0..EVENTS).map(|n| event(&world.account, n)).collect();
    let request = caller.request(PublishEventsRequest { events });
    let answer = world.ingest().await?.publish_events(request).await?;
    let results = answer.into_inner().results;
    ensure!(results.iter().all(|result| result.error.is_none()));
    let whole = 1 + 5 * EVENTS;
    let spans = collector().whole_trace(&caller.trace_id, whole).await?;
    ensure!(spans.len() == whole, "{} spans, not {whole}", spans.len());

    let below_the_caller = spans.iter().filter(|span| span.parent_id == caller.span_id);
    let roots: Vec<_> = below_the_caller.collect();
    ensure!(
        roots.len() == 1 && roots[0].name == PUBLISH_BATCH,
        "{roots:?}"
    );
    let by_id: BTreeMap<_, _> = spans.iter().map(|span| (&span.span_id, span)).collect();
    let posts: Vec<_> = spans.iter().filter(|span| span.name == "POST").collect();
    ensure!(posts.len() == EVENTS, "{} POSTs", posts.len());
    for post in posts {
        let event = post.attribute("postrider.event.id");
        let mut place = post;
        for (name, kind, parent) in FROM_EVENT_TO_POST.iter().rev() {
            ensure!(place.name == *name && place.kind == *kind, "{place:?}");
            place = by_id.get(&place.parent_id).context("no gap")?;
            ensure!(place.name == *parent, "{place:?} is the parent of {name}");
            let of = place.attribute("postrider.event.id");
            ensure!(of == event, "{} is about {of}, not {event}", place.name);
        }
        ensure!(place.parent_id == roots[0].span_id, "{place:?}");
    }
    // What recorded many of them together is linked, and in no event's trace.
    let is_batch = |span: &Seen| span.name == "process attempts.{partition}";
    eventually("recording is linked", LIMIT, || async {
        let recorded = collector().spans(is_batch);
        let linked = |span: &&Seen| span.links.iter().any(|(id, _)| *id == caller.trace_id);
        let span = recorded.iter().find(linked).context("no link")?;
        ensure!(span.trace_id != caller.trace_id && span.parent_id.is_empty());
        Ok(())
    })
    .await
}

async fn an_event_of_a_batch_can_have_a_trace_of_its_own(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let world = World::new(&deployment, "own-trace").await?;
    let (batch, own) = (Caller::new(true), Caller::new(true));
    let mut first = event(&world.account, 1);
    first.traceparent = own.traceparent.clone();
    let events = vec![first, event(&world.account, 2)];
    let request = batch.request(PublishEventsRequest { events });
    world.ingest().await?.publish_events(request).await?;
    let spans = collector().whole_trace(&own.trace_id, 5).await?;
    let mut expected = vec![("send events.{account}", SpanKind::Producer, "")];
    expected.extend(FROM_EVENT_TO_POST);
    shape(&spans, &own, &expected)?;
    let sent = spans.iter().find(|span| span.parent_id == own.span_id);
    let linked = &sent.context("the event's first span")?.links;
    let of_batch = collector().whole_trace(&batch.trace_id, 6).await?;
    let call = of_batch.iter().find(|span| span.name == PUBLISH_BATCH);
    let call = call.context("the batch's span")?;
    ensure!(
        *linked == [(call.trace_id.clone(), call.span_id.clone())],
        "the batch is linked: {linked:?}"
    );
    Ok(())
}

async fn a_third_attempt_is_a_linked_trace(deployment: Arc<Deployment>) -> Result<()> {
    let world = World::new(&deployment, "retry-trace").await?;
    let answers = [500, 503, 200].map(Answer::status);
    world.receiver.script("hook", answers);
    let caller = Caller::new(true);
    world.publish(&caller).await?;
    let received = world.receiver.wait_for("hook", 3, LIMIT).await?;
    let sent: Vec<_> = received
        .iter()
        .map(|request| request.header("traceparent").to_owned())
        .collect();
    let part = |n: usize, of: usize| sent[n].split('-').nth(of).unwrap_or_default();
    ensure!(part(0, 1) == caller.trace_id, "{sent:?}");
    ensure!(
        part(1, 1) != caller.trace_id && part(2, 1) != part(1, 1),
        "{sent:?}"
    );
    let third = collector().whole_trace(part(2, 1), 2).await?;
    let named = |name: &str| third.iter().find(|span| span.name == name);
    let processing = named("process retry.due.{partition}").context("a processing")?;
    let post = named("POST").context("a POST")?;
    ensure!(processing.parent_id.is_empty() && post.parent_id == processing.span_id);
    ensure!(post.span_id == part(2, 2), "the endpoint got the POST's");
    ensure!(post.attribute("http.request.resend_count") == "2");
    let linked: Vec<_> = processing.links.iter().map(|(trace, _)| trace).collect();
    ensure!(linked == [&caller.trace_id, part(1, 1)], "{linked:?}");
    let previous = &processing.links[1].1;
    ensure!(previous == part(1, 2), "the second attempt's POST");
    let second = collector().whole_trace(part(1, 1), 2).await?;
    let failed = second.iter().find(|span| span.name == "POST");
    let failed = failed.context("the second POST")?;
    ensure!(failed.has_failed && failed.attribute("error.type") == "503");
    let attempt = world.attempt(3).await?;
    ensure!(attempt["trace_id"] == part(2, 1), "{attempt}");
    Ok(())
}

async fn what_the_caller_does_not_sample_is_recorded_and_not_sent(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let world = World::new(&deployment, "unsampled").await?;
    let quiet = Caller::new(false);
    world.publish(&quiet).await?;
    let received = world.receiver.wait_for("hook", 1, LIMIT).await?;
    let sent = received[0].header("traceparent");
    ensure!(
        sent.contains(&quiet.trace_id) && sent.ends_with("-00"),
        "{sent}"
    );
    let attempt = world.attempt(1).await?;
    ensure!(attempt["trace_id"] == quiet.trace_id.as_str(), "{attempt}");
    // What was sampled later has come whole, so what was before would have too.
    let loud = Caller::new(true);
    world.publish(&loud).await?;
    collector().whole_trace(&loud.trace_id, 6).await?;
    let spans = collector().trace(&quiet.trace_id);
    ensure!(spans.is_empty(), "{spans:?}");
    Ok(())
}

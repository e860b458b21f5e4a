//! Having what was published forgotten: nobody finds it anywhere any more.

mod order;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::api::{self, Api};
use harness::deployment::Deployment;
use harness::nats::raw::Found;
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use harness::wait::{eventually, throughout};
use proto::v1::{Event, GetEventRequest, ListEventsRequest};
use reqwest::Method;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
const EACH: usize = 20;

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        after_erasing_by_tag_no_read_of_anything_returns_it,
        what_is_in_flight_while_it_is_erased_leaves_nothing,
        an_erased_event_cannot_be_sent_again,
        what_was_delivered_and_then_erased_says_so,
        an_accounts_events_go_and_later_ones_stay,
        order::what_is_published_right_before_is_erased_and_right_after_it_stays,
        order::an_erasure_is_not_done_before_an_earlier_one_of_the_same,
        a_deleted_endpoint_leaves_nothing_in_the_streams,
        an_erasure_says_which_field_is_wrong,
    ]
}

async fn endpoint(api: &Api, account: &str, url: &str, more: Value) -> Result<String> {
    let mut body = json!({"url": url, "description": "a test", "event_types": ["message.report"]});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let path = format!("/v1/accounts/{account}/endpoints");
    let made = api.post(201, &path, &body).await?;
    Ok(made["id"].as_str().context("an id")?.to_owned())
}

/// Starts an erasure and waits for its end.
async fn erase(api: &Api, account: &str, what: &Value) -> Result<Value> {
    let path = begin(api, account, what).await?;
    done(api, &path).await
}

/// Starts an erasure; its path.
async fn begin(api: &Api, account: &str, what: &Value) -> Result<String> {
    let path = format!("/v1/accounts/{account}/erasures");
    let started = api.post(202, &path, what).await?;
    ensure!(started["state"] == "running", "{started}");
    let id = started["id"].as_str().context("an id")?;
    Ok(format!("{path}/{id}"))
}

/// Waits for the end of an erasure.
async fn done(api: &Api, path: &str) -> Result<Value> {
    eventually("the erasure is done", LIMIT, || async {
        let shown = api.get(path).await?;
        ensure!(shown["state"] == "done", "{shown}");
        Ok(shown)
    })
    .await
}

/// The streams that hold a text, with how many messages.
async fn streams_with(deployment: &Deployment, text: &str) -> Result<BTreeMap<String, usize>> {
    let everything = deployment.raw_nats().await?.everything().await?;
    let mut streams = BTreeMap::new();
    for found in everything.iter().filter(|found: &&Found| found.holds(text)) {
        *streams.entry(found.stream.clone()).or_default() += 1;
    }
    Ok(streams)
}

/// Whether the database holds a text, as text or as bytes.
async fn database_holds(deployment: &Deployment, text: &str) -> Result<bool> {
    let dump = deployment.database_dump().await?;
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    Ok(dump.contains(text) || dump.to_lowercase().contains(&hex))
}

async fn nobody_holds(deployment: &Deployment, text: &str) -> Result<()> {
    let streams = streams_with(deployment, text).await?;
    ensure!(streams.is_empty(), "it still stands in {streams:?}");
    ensure!(!database_holds(deployment, text).await?, "SQL still has it");
    Ok(())
}

/// Every page of a list, as text.
async fn whole_list(api: &Api, path: &str) -> Result<String> {
    let (mut text, mut token) = (String::new(), String::new());
    loop {
        let page = api
            .get(&format!("{path}page_size=100&page_token={token}"))
            .await?;
        text.push_str(&page.to_string());
        match page["next_page_token"].as_str() {
            Some(next) if !next.is_empty() => next.clone_into(&mut token),
            _ => return Ok(text),
        }
    }
}

/// Publishes events of two people in turn, in one batch: their deliveries and
/// records travel in the same lists. Their ids, by person.
async fn publish_of_two(api: &Api, account: &str, texts: [&str; 2]) -> Result<[Vec<String>; 2]> {
    let event = |n: usize| {
        let text = texts[n % 2];
        json!({"type": "message.report", "object": {"n": n, "says": text},
            "tags": {"person": text}})
    };
    let events: Vec<Value> = (0..2 * EACH).map(event).collect();
    let path = format!("/v1/accounts/{account}/events/batch");
    let answer = api.post(200, &path, &json!({"events": events})).await?;
    let mut ids = [Vec::new(), Vec::new()];
    for (n, result) in answer["results"]
        .as_array()
        .context("results")?
        .iter()
        .enumerate()
    {
        ids[n % 2].push(result["id"].as_str().context("an id")?.to_owned());
    }
    Ok(ids)
}

async fn after_erasing_by_tag_no_read_of_anything_returns_it(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let (account, erased_text, kept_text) = ("erase-tag", "eve-4711-private", "kim-0815-public");
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    receiver.script("good", [Answer::status(200)]);
    receiver.script("bad", [Answer::status(500)]);
    let good = endpoint(&api, account, &receiver.url("good"), json!({})).await?;
    let patient = json!({"retry_schedule": ["1h"]});
    endpoint(&api, account, &receiver.url("bad"), patient).await?;
    // One a second: the others are parked, in lists.
    let slow = json!({"rate_limit": 1});
    endpoint(&api, account, &receiver.url("slow"), slow).await?;
    let [erased, kept] = publish_of_two(&api, account, [erased_text, kept_text]).await?;
    let tagged = format!("/v1/accounts/{account}/events?tag=person%3D{erased_text}&");
    let stats = format!("/v1/accounts/{account}/endpoints/{good}/stats");
    eventually("it stands everywhere", LIMIT, || async {
        let streams = streams_with(&deployment, erased_text).await?;
        for stream in ["EVENTS", "RETRIES", "PARKED"] {
            ensure!(streams.contains_key(stream), "not in {stream}: {streams:?}");
        }
        let list = whole_list(&api, &tagged).await?;
        let is_listed = |id: &String| list.contains(id.as_str());
        ensure!(erased.iter().all(is_listed), "not in SQL: {list}");
        let stats = api.get(&stats).await?;
        ensure!(stats["successful"] == 2 * EACH, "{stats}");
        Ok(())
    })
    .await?;

    let done = erase(&api, account, &json!({"tag": {"person": erased_text}})).await?;
    ensure!(done["counts"]["events"] == EACH, "{done}");
    for count in ["deliveries", "attempts", "messages"] {
        ensure!(done["counts"][count].as_u64() > Some(0), "{done}");
    }
    nobody_holds(&deployment, erased_text).await?;
    let paths = [
        format!("/v1/accounts/{account}/events?"),
        tagged,
        format!("/v1/accounts/{account}/attempts?"),
        format!("/v1/accounts/{account}/endpoints/{good}/attempts?"),
    ];
    for path in &paths {
        let list = whole_list(&api, path).await?;
        ensure!(!list.contains(erased_text), "{path} still shows it");
    }
    for id in &erased {
        let event = api
            .get(&format!("/v1/accounts/{account}/events/{id}"))
            .await?;
        ensure!(event["body"] == "" && event["tags"] == json!({}), "{event}");
        let deliveries = event["deliveries"].as_array().context("deliveries")?;
        let ended = deliveries.iter().all(|one| {
            one["state"] == "succeeded" || (one["state"] == "failed" && one["reason"] == "erased")
        });
        ensure!(ended, "{event}");
        let attempts = format!("/v1/accounts/{account}/attempts?event_id={id}");
        ensure!(api.get(&attempts).await?["attempts"] == json!([]), "{id}");
    }
    the_others_arrive_once(&receiver, &kept).await?;
    let list = whole_list(&api, &paths[0]).await?;
    ensure!(
        kept.iter().all(|id| list.contains(id.as_str())),
        "one of the others is gone"
    );
    // Those that failed were not tried again.
    let bad = times(&receiver, "bad");
    ensure!(bad.values().all(|times| *times == 1), "{bad:?}");
    deployment.all_running()
}

/// How often each event came.
fn times(receiver: &Receiver, path: &str) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for one in receiver.received(path) {
        *times
            .entry(one.header("webhook-id").to_owned())
            .or_default() += 1;
    }
    times
}

async fn the_others_arrive_once(receiver: &Receiver, kept: &[String]) -> Result<()> {
    eventually("the others have come", LIMIT, || async {
        let times = times(receiver, "slow");
        let missing = kept.iter().filter(|id| !times.contains_key(*id)).count();
        ensure!(missing == 0, "{missing} are missing");
        Ok(())
    })
    .await?;
    // Nothing is behind them that would come twice.
    throughout("each comes once", Duration::from_secs(3), || async {
        let times = times(receiver, "slow");
        ensure!(times.values().all(|count| *count == 1), "{times:?}");
        ensure!(
            times.len() < kept.len() + 8,
            "erased ones were sent on: {times:?}"
        );
        Ok(())
    })
    .await
}

async fn what_is_in_flight_while_it_is_erased_leaves_nothing(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let (account, text) = ("erase-flight", "ann-2342-private");
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    // It tells what it was told, when the event is erased already.
    let late = Answer::status(500)
        .body(text)
        .after(Duration::from_millis(2_500));
    receiver.script("late", [late]);
    endpoint(&api, account, &receiver.url("late"), json!({})).await?;
    let event = api
        .publish(account, "message.report", &json!({"says": text}))
        .await?;
    receiver.wait_for("late", 1, LIMIT).await?;
    let done = erase(&api, account, &json!({"event_id": event})).await?;
    ensure!(done["counts"]["events"].as_u64() <= Some(1), "{done}");
    nobody_holds(&deployment, text).await?;
    let attempts = api.get(&format!("/v1/accounts/{account}/attempts")).await?;
    ensure!(attempts["attempts"] == json!([]), "{attempts}");
    let tries = receiver.received("late").len();
    ensure!(tries == 1, "it was tried {tries} times");
    // Erasing it again finds nothing, and says so.
    let again = erase(&api, account, &json!({"event_id": event})).await?;
    ensure!(again["counts"]["attempts"] == 0, "{again}");
    deployment.all_running()
}

async fn an_erased_event_cannot_be_sent_again(deployment: Arc<Deployment>) -> Result<()> {
    let account = "erase-resend";
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    receiver.script("hook", [Answer::status(500)]);
    let hook = receiver.url("hook");
    let id = endpoint(&api, account, &hook, json!({"retry_schedule": []})).await?;
    let event = api.publish(account, "message.report", &json!({})).await?;
    let stats = format!("/v1/accounts/{account}/endpoints/{id}/stats");
    eventually("it has failed", LIMIT, || async {
        let stats = api.get(&stats).await?;
        ensure!(stats["failed"] == 1, "{stats}");
        Ok(())
    })
    .await?;
    erase(&api, account, &json!({"event_id": event})).await?;
    let resend = format!("/v1/accounts/{account}/events/{event}/resend");
    let refused = api.post(409, &resend, &json!({"endpoint_id": id})).await?;
    ensure!(refused["code"] == "BODY_EXPIRED", "{refused}");
    let span = json!({"after": "2020-01-01T00:00:00Z", "before": "2120-01-01T00:00:00Z",
        "status": "failed"});
    let replay = format!("/v1/accounts/{account}/endpoints/{id}/replay");
    let replay = api.post(202, &replay, &span).await?;
    let replay = replay["id"].as_str().context("an id")?;
    let shown = eventually("the replay is done", LIMIT, || async {
        let shown = api
            .get(&format!("/v1/accounts/{account}/replays/{replay}"))
            .await?;
        ensure!(shown["state"] == "done", "{shown}");
        Ok(shown)
    })
    .await?;
    for count in ["matched", "sent", "succeeded", "failed"] {
        ensure!(shown[count] == 0, "nothing is left to be counted: {shown}");
    }
    ensure!(receiver.received("hook").len() == 1);
    Ok(())
}

/// Nothing was to be delivered any more, so no delivery says why it ended.
async fn what_was_delivered_and_then_erased_says_so(deployment: Arc<Deployment>) -> Result<()> {
    let account = "erase-told";
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    endpoint(&api, account, &receiver.url("hook"), json!({})).await?;
    let events = format!("/v1/accounts/{account}/events");
    let body = json!({"type": "message.report", "object": {}, "tags": {"person": "4711"}});
    let mut ids = Vec::new();
    for _ in 0..2 {
        let published = api.post(202, &events, &body).await?;
        let id = published["id"].as_str().context("an id")?.to_owned();
        let path = format!("{events}/{id}");
        eventually("it is delivered", LIMIT, || async {
            let shown = api.get(&path).await?;
            ensure!(shown["deliveries"][0]["state"] == "succeeded", "{shown}");
            ensure!(shown["erased"] == false, "{shown}");
            Ok(())
        })
        .await?;
        ids.push(id);
    }
    let [erased, kept] = [&ids[0], &ids[1]];
    erase(&api, account, &json!({"event_id": erased})).await?;

    let listed = api.get(&events).await?;
    let one = api.get(&format!("{events}/{erased}")).await?;
    ensure!(listed["events"][1] == one, "{listed}: {one}");
    ensure!(one["erased"] == true && one["body"] == "", "{one}");
    let delivery = &one["deliveries"][0];
    ensure!(
        delivery["state"] == "succeeded" && delivery["attempts"] == 1,
        "{one}"
    );
    ensure!(delivery["reason"].is_null(), "{one}");
    let other = &listed["events"][0];
    ensure!(other["id"] == **kept && other["erased"] == false, "{other}");

    let mut client = api::history(&deployment.grpc("history"), api.key()).await?;
    let account = account.to_owned();
    let list = ListEventsRequest {
        account: account.clone(),
        ..ListEventsRequest::default()
    };
    let listed = client.list_events(list).await?.into_inner().events;
    let told = |event: &Event| (event.id.clone(), event.erased);
    let told: Vec<_> = listed.iter().map(told).collect();
    ensure!(
        told == [(kept.clone(), false), (erased.clone(), true)],
        "{told:?}"
    );
    let id = erased.clone();
    let one = client.get_event(GetEventRequest { account, id }).await?;
    let one = one.into_inner();
    ensure!(one.erased && one == listed[1], "{one:?}");
    Ok(())
}

async fn an_accounts_events_go_and_later_ones_stay(deployment: Arc<Deployment>) -> Result<()> {
    let (account, early, later) = ("erase-account", "joe-1-private", "joe-2-private");
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    receiver.script("bad", [Answer::status(500).body(early)]);
    let patient = json!({"retry_schedule": ["1h"]});
    let id = endpoint(&api, account, &receiver.url("bad"), patient).await?;
    for _ in 0..3 {
        api.publish(account, "message.report", &json!({"says": early}))
            .await?;
    }
    let stats = format!("/v1/accounts/{account}/endpoints/{id}/stats");
    eventually("all are tried", LIMIT, || async {
        let stats = api.get(&stats).await?;
        ensure!(stats["retrying"] == 3, "{stats}");
        Ok(())
    })
    .await?;
    receiver.script("bad", [Answer::status(200).body(later)]);
    let path = format!("/v1/accounts/{account}/erasures");
    let started = api.post(202, &path, &json!({"all": true})).await?;
    let path = format!("{path}/{}", started["id"].as_str().context("an id")?);
    eventually("the erasure is done", LIMIT, || async {
        let shown = api.get(&path).await?;
        ensure!(shown["state"] == "done", "{shown}");
        Ok(())
    })
    .await?;
    api.publish(account, "message.report", &json!({"says": later}))
        .await?;
    nobody_holds(&deployment, early).await?;
    let events = format!("/v1/accounts/{account}/events?");
    eventually("the later event is there, alone", LIMIT, || async {
        let list = whole_list(&api, &events).await?;
        ensure!(list.contains(later) && !list.contains(early), "{list}");
        let stats = api.get(&stats).await?;
        ensure!(
            stats["total_messages"] == 1 && stats["successful"] == 1,
            "{stats}"
        );
        Ok(())
    })
    .await
}

async fn a_deleted_endpoint_leaves_nothing_in_the_streams(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let (account, text) = ("erase-endpoint", "sue-9-private");
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    receiver.script(text, [Answer::status(500).body(text)]);
    let id = endpoint(&api, account, &receiver.url(text), json!({})).await?;
    api.publish(account, "message.report", &json!({})).await?;
    receiver.wait_for(text, 2, LIMIT).await?;
    let streams = streams_with(&deployment, text).await?;
    ensure!(streams.contains_key("ATTEMPTS"), "{streams:?}");
    let path = format!("/v1/accounts/{account}/endpoints/{id}");
    api.expect(204, Method::DELETE, &path, None).await?;
    eventually("nothing is left", LIMIT, || nobody_holds(&deployment, text)).await
}

async fn an_erasure_says_which_field_is_wrong(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let path = "/v1/accounts/erase-wrong/erasures";
    for (body, field) in [
        (json!({}), "event_id"),
        (json!({"event_id": "evt_1"}), "event_id"),
        (json!({"event_id": "evt_1", "all": true}), "event_id"),
        (json!({"all": false}), "all"),
        (json!({"tag": {}}), "tag"),
        (json!({"tag": {"a": "1", "b": "2"}}), "tag"),
        (json!({"tag": "a"}), "tag"),
        (json!({"tag": {"": "1"}}), "tag"),
        (json!({"tag": {"a": "x".repeat(257)}}), "tag"),
        (
            json!({"event_id": "dlv_00000000-0000-4000-8000-000000000000"}),
            "event_id",
        ),
        (
            json!({"endpoint_id": "ep_00000000-0000-4000-8000-000000000000"}),
            "endpoint_id",
        ),
        (json!({"tags": {"a": "1"}}), "tags"),
    ] {
        let refused = api.post(422, path, &body).await?;
        ensure!(refused["errors"][0]["field"] == field, "{body}: {refused}");
    }
    for id in ["ers_00000000-0000-4000-8000-000000000000", "ers_1"] {
        let missing = format!("{path}/{id}");
        let refused = api.expect(404, Method::GET, &missing, None).await?;
        ensure!(refused["code"] == "ERASURE_NOT_FOUND", "{refused}");
    }
    Ok(())
}

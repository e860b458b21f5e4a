//! Where the line is drawn between what an erasure is about and what comes after,
//! and which erasure is done first.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::Timestamp;
use harness::api::Api;
use harness::deployment::Deployment;
use harness::wait::eventually;
use serde_json::{Value, json};

use super::{LIMIT, begin, done, whole_list};

/// An erasure with one event right before it and one right after its answer.
struct Line {
    account: String,
    erasure: String,
    events: [String; 2],
}

impl Line {
    async fn draw(api: &Api, account: String, what: &Value) -> Result<Self> {
        let path = format!("/v1/accounts/{account}/events");
        let event = json!({"type": "message.report", "object": {"says": "liz-12-private"},
            "tags": {"person": "liz"}});
        let publish = async || -> Result<String> {
            let published = api.post(202, &path, &event).await?;
            Ok(published["id"].as_str().context("an id")?.to_owned())
        };
        let early = publish().await?;
        let erasure = begin(api, &account, what).await?;
        let events = [early, publish().await?];
        Ok(Self {
            account,
            erasure,
            events,
        })
    }

    /// The body of the early one is gone, the late one's is there.
    async fn holds(&self, api: &Api) -> Result<()> {
        done(api, &self.erasure).await?;
        let list = format!("/v1/accounts/{}/events?", self.account);
        let [early, late] = &self.events;
        eventually("the late event is recorded", LIMIT, || async {
            let list = whole_list(api, &list).await?;
            ensure!(list.contains(late.as_str()), "{late} is not in {list}");
            Ok(())
        })
        .await?;
        let list: Value = api.get(&list).await?;
        for event in list["events"].as_array().context("events")? {
            let (id, tags) = (&event["id"], &event["tags"]);
            let expected = if id == late {
                json!({"person": "liz"})
            } else {
                json!({})
            };
            ensure!(*tags == expected, "{early}, then {late}: {list}");
        }
        let path = format!("/v1/accounts/{}/events/{late}", self.account);
        let shown = api.get(&path).await?;
        ensure!(shown["body"] != "", "{shown}");
        Ok(())
    }
}

pub(super) async fn what_is_published_right_before_is_erased_and_right_after_it_stays(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let api = deployment.api();
    // Several times, since it takes bad luck: what is late is recorded before the
    // worker looks.
    let mut lines = Vec::new();
    for n in 0..8 {
        let of_tag = json!({"tag": {"person": "liz"}});
        lines.push(Line::draw(&api, format!("erase-line-tag-{n}"), &of_tag).await?);
        let all = json!({"all": true});
        lines.push(Line::draw(&api, format!("erase-line-all-{n}"), &all).await?);
    }
    for line in &lines {
        line.holds(&api).await?;
        let [early, late] = &line.events;
        let everything = deployment.raw_nats().await?.everything().await?;
        let left = |id: &str| {
            let mut events = everything.iter().filter(|found| found.stream == "EVENTS");
            events.any(|found| found.holds(id))
        };
        ensure!(!left(early) && left(late), "EVENTS: {early}, then {late}");
    }
    Ok(())
}

pub(super) async fn an_erasure_is_not_done_before_an_earlier_one_of_the_same(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let api = deployment.api();
    let account = "erase-twice";
    let event = json!({"type": "message.report", "object": {}, "tags": {"person": "pat"}});
    let events = format!("/v1/accounts/{account}/events");
    api.post(202, &events, &event).await?;
    let what = json!({"tag": {"person": "pat"}});
    let first = begin(&api, account, &what).await?;
    eventually("the first has found it", LIMIT, || async {
        let shown = api.get(&first).await?;
        ensure!(shown["counts"]["messages"].as_u64() > Some(0), "{shown}");
        Ok(())
    })
    .await?;
    let second = begin(&api, account, &what).await?;
    let second = done(&api, &second).await?;
    let first = api.get(&first).await?;
    ensure!(first["state"] == "done", "{first}, but {second}");
    // What the first one has found is not there any more; it takes its time anyway.
    let at = |name: &str| {
        let at = second[name].as_str().and_then(Timestamp::parse_rfc3339);
        at.context("an instant")
    };
    let took = at("ended_at")?.since(at("created_at")?);
    ensure!(took >= Duration::from_secs(10), "{second}");
    Ok(())
}

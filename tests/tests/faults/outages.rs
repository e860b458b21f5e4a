//! nats-server or the database away for a while.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::api;
use harness::deployment::{Deployment, Mode, ROLES};
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use harness::wait::eventually;
use proto::v1::PublishEventRequest;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::timeout;
use tonic::Code;

const LIMIT: Duration = Duration::from_secs(30);
/// An answer that says no should come quickly.
const QUICKLY: Duration = Duration::from_secs(6);

pub(crate) fn in_both_modes() -> Vec<Scenario<Mode>> {
    harness::scenarios![
        everything_flows_again_after_nats_server_is_killed,
        what_is_in_work_is_not_sent_again_after_nats_server_is_killed,
        what_is_answered_while_leases_end_is_not_sent_again,
        a_change_is_not_stored_while_nats_server_hangs,
        deliveries_resume_after_a_restart,
    ]
}

pub(crate) fn with_processes() -> Vec<Scenario<Mode>> {
    harness::scenarios![
        nats_server_may_be_away_for_a_minute,
        the_database_may_be_away,
        the_database_may_be_away_under_load,
    ]
}

/// A server that hangs keeps its connections.
async fn a_change_is_not_stored_while_nats_server_hangs(mode: Mode) -> Result<()> {
    let deployment = Deployment::start(mode, &[]).await?;
    let api = deployment.api();
    let path = "/v1/accounts/hangs/endpoints";
    let body = json!({
        "url": "http://127.0.0.1:9900/", "description": "a test", "event_types": ["message.report"],
    });
    deployment.signal_nats(Signal::STOP).await?;
    let refused = api.post(503, path, &body).await;
    deployment.signal_nats(Signal::CONT).await?;
    let problem = refused?;
    ensure!(problem["code"] == "BROKER_UNAVAILABLE", "{problem}");
    let listed = api.get(path).await?;
    ensure!(listed["endpoints"] == json!([]), "{listed}");
    let created = eventually("changes are accepted again", LIMIT, || {
        api.post(201, path, &body)
    });
    created.await?;
    let listed = api.get(path).await?;
    ensure!(
        listed["endpoints"].as_array().map(Vec::len) == Some(1),
        "{listed}"
    );
    deployment.all_running()
}

async fn everything_flows_again_after_nats_server_is_killed(mode: Mode) -> Result<()> {
    let settings = [
        ("POSTRIDER_RETRY_SCHEDULE", "2s,2s"),
        ("POSTRIDER_DELIVERY_TIMEOUT", "3s"),
    ];
    let deployment = Deployment::start(mode, &settings).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    receiver.script("hook", [Answer::status(500), Answer::status(200)]);
    api.endpoint("flows", &receiver.url("hook"), &["message.report"])
        .await?;
    let waiting = api
        .publish("flows", "message.report", &json!({"n": 1}))
        .await?;
    receiver.wait_for("hook", 1, LIMIT).await?;
    deployment.kill_nats().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    deployment.start_nats().await?;
    deployment.ready(LIMIT).await?;
    let received = receiver.wait_for("hook", 2, LIMIT).await?;
    ensure!(
        received[1].header("webhook-id") == waiting,
        "the retry survived"
    );
    let event = eventually("publishing works again", LIMIT, || {
        let object = json!({"n": 2});
        let api = api.clone();
        async move { api.publish("flows", "message.report", &object).await }
    })
    .await?;
    let received = receiver.wait_for("hook", 3, LIMIT).await?;
    ensure!(
        received[2].header("webhook-id") == event,
        "the new event arrived"
    );
    deployment.all_running()
}

/// Some of it is being posted, and the rest waits in memory or is parked.
async fn what_is_in_work_is_not_sent_again_after_nats_server_is_killed(mode: Mode) -> Result<()> {
    const EVENTS: usize = 30;
    let deployment = Deployment::start(mode, &[]).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let slowly = Answer::status(200).after(Duration::from_secs(4));
    receiver.script("slow", [slowly]);
    let endpoints = "/v1/accounts/at-work/endpoints";
    let body = json!({
        "url": receiver.url("slow"), "description": "a test", "event_types": ["message.report"],
        "max_concurrency": 10,
    });
    let endpoint = api.post(201, endpoints, &body).await?;
    let id = endpoint["id"].as_str().context("an id")?;
    for number in 0..EVENTS {
        api.publish("at-work", "message.report", &json!({"n": number}))
            .await?;
    }
    receiver.wait_for("slow", 10, LIMIT).await?;
    deployment.kill_nats().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    deployment.start_nats().await?;
    receiver.wait_for("slow", EVENTS, LIMIT).await?;
    eventually("all of it is recorded", LIMIT, || async {
        let stats = api.get(&format!("{endpoints}/{id}/stats")).await?;
        ensure!(stats["successful"] == EVENTS, "{stats}");
        Ok(())
    })
    .await?;
    let received = receiver.received("slow");
    let events: HashSet<&str> = received
        .iter()
        .map(|one| one.header("webhook-id"))
        .collect();
    ensure!(
        received.len() == EVENTS && events.len() == EVENTS,
        "{} POSTs of {} events",
        received.len(),
        events.len()
    );
    deployment.all_running()
}

/// nats-server is away for longer than any lease holds. Whoever gets the partition then
/// finds what was sent before, whether it was its own or another dispatcher's.
async fn what_is_answered_while_leases_end_is_not_sent_again(mode: Mode) -> Result<()> {
    const ENDPOINTS: usize = 60;
    let deployment = Deployment::start(mode, &[("POSTRIDER_DELIVERY_TIMEOUT", "30s")]).await?;
    if mode == Mode::Processes {
        deployment.start_process("dispatcher-2").await?;
        deployment.process_ready("dispatcher-2", LIMIT).await?;
    }
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    // From while the lease holds to some seconds after nats-server's return.
    let answer = |number: usize| {
        let after = 2_000 + 230 * number as u64;
        Answer::status(200).after(Duration::from_millis(after))
    };
    for number in 0..ENDPOINTS {
        let path = format!("in-flight/{number}");
        receiver.script(&path, [answer(number)]);
        api.endpoint("leases", &receiver.url(&path), &["message.report"])
            .await?;
    }
    let event = api.publish("leases", "message.report", &json!({})).await?;
    for number in 0..ENDPOINTS {
        let path = format!("in-flight/{number}");
        receiver.wait_for(&path, 1, LIMIT).await?;
    }
    deployment.kill_nats().await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    deployment.start_nats().await?;
    deployment.ready(LIMIT).await?;
    let path = format!("/v1/accounts/leases/events/{event}");
    eventually("all of it is recorded", LIMIT, || async {
        let shown = api.get(&path).await?;
        let deliveries = shown["deliveries"].as_array().context("deliveries")?;
        let all = deliveries.iter().all(|one| one["state"] == "succeeded");
        ensure!(deliveries.len() == ENDPOINTS && all, "{shown}");
        Ok(())
    })
    .await?;
    // What is to be sent again comes with the next owner, within the time of a lease.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let posts: usize = (0..ENDPOINTS)
        .map(|number| receiver.received(&format!("in-flight/{number}")).len())
        .sum();
    ensure!(posts == ENDPOINTS, "{posts} POSTs to {ENDPOINTS} endpoints");
    deployment.all_running()
}

/// Within 5 s of the kill and restart, or of the retry's own time.
async fn deliveries_resume_after_a_restart(mode: Mode) -> Result<()> {
    // So long that the kill comes before the retry on a slow machine too.
    let settings = [
        ("POSTRIDER_RETRY_SCHEDULE", "8s,8s"),
        ("POSTRIDER_DELIVERY_TIMEOUT", "3s"),
    ];
    let deployment = Deployment::start(mode, &settings).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let victim = if mode == Mode::Standalone {
        "standalone"
    } else {
        "dispatcher"
    };
    receiver.script("hook", [Answer::status(500), Answer::status(200)]);
    api.endpoint("resume", &receiver.url("hook"), &["message.report"])
        .await?;
    api.publish("resume", "message.report", &json!({})).await?;
    receiver.wait_for("hook", 1, LIMIT).await?;
    // With the most that is added to it by chance.
    let due = tokio::time::Instant::now() + Duration::from_secs(10);
    let path = "/v1/accounts/resume/events";
    eventually("the first attempt is recorded", LIMIT, || async {
        let events = api.get(path).await?;
        ensure!(
            events["events"][0]["deliveries"][0]["attempts"] == 1,
            "{events}"
        );
        Ok(())
    })
    .await?;
    // Before the retry, and then away for 3 s.
    tokio::time::sleep_until(due - Duration::from_secs(3)).await;
    deployment.kill(victim)?;
    let sent = receiver.received("hook").len();
    ensure!(sent == 1, "{sent} were sent before the kill");
    tokio::time::sleep_until(due).await;
    let restarted = Instant::now();
    deployment.start_process(victim).await?;
    receiver.wait_for("hook", 2, LIMIT).await?;
    let waited = restarted.elapsed();
    println!(
        "{}: deliveries resumed {:.1} s after the restart",
        mode.name(),
        waited.as_secs_f64()
    );
    ensure!(
        waited < Duration::from_secs(6),
        "deliveries resumed after {waited:?}"
    );
    Ok(())
}

async fn nats_server_may_be_away_for_a_minute(mode: Mode) -> Result<()> {
    let settings = [
        ("POSTRIDER_RETRY_SCHEDULE", "5s,5s"),
        ("POSTRIDER_DELIVERY_TIMEOUT", "3s"),
    ];
    let deployment = Deployment::start(mode, &settings).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    // Its answer comes when its record cannot be stored, and the lease ends meanwhile.
    let late = Answer::status(500).after(Duration::from_secs(1));
    receiver.script("hook", [late, Answer::status(200)]);
    let endpoint = api
        .endpoint("away", &receiver.url("hook"), &["message.report"])
        .await?;
    let waiting = api.publish("away", "message.report", &json!({})).await?;
    receiver.wait_for("hook", 1, LIMIT).await?;
    deployment.kill_nats().await?;
    let away = Instant::now();
    let mut client = api::ingest(&deployment.grpc("ingest"), api.key()).await?;
    let mut slowest = Duration::ZERO;
    while away.elapsed() < Duration::from_secs(60) {
        let request = PublishEventRequest {
            account: "away".into(),
            r#type: "message.report".into(),
            object: "{}".into(),
            ..PublishEventRequest::default()
        };
        let asked = Instant::now();
        let status = client
            .publish_event(request)
            .await
            .err()
            .context("it cannot be stored")?;
        ensure!(status.code() == Code::Unavailable, "{status:?}");
        slowest = slowest.max(asked.elapsed());
        let asked = Instant::now();
        let body = json!({"type": "message.report", "object": {}});
        let problem = api.post(503, "/v1/accounts/away/events", &body).await?;
        ensure!(problem["code"] == "BROKER_UNAVAILABLE", "{problem}");
        let path = format!("/v1/accounts/away/endpoints/{endpoint}");
        let body = json!({"description": "changed meanwhile"});
        let problem = api.expect(503, Method::PATCH, &path, Some(&body)).await?;
        ensure!(problem["code"] == "BROKER_UNAVAILABLE", "{problem}");
        slowest = slowest.max(asked.elapsed());
        deployment.all_running()?;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    println!(
        "nats-server away: the slowest refusal took {:.2} s",
        slowest.as_secs_f64()
    );
    ensure!(slowest < QUICKLY, "a refusal took {slowest:?}");
    deployment.start_nats().await?;
    deployment.ready(LIMIT).await?;
    let received = receiver.wait_for("hook", 2, LIMIT).await?;
    ensure!(
        received[1].header("webhook-id") == waiting,
        "the retry survived"
    );
    let event = api
        .publish("away", "message.report", &json!({"n": 2}))
        .await?;
    let received = receiver.wait_for("hook", 3, LIMIT).await?;
    let arrived: Vec<&str> = received
        .iter()
        .map(|request| request.header("webhook-id"))
        .collect();
    ensure!(
        arrived == [&waiting, &waiting, &event],
        "only what was accepted arrives, once an attempt: {arrived:?}"
    );
    let shown = api
        .get(&format!("/v1/accounts/away/endpoints/{endpoint}"))
        .await?;
    ensure!(
        shown["description"] == "a test",
        "what was refused was not stored: {shown}"
    );
    deployment.all_running()
}

async fn the_database_may_be_away(mode: Mode) -> Result<()> {
    let deployment = Deployment::start(mode, &[("POSTRIDER_RETRY_SCHEDULE", "1s,1s")]).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    receiver.script("hook", [Answer::status(500), Answer::status(200)]);
    let endpoint = api
        .endpoint("no-database", &receiver.url("hook"), &["message.report"])
        .await?;
    deployment.stop_database().await?;
    let mut events = Vec::new();
    for n in 0..100 {
        events.push(
            api.publish("no-database", "message.report", &json!({"n": n}))
                .await?,
        );
    }
    // The first one needed a retry.
    receiver.wait_for("hook", 101, LIMIT).await?;
    let path = "/v1/accounts/no-database/endpoints";
    let body = json!({"url": "https://example.com", "description": "d", "event_types": ["message.report"]});
    let problem = api.post(503, path, &body).await?;
    ensure!(problem["code"] == "DATABASE_UNAVAILABLE", "{problem}");
    let problem = api
        .expect(503, Method::GET, "/v1/accounts/no-database/events", None)
        .await?;
    ensure!(problem["code"] == "DATABASE_UNAVAILABLE", "{problem}");
    for role in ROLES {
        // Whoever asks the database waits for it for three seconds.
        let scrape = deployment.metric(role, "postrider_runtime_workers");
        let asks = || format!("a scrape of {role} asks the database");
        timeout(Duration::from_secs(2), scrape)
            .await
            .with_context(asks)??;
    }
    deployment.all_running()?;
    deployment.start_database().await?;
    let stats = format!("{path}/{endpoint}/stats");
    eventually("history has caught up", Duration::from_secs(60), || async {
        let stats = api.get(&stats).await?;
        ensure!(
            stats["successful"] == 100 && stats["total_messages"] == 100,
            "{stats}"
        );
        Ok(())
    })
    .await?;
    deployment.ready(LIMIT).await?;
    deployment.all_running()
}

/// Events go on for all of it.
async fn the_database_may_be_away_under_load(mode: Mode) -> Result<()> {
    const AWAY: Duration = Duration::from_secs(30);
    const PAUSE: Duration = Duration::from_millis(20);
    // Whatever is not recorded in time looks lost.
    let deployment = Deployment::start(mode, &[("POSTRIDER_SWEEP_AFTER", "2s")]).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "load-no-database";
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let ends = Notify::new();
    let publish = async {
        let mut events = HashSet::new();
        loop {
            let object = json!({"n": events.len()});
            events.insert(api.publish(account, "message.report", &object).await?);
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = ends.notified() => return Ok::<_, anyhow::Error>(events),
            }
        }
    };
    let outage = async {
        receiver.wait_for("hook", 50, LIMIT).await?;
        deployment.stop_database().await?;
        let away = Instant::now();
        for process in ["control", "history"] {
            eventually("readiness says so", LIMIT, || async {
                let (status, text) = readiness(&deployment, process).await?;
                ensure!(
                    status == 503 && text.contains("database"),
                    "{status}: {text}"
                );
                Ok(())
            })
            .await?;
        }
        while away.elapsed() < AWAY {
            let before = receiver.received("hook").len();
            receiver.wait_for("hook", before + 10, LIMIT).await?;
            for process in ["ingest", "fanout", "dispatcher"] {
                let (status, text) = readiness(&deployment, process).await?;
                ensure!(
                    status == 200,
                    "{process} waits for the database too: {text}"
                );
            }
        }
        deployment.start_database().await?;
        ends.notify_one();
        Ok(())
    };
    let (events, ()) = tokio::try_join!(publish, outage)?;
    let stats = format!("/v1/accounts/{account}/endpoints/{endpoint}/stats");
    let back = Instant::now();
    eventually("history has caught up", Duration::from_secs(60), || async {
        let stats = api.get(&stats).await?;
        ensure!(
            stats["successful"] == events.len() && stats["total_messages"] == events.len(),
            "{stats}, and {} events",
            events.len()
        );
        Ok(())
    })
    .await?;
    println!(
        "the database away for {} s: {} events, recorded {:.1} s after it was back",
        AWAY.as_secs(),
        events.len(),
        back.elapsed().as_secs_f64()
    );
    deployment.ready(LIMIT).await?;
    // Two rounds of the sweeper, with all that was late recorded.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let received = receiver.received("hook");
    let ids: HashSet<String> = received
        .iter()
        .map(|one| one.header("webhook-id").to_owned())
        .collect();
    ensure!(ids == events, "{} came of {}", ids.len(), events.len());
    ensure!(received.len() == events.len(), "{} came", received.len());
    let swept = deployment
        .metric("history", "postrider_history_swept_total")
        .await?;
    ensure!(swept == 0.0, "{swept} were sent for again");
    deployment.all_running()
}

async fn readiness(deployment: &Deployment, process: &str) -> Result<(u16, String)> {
    let answer = reqwest::get(format!("{}/readyz", deployment.admin(process))).await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

//! A full disk under the streams and the database.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::api::Api;
use harness::cluster::NODES;
use harness::deployment::{Deployment, Mode};
use harness::load::{Load, Plan, endpoint};
use harness::receiver::Receiver;
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::json;

const ACCOUNT: &str = "full";
const MEGABYTES: u32 = 96;
const LIMIT: Duration = Duration::from_secs(60);
const EVENTS: u32 = 50;

pub(crate) fn in_standalone() -> Vec<Scenario<Mode>> {
    harness::scenarios![a_full_disk_refuses_events_and_loses_none]
}

pub(crate) fn with_processes() -> Vec<Scenario<Mode>> {
    harness::scenarios![a_full_disk_under_postgresql_stops_nothing_but_history]
}

pub(crate) fn in_the_overlay() -> Vec<Scenario<Mode>> {
    harness::scenarios![full_stores_of_three_servers_refuse_events_and_lose_none]
}

/// nats-server would go on failing when there is room again; it is restarted.
async fn a_full_disk_refuses_events_and_loses_none(_: Mode) -> Result<()> {
    let deployment = Deployment::start_on_small_disk(MEGABYTES).await?;
    let disk = deployment.disk()?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let endpoint = endpoint(&api, ACCOUNT, &receiver).await?;
    let publish = |number: u32| {
        let api = api.clone();
        let object = json!({"n": number, "text": "x".repeat(10_000)});
        async move { api.publish(ACCOUNT, "message.incoming", &object).await }
    };
    let mut accepted = Vec::new();
    for number in 0..EVENTS {
        accepted.push(publish(number).await?);
    }
    disk.fill()?;
    let path = format!("/v1/accounts/{ACCOUNT}/events");
    let body = json!({"type": "message.incoming", "object": {"text": "x".repeat(10_000)}});
    let refused = eventually("events are refused", LIMIT, || api.post(503, &path, &body));
    let problem = refused.await?;
    ensure!(problem["code"] == "BROKER_UNAVAILABLE", "{problem}");
    let said = eventually("the log says why", LIMIT, || async {
        let errors = deployment.errors_logged()?;
        let full = errors.iter().any(|line| line.contains("the disk is full"));
        ensure!(full, "{errors:?}");
        Ok(())
    });
    said.await?;

    disk.free()?;
    let again = eventually("events are accepted again", LIMIT, || publish(EVENTS));
    accepted.push(again.await?);
    arrived(&api, &receiver, &accepted).await?;
    all_recorded(&api, &endpoint, accepted.len()).await?;
    deployment.all_running()
}

/// A third of what a volume of the overlay would be to its limit, for what the
/// servers write besides.
const STORE_MEGABYTES: u32 = 192;
const USABLE_MEGABYTES: u32 = 48;

/// First at `max_file_store`, where a stream's leader steps down and nobody leads it
/// until there may be more, then the volumes themselves.
async fn full_stores_of_three_servers_refuse_events_and_lose_none(_: Mode) -> Result<()> {
    let deployment = Deployment::start_on_small_stores(STORE_MEGABYTES, USABLE_MEGABYTES).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let endpoint = endpoint(&api, ACCOUNT, &receiver).await?;
    let mut accepted = fill_with_events(&api).await?;
    println!(
        "at the limit of {USABLE_MEGABYTES} MB: {} events",
        accepted.len()
    );
    println!("{}", ingest_says(&deployment)?);

    restart_each(&deployment, Some(2 * USABLE_MEGABYTES)).await?;
    let again = eventually("events are accepted again", LIMIT, || publish_large(&api));
    accepted.push(again.await?);
    arrived(&api, &receiver, &accepted).await?;

    for disk in deployment.cluster().await.disks()? {
        disk.fill()?;
    }
    accepted.extend(fill_with_events(&api).await?);
    let said = eventually("the servers say why", LIMIT, || async {
        for node in 0..NODES {
            let log = deployment.cluster().await.log(node)?;
            ensure!(log.contains("no space left on device"), "{node} does not");
        }
        Ok(())
    });
    said.await?;
    for disk in deployment.cluster().await.disks()? {
        disk.free()?;
    }
    restart_each(&deployment, None).await?;
    let again = eventually("events are accepted again", LIMIT, || publish_large(&api));
    accepted.push(again.await?);
    let twice = arrived(&api, &receiver, &accepted).await?;
    println!(
        "{} accepted, none lost, {twice} came more than once",
        accepted.len()
    );
    all_recorded(&api, &endpoint, accepted.len()).await?;
    deployment.all_running()
}

/// Publishes until that is refused; what was accepted before.
async fn fill_with_events(api: &Api) -> Result<Vec<String>> {
    let path = format!("/v1/accounts/{ACCOUNT}/events");
    let body = json!({"type": "message.incoming", "object": large()});
    let mut accepted = Vec::new();
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        match publish_large(api).await {
            Ok(id) => accepted.push(id),
            Err(_) => {
                // A refusal for good, not one that had to wait for somebody.
                let problem = api.post(503, &path, &body).await?;
                ensure!(problem["code"] == "BROKER_UNAVAILABLE", "{problem}");
                return Ok(accepted);
            }
        }
    }
    anyhow::bail!("{} were accepted, and more would be", accepted.len())
}

/// That ingest wrote why it could not store an event; a first try may have had no
/// answer at all.
fn ingest_says(deployment: &Deployment) -> Result<String> {
    let log = std::fs::read_to_string(deployment.dir().join("ingest.log"))?;
    let refused = |line: &&str| line.contains("an event cannot be stored now");
    let refused: Vec<&str> = log.lines().filter(refused).collect();
    let says_why = refused.iter().find(|line| line.contains("stores are full"));
    let says_why = says_why.with_context(|| format!("{refused:?}"))?;
    Ok((*says_why).to_owned())
}

async fn publish_large(api: &Api) -> Result<String> {
    api.publish(ACCOUNT, "message.incoming", &large()).await
}

fn large() -> serde_json::Value {
    json!({"text": "x".repeat(200_000)})
}

/// One after the other, perhaps with another limit.
async fn restart_each(deployment: &Deployment, usable_megabytes: Option<u32>) -> Result<()> {
    for node in 0..NODES {
        let mut cluster = deployment.cluster().await;
        if let Some(megabytes) = usable_megabytes {
            cluster.set_usable(node, megabytes)?;
        }
        cluster.stop(node)?;
        cluster.start(node)?;
        cluster.healthy(node).await?;
    }
    Ok(())
}

/// Waits for all of them; how many events came more than once. What history knows
/// of one that is missing tells where it has stayed.
async fn arrived(api: &Api, receiver: &Receiver, accepted: &[String]) -> Result<usize> {
    let missing = || {
        receiver.counted("hook", |counts| {
            let missing = accepted.iter().filter(|id| !counts.contains_key(*id));
            missing.cloned().collect::<Vec<_>>()
        })
    };
    eventually("every accepted event arrives", LIMIT, || async {
        let missing = missing();
        if let Some(one) = missing.first() {
            let path = format!("/v1/accounts/{ACCOUNT}/events/{one}");
            let known = api.get(&path).await;
            let known = known.map(|event| event["deliveries"].to_string());
            anyhow::bail!("{} are missing; of {one}: {known:?}", missing.len());
        }
        Ok(receiver.counted("hook", |counts| {
            counts.values().filter(|count| **count > 1).count()
        }))
    })
    .await
}

/// What was refused may have been stored all the same, so there may be more.
async fn all_recorded(api: &Api, endpoint: &str, events: usize) -> Result<()> {
    let stats = format!("/v1/accounts/{ACCOUNT}/endpoints/{endpoint}/stats");
    eventually("history records all", LIMIT, || async {
        let stats = api.get(&stats).await?;
        let successful = stats["successful"].as_u64().unwrap_or_default();
        ensure!(successful >= events as u64, "{stats} of {events}");
        Ok(())
    })
    .await
}

const DATABASE_MEGABYTES: u32 = 160;
const EVENTS_PER_SECOND: u32 = 100;
/// With the disk full; long enough for the log that it writes ahead to need room.
const FULL: Duration = Duration::from_secs(20);

async fn a_full_disk_under_postgresql_stops_nothing_but_history(_: Mode) -> Result<()> {
    // Whatever is not recorded in time looks lost.
    let settings = [("POSTRIDER_SWEEP_AFTER", "2s")];
    let deployment = Deployment::start_on_small_database(DATABASE_MEGABYTES, &settings).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let endpoint = endpoint(&api, ACCOUNT, &receiver).await?;
    let came = || receiver.counted("hook", std::collections::HashMap::len);
    let load = Load::start(&Plan {
        account: ACCOUNT,
        doors: vec![deployment.grpc("ingest")],
        key: api.key().to_owned(),
        events_per_second: EVENTS_PER_SECOND,
    });
    let flows = eventually("deliveries flow", LIMIT, || async {
        ensure!(came() > 100, "{} came", came());
        Ok(())
    });
    flows.await?;
    deployment.postgres().await.disk()?.fill()?;
    let full = Instant::now();
    // Until its tables need another page.
    let path = format!("/v1/accounts/{ACCOUNT}/endpoints");
    let body = json!({
        "url": "https://example.com/", "description": "x".repeat(200),
        "event_types": ["message.report"],
    });
    let refused = eventually("changes are refused", LIMIT, || api.post(503, &path, &body));
    let problem = refused.await?;
    ensure!(problem["code"] == "DATABASE_UNAVAILABLE", "{problem}");
    let log = deployment.dir().join("history.log");
    let said = eventually("history says why", LIMIT, || async {
        let log = std::fs::read_to_string(&log)?;
        ensure!(log.contains("No space left on device"), "it does not");
        Ok(())
    });
    said.await?;
    while full.elapsed() < FULL {
        let before = came();
        let flows = eventually("deliveries go on", LIMIT, || async {
            ensure!(came() > before, "{before} came");
            Ok(())
        });
        flows.await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // Until the log that it writes ahead needs room.
    let more = "SELECT pg_logical_emit_message(false, 'test', 'text'); SELECT pg_switch_wal()";
    let ended = eventually("PostgreSQL ends by itself", LIMIT, || async {
        let mut postgres = deployment.postgres().await;
        let _ = postgres.execute("postgres", more);
        ensure!(!postgres.is_running(), "it runs");
        Ok(())
    });
    ended.await?;
    deployment.postgres().await.disk()?.free()?;
    deployment.postgres().await.start().await?;
    let account = load.finish().await?;
    let twice = account.arrived(&receiver, LIMIT).await?;
    let summary = account.summary();
    println!("PostgreSQL on a full disk, {twice} came more than once: {summary}");
    ensure!(twice == 0, "{twice} came more than once");
    let quiet = Duration::from_secs(3);
    ensure!(
        summary.longest_silence < quiet,
        "publishers waited: {summary}"
    );
    let stats = format!("/v1/accounts/{ACCOUNT}/endpoints/{endpoint}/stats");
    let recorded = eventually("history has all of them", LIMIT, || async {
        let stats = api.get(&stats).await?;
        ensure!(stats["successful"] == account.events(), "{stats}");
        Ok(())
    });
    recorded.await?;
    for quietly in ["quarantined", "swept"] {
        let name = format!("postrider_history_{quietly}_total");
        let count = deployment.metric("history", &name).await?;
        ensure!(count == 0.0, "{count} {quietly}");
    }
    deployment.ready(LIMIT).await?;
    deployment.all_running()
}

//! Servers that do what they can to their sender, beside healthy ones.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::Mode;
use harness::hostile::{Behaviour, Hostile};
use harness::receiver::Answer;
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::{Value, json};

use crate::load::Load;
use crate::world::{LIMIT, World, each_once};

const ACCOUNT: &str = "crowd";
const HEALTHY: usize = 3;
const PER_SECOND: u32 = 20;
const TIME: Duration = Duration::from_secs(8);
const TIMEOUT_MS: u64 = 2_000;
/// On a busy machine, a timer is so late at most.
const LATENESS_MS: u64 = 1_500;
const MOST_MEMORY: u64 = 64 * 1_024 * 1_024;

pub(crate) fn scenarios() -> Vec<Scenario<()>> {
    harness::scenarios![hostile_receivers_are_felt_by_nobody_else]
}

/// How each attempt at a kind of server ends.
#[derive(Debug, Clone, Copy)]
struct Expected {
    name: &'static str,
    /// `None`: it succeeds.
    class: Option<&'static str>,
    at_the_timeout: bool,
}

const fn ends_at_the_timeout(name: &'static str) -> Expected {
    Expected {
        name,
        class: Some("timeout"),
        at_the_timeout: true,
    }
}

const fn ends_at_once(name: &'static str, class: Option<&'static str>) -> Expected {
    Expected {
        name,
        class,
        at_the_timeout: false,
    }
}

const SERVERS: [(Behaviour, &str, Expected); 8] = [
    // A 2xx whose body reaches what is kept of it has succeeded.
    (
        Behaviour::EndlessBody,
        "http",
        ends_at_once("endless body", None),
    ),
    (
        Behaviour::LargeBody,
        "http",
        ends_at_once("50 MB body", None),
    ),
    (
        Behaviour::TricklingBody,
        "http",
        ends_at_the_timeout("trickling body"),
    ),
    (
        Behaviour::EndlessHead,
        "http",
        ends_at_once("endless head", Some("response_invalid")),
    ),
    (
        Behaviour::EndlessInterim,
        "http",
        ends_at_the_timeout("endless 100 Continue"),
    ),
    (
        Behaviour::Reset,
        "http",
        ends_at_once("reset", Some("connect")),
    ),
    (Behaviour::Silent, "http", ends_at_the_timeout("silent")),
    (
        Behaviour::Silent,
        "https",
        ends_at_the_timeout("silent TLS"),
    ),
];

const REDIRECT: Expected = ends_at_once("redirect", Some("http_status"));

async fn hostile_receivers_are_felt_by_nobody_else((): ()) -> Result<()> {
    let settings = [
        ("POSTRIDER_DELIVERY_TIMEOUT", "2s"),
        // One attempt each, and no rest for the dispatcher.
        ("POSTRIDER_RETRY_SCHEDULE", "1h"),
        ("POSTRIDER_BREAKER_FAILURES", "0"),
    ];
    let world = World::start(Mode::Processes, &settings).await?;
    let healthy: Vec<String> = (0..HEALTHY).map(|n| format!("healthy-{n}")).collect();
    for path in &healthy {
        world.endpoint(ACCOUNT, path, json!({})).await?;
    }
    let warm_up = Load::run(&world, ACCOUNT, PER_SECOND, TIME / 4).await?;
    let before = world.deployment.resident_bytes("dispatcher").await?;
    let quiet = settled(&world, &healthy, warm_up.0.len(), &warm_up).await?;

    let (mut servers, mut hostile) = (Vec::new(), Vec::new());
    for (behaviour, scheme, expected) in SERVERS {
        let server = Hostile::start(behaviour).await?;
        let id = world
            .endpoint_at(ACCOUNT, &server.url(scheme), json!({}))
            .await?;
        servers.push(server);
        hostile.push((id, expected));
    }
    let elsewhere = world.receiver.url("elsewhere");
    let redirect = Answer::status(307).header("location", &elsewhere);
    world.receiver.script("redirect", [redirect]);
    let id = world.endpoint(ACCOUNT, "redirect", json!({})).await?;
    hostile.push((id, REDIRECT));

    let load = Load::start(&world, ACCOUNT, PER_SECOND).await?;
    let mut most = before;
    for _ in 0..TIME.as_millis() / 100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        most = most.max(world.deployment.resident_bytes("dispatcher").await?);
    }
    let published = load.stop().await?;
    let all = warm_up.0.len() + published.0.len();
    let crowded = settled(&world, &healthy, all, &published).await?;
    println!("healthy without them: {quiet}");
    println!("healthy beside them: {crowded}");
    let events: Vec<String> = warm_up.ids().into_iter().chain(published.ids()).collect();
    for path in &healthy {
        each_once(&world.receiver.received(path), &events)?;
    }
    for (id, expected) in &hostile {
        ends_as_expected(&world, id, *expected, published.0.len()).await?;
    }
    ensure!(
        world.receiver.received("elsewhere").is_empty(),
        "a redirect was followed"
    );
    most = most.max(world.deployment.resident_bytes("dispatcher").await?);
    let grown = most.saturating_sub(before);
    println!(
        "the dispatcher's memory: {} MiB before, {} MiB more at most",
        before >> 20,
        grown >> 20
    );
    ensure!(grown < MOST_MEMORY, "{grown} bytes more");
    world.is_well()
}

/// Everything has arrived everywhere, promptly; the longest of each.
async fn settled(
    world: &World,
    paths: &[String],
    count: usize,
    published: &crate::load::Published,
) -> Result<String> {
    let mut told = String::new();
    for path in paths {
        let received = world.receiver.wait_for(path, count, LIMIT).await?;
        let latencies = published.latencies(&received)?;
        ensure!(
            latencies.longest() < Duration::from_secs(2),
            "{path}: {latencies}"
        );
        told = latencies.to_string();
    }
    Ok(told)
}

async fn ends_as_expected(
    world: &World,
    endpoint: &str,
    expected: Expected,
    count: usize,
) -> Result<()> {
    let name = expected.name;
    let stats = format!("/v1/accounts/{ACCOUNT}/endpoints/{endpoint}/stats");
    eventually("every attempt has ended", LIMIT, || async {
        let stats = world.api.get(&stats).await?;
        let ended = if expected.class.is_none() {
            "successful"
        } else {
            "retrying"
        };
        ensure!(stats[ended] == count, "{name}: {stats}");
        Ok(())
    })
    .await?;
    let attempts = world.api.attempts(ACCOUNT, endpoint).await?;
    ensure!(!attempts.is_empty(), "{name}: no attempts");
    let mut longest = 0;
    for attempt in &attempts {
        let class = expected.class.map_or(Value::Null, Value::from);
        ensure!(
            attempt["failure_class"] == class && attempt["number"] == 1,
            "{name}: {attempt}"
        );
        let duration = attempt["duration_ms"].as_u64().context("a duration")?;
        let least = if expected.at_the_timeout {
            TIMEOUT_MS - 100
        } else {
            0
        };
        let limits = least..=TIMEOUT_MS + LATENESS_MS;
        ensure!(limits.contains(&duration), "{name}: {attempt}");
        longest = longest.max(duration);
    }
    println!(
        "{name}: {} attempts seen, the longest {longest} ms",
        attempts.len()
    );
    Ok(())
}

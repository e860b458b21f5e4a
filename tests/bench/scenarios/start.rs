//! Start-up with many endpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::api;
use proto::v1::CreateEndpointRequest;
use tokio::task::JoinSet;

use crate::meter::{Meter, load_average};
use crate::options::Options;
use crate::outcome::Outcome;
use crate::world::{Setup, World};

const ENDPOINTS: u32 = 100_000;

/// Accounts that share them.
const ACCOUNTS: u32 = 1_000;

/// Calls under way while they are registered.
const CALLS: usize = 32;

/// A start may take so long.
const LIMIT: Duration = Duration::from_secs(120);

pub(super) async fn run(options: Options) -> Result<Vec<Outcome>> {
    let setup = Setup::STANDALONE_1S;
    let mut outcome = Outcome::new("start-100k", setup.name(), load_average());
    let world = World::start(&options, setup, &[]).await?;
    let deployment = &world.deployment;
    let empty = restart(&world).await?;
    let endpoints = options.scaled(ENDPOINTS);
    let started = Instant::now();
    register(&world, endpoints).await?;
    let registering = started.elapsed().as_secs_f64();
    let full = restart(&world).await?;
    // Its own beginning: the processes are new.
    let usage = Meter::start(deployment).await?.usage(deployment).await?;
    outcome.figure("endpoints", endpoints.into(), "");
    outcome.figure(
        "registered over gRPC",
        f64::from(endpoints) / registering,
        "/s",
    );
    outcome.figure("ready after, without endpoints", empty.as_secs_f64(), "s");
    outcome.figure("ready after, with them", full.as_secs_f64(), "s");
    outcome.memory(&usage);
    outcome.errors(deployment)?;
    Ok(vec![outcome])
}

/// Stops it and starts it again; how long the start took until it was ready.
async fn restart(world: &World) -> Result<Duration> {
    world.deployment.terminate("standalone")?;
    let started = Instant::now();
    world.deployment.start_process("standalone").await?;
    world.deployment.process_ready("standalone", LIMIT).await?;
    Ok(started.elapsed())
}

/// Through EndpointService, as a platform would.
async fn register(world: &World, count: u32) -> Result<()> {
    let client = api::endpoints(&world.deployment.grpc("control"), world.api.key()).await?;
    let next = Arc::new(AtomicU32::default());
    let url = world.sink.url("start");
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let (mut client, next, url) = (client.clone(), Arc::clone(&next), url.clone());
        calls.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(());
                }
                let request = CreateEndpointRequest {
                    account: format!("account-{}", number % ACCOUNTS),
                    url: format!("{url}/{number}"),
                    description: "one of many".to_owned(),
                    event_types: vec!["message.report".to_owned()],
                    ..CreateEndpointRequest::default()
                };
                client.create_endpoint(request).await?;
            }
        });
    }
    while let Some(ended) = calls.join_next().await {
        ended??;
    }
    Ok(())
}

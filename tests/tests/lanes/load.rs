//! Events at a steady rate, and how long they took.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::api;
use harness::receiver::Received;
use proto::v1::PublishEventRequest;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::world::{REPORT, World, event_of};

/// Publishes [`REPORT`]s until it is stopped.
pub(crate) struct Load {
    stop: CancellationToken,
    publishing: JoinHandle<Result<Published>>,
}

/// What was accepted: each event and when it was handed in.
#[derive(Debug, Default)]
pub(crate) struct Published(pub(crate) Vec<(String, Instant)>);

impl Load {
    pub(crate) async fn start(world: &World, account: &str, per_second: u32) -> Result<Self> {
        let url = world.deployment.grpc("ingest");
        let client = api::ingest(&url, world.api.key()).await?;
        let account = account.to_owned();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let publishing = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_secs(1) / per_second);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            // A slow answer must not slow the next one down.
            let mut calls = JoinSet::new();
            while !stopped.is_cancelled() {
                ticks.tick().await;
                let request = PublishEventRequest {
                    account: account.clone(),
                    r#type: REPORT.to_owned(),
                    object: "{}".into(),
                    ..PublishEventRequest::default()
                };
                let mut client = client.clone();
                calls.spawn(async move {
                    let at = Instant::now();
                    let answer = client.publish_event(request).await?;
                    Ok::<_, Status>((answer.into_inner().id, at))
                });
            }
            let published: Result<Vec<_>, Status> = calls.join_all().await.into_iter().collect();
            Ok(Published(published?))
        });
        Ok(Self { stop, publishing })
    }

    pub(crate) async fn stop(self) -> Result<Published> {
        self.stop.cancel();
        self.publishing.await?
    }

    /// For so long.
    pub(crate) async fn run(
        world: &World,
        account: &str,
        per_second: u32,
        time: Duration,
    ) -> Result<Published> {
        let load = Self::start(world, account, per_second).await?;
        tokio::time::sleep(time).await;
        load.stop().await
    }
}

impl Published {
    pub(crate) fn ids(&self) -> Vec<String> {
        self.0.iter().map(|(id, _)| id.clone()).collect()
    }

    /// From publishing to arrival, sorted; all must have arrived.
    pub(crate) fn latencies(&self, received: &[Received]) -> Result<Latencies> {
        let mut arrivals: HashMap<String, Instant> = HashMap::new();
        for one in received {
            arrivals.entry(event_of(one)).or_insert(one.at);
        }
        let latency = |(id, at): &(String, Instant)| {
            let arrived = arrivals.get(id).context("an event has not arrived")?;
            Ok(arrived.saturating_duration_since(*at))
        };
        let latencies: Result<Vec<Duration>> = self.0.iter().map(latency).collect();
        let mut latencies = latencies?;
        ensure!(!latencies.is_empty(), "nothing was published");
        latencies.sort_unstable();
        Ok(Latencies(latencies))
    }
}

pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    pub(crate) fn longest(&self) -> Duration {
        self.0[self.0.len() - 1]
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let p99 = self.0[(self.0.len() - 1) * 99 / 100];
        let (median, longest) = (self.median(), self.longest());
        let milliseconds = |time: Duration| time.as_secs_f64() * 1_000.0;
        write!(
            f,
            "p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms of {}",
            milliseconds(median),
            milliseconds(p99),
            milliseconds(longest),
            self.0.len()
        )
    }
}

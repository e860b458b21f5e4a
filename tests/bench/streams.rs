//! Events at fixed rates, side by side.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;

use crate::arrivals::Latencies;
use crate::outcome::{Outcome, Target};
use crate::publish::Publisher;
use crate::world::World;

/// Events of one publisher, and the group of endpoints that is watched.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    pub(crate) publisher: &'a Publisher,
    pub(crate) per_second: u32,
    /// `None`: what becomes of them is not waited for.
    pub(crate) watched: Option<Watched>,
}

/// A group that gets every event of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched {
    pub(crate) group: &'static str,
    pub(crate) endpoints: u32,
}

/// What has not come so long after the last event was published counts as
/// never.
const LIMIT: Duration = Duration::from_secs(60);

/// Publishes all streams for so many seconds and waits until the watched
/// groups have got everything, or for [`LIMIT`]. The sink holds only this
/// then. The latencies are those of the watched groups, in the order of the
/// streams.
///
/// # Errors
///
/// When the sink or a process has ended.
pub(crate) async fn side_by_side(
    world: &mut World,
    streams: &[Stream<'_>],
    seconds: u32,
) -> Result<Vec<Latencies>> {
    world.sink.reset().await?;
    go_on(world, streams, seconds).await
}

/// The same with what the sink holds already, which is none of the streams'.
///
/// # Errors
///
/// When the sink or a process has ended.
pub(crate) async fn go_on(
    world: &mut World,
    streams: &[Stream<'_>],
    seconds: u32,
) -> Result<Vec<Latencies>> {
    let publishing = streams.iter().map(|stream| {
        let count = stream.per_second * seconds;
        stream.publisher.paced(stream.per_second, count)
    });
    try_join_all(publishing).await?;
    let watched = || {
        streams.iter().filter_map(|stream| {
            let watched = stream.watched?;
            let deliveries = stream.per_second * seconds * watched.endpoints;
            Some((watched, deliveries as usize))
        })
    };
    let end = Instant::now() + LIMIT;
    for (watched, deliveries) in watched() {
        let left = end.saturating_duration_since(Instant::now());
        world
            .arrived_within(watched.group, deliveries, left)
            .await?;
    }
    let arrivals = world.sink.arrivals().await?;
    let latencies = watched().map(|(watched, deliveries)| {
        let latencies = arrivals.latencies(watched.group);
        latencies.of_expected(deliveries)
    });
    Ok(latencies.collect())
}

/// Adds a group's latencies without and with what disturbs it.
pub(crate) fn compare(
    outcome: &mut Outcome,
    group: &str,
    without: &Latencies,
    with: &Latencies,
    most: f64,
) {
    for (name, latencies) in [("without", without), ("with", with)] {
        for (percentile, part) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let figure = format!("{group}, {percentile} {name}");
            outcome.figure(figure, latencies.percentile_ms(part), "ms");
        }
        let missing = latencies.missing() as f64;
        outcome.figure(format!("{group}, missing {name}"), missing, "");
    }
    let ratio = with.percentile_ms(0.99) / without.percentile_ms(0.99);
    let name = format!("{group}, p99 with / without");
    outcome.against(name, ratio, "", Target::AtMost(most));
}

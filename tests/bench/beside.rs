//! Live events of two accounts, whose latency shows what something else costs
//! them: one that shares its account with it, and another.

use anyhow::Result;

use crate::arrivals::Latencies;
use crate::outcome::Outcome;
use crate::publish::Publisher;
use crate::streams::{Stream, Watched, compare};
use crate::world::World;

pub(crate) const EVENT_TYPE: &str = "message.report";
pub(crate) const OTHER_ACCOUNT: &str = "bystander";

pub(crate) const SAME_PER_SECOND: u32 = 50;
pub(crate) const OTHER_PER_SECOND: u32 = 20;

/// The p99 may grow by this factor.
pub(crate) const MOST: f64 = 1.5;

/// One endpoint of the other account.
pub(crate) const OTHER: Watched = Watched {
    group: "other",
    endpoints: 1,
};

/// Publishers of both, with endpoints that work.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) same: Publisher,
    pub(crate) other: Publisher,
    healthy: Watched,
}

impl Beside {
    /// Registers the endpoints of both, and warms them up.
    ///
    /// # Errors
    ///
    /// When they do not get their first events.
    pub(crate) async fn start(world: &mut World, account: &str, healthy: u32) -> Result<Self> {
        let healthy = Watched {
            group: "healthy",
            endpoints: healthy,
        };
        Ok(Self {
            same: live(world, account, healthy).await?,
            other: live(world, OTHER_ACCOUNT, OTHER).await?,
            healthy,
        })
    }

    /// The events of both: [`SAME_PER_SECOND`] and [`OTHER_PER_SECOND`].
    pub(crate) const fn streams(&self) -> [Stream<'_>; 2] {
        [
            Stream {
                publisher: &self.same,
                per_second: SAME_PER_SECOND,
                watched: Some(self.healthy),
            },
            Stream {
                publisher: &self.other,
                per_second: OTHER_PER_SECOND,
                watched: Some(OTHER),
            },
        ]
    }
}

/// Registers a group's endpoints, warms them up, and gives their publisher.
///
/// # Errors
///
/// When they do not get their first events.
pub(crate) async fn live(world: &mut World, account: &str, group: Watched) -> Result<Publisher> {
    let endpoints = world
        .endpoints(account, group.group, EVENT_TYPE, group.endpoints)
        .await?;
    let publisher = world.publisher(account, &[EVENT_TYPE.to_owned()]).await?;
    world.warm_up(&publisher, group.group, &endpoints).await?;
    Ok(publisher)
}

/// Adds the latencies of both, without and with what disturbs them, in the order
/// of [`Beside::streams`].
pub(crate) fn compare_both(outcome: &mut Outcome, without: &[Latencies], with: &[Latencies]) {
    compare(outcome, "same account", &without[0], &with[0], MOST);
    compare(outcome, "other account", &without[1], &with[1], MOST);
}

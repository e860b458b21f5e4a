//! Which partitions this process works on: it announces itself, holds leases
//! for those that fall to it, and lets go of the others.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use broker::lease::{Lease, Leases};
use domain::{Partition, Partitions, rendezvous};
use futures::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::lease::Deadline;
use crate::metrics::Metrics;
use crate::partition::{Shared, Tenure};

/// A lease is renewed when this part of it has passed.
const RENEW_AFTER: u32 = 3;
/// Looks at members and leases in the time of one lease.
const LOOKS: u32 = 10;
const LONGEST_LOOK: Duration = Duration::from_secs(1);
const LONGEST_CALL: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);
/// Others take so long to connect again after an outage.
const OTHERS_CONNECT: Duration = Duration::from_secs(1);

/// How partitions come to this process.
#[derive(Debug)]
pub(crate) struct Ownership {
    /// This process's name among the members.
    pub(crate) name: String,
    pub(crate) leases: Leases,
    pub(crate) duration: Duration,
    /// What others hold is void.
    pub(crate) is_alone: bool,
    pub(crate) partitions: Partitions,
    pub(crate) shared: Shared,
    /// Set when the first round is through.
    pub(crate) has_begun: watch::Sender<bool>,
    pub(crate) metrics: Metrics,
}

/// A partition that is this process's, or was a moment ago.
#[derive(Debug)]
struct Owned {
    lease: Lease,
    renewed_at: Instant,
    deadline: Deadline,
    leave: CancellationToken,
    lost: CancellationToken,
    work: tokio::task::Id,
}

impl Ownership {
    /// Runs until `shutdown` is cancelled; then lets go of each partition as
    /// soon as nothing of it is under way.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        if self.is_alone && !self.void_leases(&shutdown).await {
            return;
        }
        let mut owned: HashMap<Partition, Owned> = HashMap::new();
        let mut tenures: JoinSet<()> = JoinSet::new();
        let mut look = interval(self.look());
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut announced_at: Option<Instant> = None;
        let mut leaving = false;
        let mut outages = Outages {
            connections: self.shared.broker.connections_made(),
            last_end: None,
            // They announce themselves at a look, behind a last call that is in vain.
            others_first: OTHERS_CONNECT + self.look() + self.longest_call(),
        };
        loop {
            tokio::select! {
                () = shutdown.cancelled(), if !leaving => {
                    leaving = true;
                    self.bounded("withdraw", self.leases.withdraw()).await;
                    owned.values().for_each(|one| one.leave.cancel());
                }
                Some(ended) = tenures.join_next_with_id() => {
                    self.ended(ended, &mut owned).await;
                }
                _ = look.tick() => {
                    if !leaving && is_due(announced_at, self.duration) {
                        let at = Instant::now();
                        if self.bounded("announce", self.leases.announce()).await.is_some() {
                            if announced_at.is_some_and(|last| last.elapsed() > self.duration) {
                                outages.ended();
                            }
                            announced_at = Some(at);
                        }
                    }
                    self.renew(&mut owned).await;
                    if !leaving {
                        self.rebalance(&mut owned, &mut tenures, &mut outages).await;
                    }
                }
            }
            self.metrics.owned(owned.len(), self.partitions);
            if leaving && tenures.is_empty() {
                return;
            }
        }
    }

    /// Gives whether it could, before the shutdown.
    async fn void_leases(&self, shutdown: &CancellationToken) -> bool {
        let void = async {
            let broker = &self.shared.broker;
            while self
                .bounded("void leases", broker.void_leases())
                .await
                .is_none()
            {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = void => true,
            () = shutdown.cancelled() => false,
        }
    }

    /// Renews what is due; what cannot be renewed is kept until its deadline.
    async fn renew(&self, owned: &mut HashMap<Partition, Owned>) {
        let due = owned
            .values_mut()
            .filter(|one| is_due(Some(one.renewed_at), self.duration));
        let renewals = due.map(|one| async {
            let at = Instant::now();
            match self.bounded("renew", self.leases.renew(&one.lease)).await {
                Some(Some(lease)) => {
                    one.deadline.move_to(lease.deadline().into_std());
                    one.lease = lease;
                    one.renewed_at = at;
                }
                Some(None) => {
                    warn!(partition = %one.lease.partition(), "the lease was lost");
                    self.metrics.lease("lost");
                    one.deadline.expire();
                    one.lost.cancel();
                }
                None if !one.deadline.holds(Instant::now()) && !one.lost.is_cancelled() => {
                    warn!(partition = %one.lease.partition(), "the lease ran out");
                    self.metrics.lease("expired");
                    one.lost.cancel();
                }
                None => {}
            }
        });
        join_all(renewals).await;
    }

    /// Leaves what falls to others, and acquires what falls to this process.
    async fn rebalance(
        &self,
        owned: &mut HashMap<Partition, Owned>,
        tenures: &mut JoinSet<()>,
        outages: &mut Outages,
    ) {
        let Some(members) = self.bounded("list members", self.leases.members()).await else {
            return;
        };
        if !members.contains(&self.name) {
            return;
        }
        let is_ours =
            |partition| rendezvous::owner(&members, partition) == Some(self.name.as_str());
        for (partition, one) in owned.iter() {
            if !is_ours(*partition) && !one.leave.is_cancelled() {
                info!(%partition, "the partition goes to another dispatcher");
                one.leave.cancel();
            }
        }
        // Asked after the members: they may have been listed right after an outage.
        if outages.are_recent(self.shared.broker.connections_made()) && !self.is_alone {
            return;
        }
        let wanted = self
            .partitions
            .iter()
            .filter(|partition| is_ours(*partition) && !owned.contains_key(partition));
        let acquired = join_all(wanted.map(|partition| async move {
            self.bounded("acquire", self.leases.acquire(partition))
                .await
                .flatten()
        }))
        .await;
        for lease in acquired.into_iter().flatten() {
            self.begin(lease, owned, tenures);
        }
        self.has_begun.send_replace(true);
    }

    fn begin(
        &self,
        lease: Lease,
        owned: &mut HashMap<Partition, Owned>,
        tenures: &mut JoinSet<()>,
    ) {
        let partition = lease.partition();
        let deadline = Deadline::new(lease.deadline().into_std());
        let tenure = Tenure {
            partition,
            epoch: lease.epoch(),
            deadline: deadline.clone(),
            leave: CancellationToken::new(),
            lost: CancellationToken::new(),
        };
        debug!(%partition, epoch = lease.epoch(), "the partition is this dispatcher's");
        self.metrics.lease("acquired");
        let (leave, lost) = (tenure.leave.clone(), tenure.lost.clone());
        let shared = self.shared.clone();
        let work = tenures.spawn(tenure.run(shared)).id();
        let one = Owned {
            lease,
            renewed_at: Instant::now(),
            deadline,
            leave,
            lost,
            work,
        };
        owned.insert(partition, one);
    }

    /// A partition was let go of; its lease is free for the next owner.
    async fn ended(
        &self,
        ended: Result<(tokio::task::Id, ()), tokio::task::JoinError>,
        owned: &mut HashMap<Partition, Owned>,
    ) {
        let work = match ended {
            Ok((work, ())) => work,
            Err(error) => {
                error!(%error, "the work on a partition panicked");
                error.id()
            }
        };
        let found = owned.iter().find(|(_, one)| one.work == work);
        let Some(partition) = found.map(|(partition, _)| *partition) else {
            return;
        };
        if let Some(one) = owned.remove(&partition) {
            one.deadline.expire();
            self.shared.conductor.lost(partition).await;
            if !one.lost.is_cancelled() {
                self.bounded("release", self.leases.release(&one.lease))
                    .await;
                self.metrics.lease("released");
            }
        }
    }

    /// Between two looks at members and leases.
    fn look(&self) -> Duration {
        (self.duration / LOOKS).min(LONGEST_LOOK)
    }

    fn longest_call(&self) -> Duration {
        (self.duration / RENEW_AFTER).min(LONGEST_CALL)
    }

    /// The result, if it comes in time and without an outage.
    async fn bounded<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, broker::Error>>,
    ) -> Option<T> {
        match timeout(self.longest_call(), call).await {
            Ok(Ok(value)) => Some(value),
            Ok(Err(error)) => {
                debug!(%error, "cannot {what} now");
                None
            }
            Err(_) => {
                debug!("cannot {what} in time");
                None
            }
        }
    }
}

/// When the broker was away, as far as this process noticed.
#[derive(Debug)]
struct Outages {
    /// Connections that were made by then.
    connections: u64,
    last_end: Option<Instant>,
    /// How long after one nothing is acquired: all who were there before are back by
    /// then, and who owns what stays as it was.
    others_first: Duration,
}

impl Outages {
    /// The broker answers again.
    fn ended(&mut self) {
        self.last_end = Some(Instant::now());
    }

    /// Whether others may still be cut off. A connection that is not the one of before
    /// ends an outage too.
    fn are_recent(&mut self, connections: u64) -> bool {
        if self.connections != connections {
            self.connections = connections;
            self.ended();
        }
        self.last_end
            .is_some_and(|end| end.elapsed() < self.others_first)
    }
}

fn is_due(last: Option<Instant>, duration: Duration) -> bool {
    last.is_none_or(|last| last.elapsed() >= duration / RENEW_AFTER)
}

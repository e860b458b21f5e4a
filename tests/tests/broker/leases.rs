//! Leases: one owner at a time, and an end that needs nobody.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use broker::{Broker, Lease, Leases};
use domain::Partition;
use harness::suite::Scenario;
use harness::wait::eventually;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::world::{PATIENCE, World, figure};

const SECOND: Duration = Duration::from_secs(1);
/// A lease ends so long after its duration at most: the server looks for what
/// has ended every 250 ms, and this machine may be busy.
const LATE: Duration = Duration::from_millis(750);

pub(crate) fn scenarios() -> Vec<Scenario<World>> {
    harness::scenarios![
        two_owners_never_hold_a_lease_at_once,
        ends_without_renewal,
        renewals_keep_it,
        release_hands_over_at_once,
        a_late_release_leaves_the_lease_of_another,
        a_renewal_whose_outcome_is_unknown_is_found_stored,
        a_renewal_after_the_end_is_told_so,
        an_acquisition_whose_outcome_is_unknown_begins_anew,
        survives_a_kill_of_the_server,
        voiding_frees_everything,
        epochs_grow_whatever_empties_the_bucket_before_a_kill,
        members_come_go_and_end,
        an_owner_that_cannot_be_a_key_is_refused,
    ]
}

/// When somebody believed to be the owner.
#[derive(Debug)]
struct Held {
    epoch: u64,
    from: Instant,
    until: Instant,
}

async fn two_owners_never_hold_a_lease_at_once(world: World) -> Result<()> {
    let partition = world.partition();
    let end = Instant::now() + 8 * SECOND;
    let mut owners = JoinSet::new();
    for owner in 0..4_usize {
        let leases = leases(&world.connect().await?, &format!("owner-{owner}"), 1);
        owners.spawn(contend(leases, owner, partition, end));
    }
    let mut held: Vec<Held> = Vec::new();
    while let Some(theirs) = owners.join_next().await {
        held.extend(theirs??);
    }
    held.sort_by_key(|held| held.epoch);
    for pair in held.windows(2) {
        let [before, after] = pair else { continue };
        ensure!(before.epoch < after.epoch, "an epoch came twice: {pair:?}");
        ensure!(before.until <= after.from, "two owners at once: {pair:?}");
    }
    ensure!(held.len() > 8, "it changed hands {} times only", held.len());
    figure("changes of the owner in 8 s", held.len());
    Ok(())
}

/// Takes it, renews it some times, then either gives it back or goes silent.
async fn contend(
    leases: Leases,
    owner: usize,
    partition: Partition,
    end: Instant,
) -> Result<Vec<Held>> {
    let mut held = Vec::new();
    let mut round = owner;
    while Instant::now() < end {
        let Some(mut lease) = leases.acquire(partition).await? else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let from = Instant::now();
        for _ in 0..round % 3 {
            sleep(Duration::from_millis(100)).await;
            lease = leases
                .renew(&lease)
                .await?
                .context("it was renewed in time")?;
        }
        let until = if round.is_multiple_of(2) {
            let until = Instant::now();
            leases.release(&lease).await?;
            until
        } else {
            lease.deadline()
        };
        held.push(Held {
            epoch: lease.epoch(),
            from,
            until,
        });
        round += 1;
        sleep_until(until + Duration::from_millis(5)).await;
    }
    Ok(held)
}

async fn ends_without_renewal(world: World) -> Result<()> {
    let other = world.connect().await?;
    for seconds in [1, 3] {
        let lease = owned(&leases(&world.broker, "first", seconds), world.partition()).await?;
        let asked = lease.deadline() - seconds * SECOND * 5 / 6;
        let second = leases(&other, "second", seconds);
        let taken = taken_over(&second, world.partition()).await?;
        let after = asked.elapsed();
        ensure!(taken.epoch() > lease.epoch());
        ensure!(after >= seconds * SECOND, "it ended after {after:?}");
        ensure!(after <= seconds * SECOND + LATE, "it ended after {after:?}");
        figure(
            &format!("takeover of a lease of {seconds} s after its owner went silent"),
            format!("{after:.3?}"),
        );
        second.release(&taken).await?;
    }
    Ok(())
}

async fn renewals_keep_it(world: World) -> Result<()> {
    let first = leases(&world.broker, "first", 1);
    let second = leases(&world.connect().await?, "second", 1);
    let mut lease = owned(&first, world.partition()).await?;
    let epoch = lease.epoch();
    let mut slowest = Duration::ZERO;
    for _ in 0..12 {
        sleep(Duration::from_millis(250)).await;
        let began = Instant::now();
        lease = first.renew(&lease).await?.context("it is renewed")?;
        slowest = slowest.max(began.elapsed());
        ensure!(lease.epoch() == epoch && lease.deadline() > Instant::now());
        ensure!(second.acquire(world.partition()).await?.is_none());
    }
    figure("slowest of 12 renewals", format!("{slowest:.3?}"));
    Ok(())
}

async fn release_hands_over_at_once(world: World) -> Result<()> {
    let first = leases(&world.broker, "first", 30);
    let second = leases(&world.connect().await?, "second", 30);
    let mut epoch = 0;
    // Again and again: the word that it was released blocks nobody.
    for _ in 0..5 {
        for (owner, next) in [(&first, &second), (&second, &first)] {
            let lease = owned(owner, world.partition()).await?;
            ensure!(lease.epoch() > epoch, "epochs grow");
            epoch = lease.epoch();
            ensure!(next.acquire(world.partition()).await?.is_none());
            owner.release(&lease).await?;
            ensure!(owner.renew(&lease).await?.is_none(), "it was given back");
        }
    }
    // That word ends too.
    sleep(2 * SECOND).await;
    let lease = owned(&second, world.partition()).await?;
    let released = Instant::now();
    second.release(&lease).await?;
    owned(&first, world.partition()).await?;
    figure(
        "hand-over by a release",
        format!("{:.3?}", released.elapsed()),
    );
    Ok(())
}

async fn a_late_release_leaves_the_lease_of_another(world: World) -> Result<()> {
    let first = leases(&world.broker, "first", 1);
    let second = leases(&world.connect().await?, "second", 1);
    let old = owned(&first, world.partition()).await?;
    let mut new = taken_over(&second, world.partition()).await?;
    first.release(&old).await?;
    ensure!(first.acquire(world.partition()).await?.is_none());
    new = second.renew(&new).await?.context("it is still there")?;
    // Also an older lease of the same owner.
    second.release(&new).await?;
    let newer = owned(&second, world.partition()).await?;
    second.release(&new).await?;
    ensure!(second.renew(&newer).await?.is_some());
    Ok(())
}

async fn a_renewal_whose_outcome_is_unknown_is_found_stored(world: World) -> Result<()> {
    let first = leases(&world.broker, "first", 3);
    let lease = owned(&first, world.partition()).await?;
    // Stored; its answer is as good as lost.
    first.renew(&lease).await?.context("it is renewed")?;
    let again = first.renew(&lease).await?.context("that was found")?;
    ensure!(again.epoch() == lease.epoch() && again.deadline() > lease.deadline());
    // The release of who heard of none of it.
    first.release(&lease).await?;
    owned(
        &leases(&world.connect().await?, "second", 3),
        world.partition(),
    )
    .await?;
    Ok(())
}

async fn a_renewal_after_the_end_is_told_so(world: World) -> Result<()> {
    let first = leases(&world.broker, "first", 1);
    let lease = owned(&first, world.partition()).await?;
    let gone = || async {
        match first.members().await? {
            _ if Instant::now() > lease.deadline() + SECOND / 6 + LATE => Ok(()),
            _ => bail!("not yet"),
        }
    };
    eventually("it has ended", PATIENCE, gone).await?;
    ensure!(first.renew(&lease).await?.is_none(), "nobody took it");
    let second = leases(&world.connect().await?, "second", 1);
    owned(&second, world.partition()).await?;
    ensure!(first.renew(&lease).await?.is_none(), "somebody took it");
    Ok(())
}

async fn an_acquisition_whose_outcome_is_unknown_begins_anew(world: World) -> Result<()> {
    let first = leases(&world.broker, "first", 3);
    let unheard = owned(&first, world.partition()).await?;
    let lease = owned(&first, world.partition()).await?;
    ensure!(lease.epoch() > unheard.epoch());
    ensure!(first.renew(&unheard).await?.is_none());
    ensure!(first.renew(&lease).await?.is_some());
    Ok(())
}

async fn survives_a_kill_of_the_server(mut world: World) -> Result<()> {
    let first = leases(&world.broker, "first", 5);
    let second = leases(&world.connect().await?, "second", 5);
    let lease = owned(&first, world.partition()).await?;
    world.nats.kill()?;
    let began = Instant::now();
    let error = first.renew(&lease).await.err();
    ensure!(error.is_some_and(|error| error.is_outage()));
    ensure!(began.elapsed() < 2 * SECOND, "a call is bounded");
    world.nats.start().await?;
    let renew = || async { first.renew(&lease).await?.context("it is there") };
    let lease = eventually("it is renewed", 3 * SECOND, renew).await?;
    ensure!(second.acquire(world.partition()).await?.is_none());
    // And one that ends while the server is away is gone when it is back.
    world.nats.kill()?;
    sleep_until(lease.deadline() + SECOND).await;
    world.nats.start().await?;
    let back = Instant::now();
    let taken = taken_over(&second, world.partition()).await?;
    ensure!(taken.epoch() > lease.epoch());
    ensure!(first.renew(&lease).await?.is_none());
    figure(
        "takeover after a restart of the server, lease ended meanwhile",
        format!("{:.3?}", back.elapsed()),
    );
    Ok(())
}

async fn voiding_frees_everything(world: World) -> Result<()> {
    let first = leases(&world.broker, "first", 30);
    first.announce().await?;
    let lease = owned(&first, world.partition()).await?;
    let successor = world.connect().await?;
    successor.void_leases().await?;
    let second = leases(&successor, "second", 30);
    ensure!(second.members().await?.is_empty());
    ensure!(owned(&second, world.partition()).await?.epoch() > lease.epoch());
    ensure!(first.renew(&lease).await?.is_none());
    Ok(())
}

async fn epochs_grow_whatever_empties_the_bucket_before_a_kill(mut world: World) -> Result<()> {
    let leases = leases(&world.broker, "first", 1);
    let mut epoch = 0;
    for round in 0..3 {
        let lease = taken_over(&leases, world.partition()).await?;
        ensure!(lease.epoch() > epoch, "round {round}");
        epoch = lease.epoch();
        match round {
            0 => world.broker.void_leases().await?,
            // The word that it was released ends, too.
            1 => {
                leases.release(&lease).await?;
                sleep(2 * SECOND).await;
            }
            _ => sleep_until(lease.deadline() + SECOND).await,
        }
        world.kill_and_restart().await?;
    }
    let lease = taken_over(&leases, world.partition()).await?;
    ensure!(lease.epoch() > epoch);
    Ok(())
}

async fn members_come_go_and_end(world: World) -> Result<()> {
    let first = leases(&world.broker, "b", 1);
    let second = leases(&world.connect().await?, "a", 2);
    ensure!(first.members().await?.is_empty());
    first.announce().await?;
    second.announce().await?;
    // A partition's lease is no member.
    owned(&first, world.partition()).await?;
    ensure!(first.members().await? == ["a", "b"]);
    let one_left = || async {
        second.announce().await?;
        let members = second.members().await?;
        ensure!(members == ["a"], "{members:?}");
        Ok(())
    };
    eventually("who is silent is gone", 2 * SECOND, one_left).await?;
    second.withdraw().await?;
    ensure!(first.members().await?.is_empty());
    Ok(())
}

async fn an_owner_that_cannot_be_a_key_is_refused(world: World) -> Result<()> {
    let leases = leases(&world.broker, "a.b", 1);
    ensure!(leases.announce().await.is_err());
    ensure!(leases.acquire(world.partition()).await.is_err());
    Ok(())
}

fn leases(broker: &Broker, owner: &str, seconds: u32) -> Leases {
    broker.leases(owner.to_owned(), seconds * SECOND)
}

/// Takes what nobody holds.
async fn owned(leases: &Leases, partition: Partition) -> Result<Lease> {
    let lease = leases.acquire(partition).await?;
    lease.with_context(|| format!("somebody holds {partition}"))
}

/// Takes what somebody holds, as soon as that is possible.
async fn taken_over(leases: &Leases, partition: Partition) -> Result<Lease> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        // While the server is away this fails.
        if let Ok(Some(lease)) = leases.acquire(partition).await {
            return Ok(lease);
        }
        sleep(Duration::from_millis(5)).await;
    }
    bail!("{partition} was not freed")
}

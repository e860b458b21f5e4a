//! Who owns which partition: leases that end by themselves, in the bucket
//! `leases`.
//!
//! The server counts a lease's time from when it stored it, the owner from
//! before it asked for that, and less of it. So the owner stops before anybody
//! else can begin, as long as both clocks run at about the same speed and the
//! owner looks at [`Lease::deadline`] before everything it starts. (The server
//! counts by its wall clock: set forward by more than the margin, it ends
//! leases that their owners learn of at the next renewal only.)

mod entry;

use std::sync::Arc;
use std::time::Duration;

use domain::Partition;
use tokio::time::{Instant, timeout};

use crate::connection::CALL_TIMEOUT;
use crate::topology::{LEASES, lease_subject, member_subject};
use crate::{Broker, Error};
use entry::{Entry, Value, read, write};

/// The part of the duration that the owner leaves unused.
const MARGIN: u32 = 6;
/// A call may take this part of the duration.
const CALL: u32 = 3;
/// How long the word stands that a partition was released.
const RELEASED_SECONDS: u64 = 1;
/// Writes of one call that may meet another revision than was read. Only what
/// this owner sent before and did not hear of can make it more than one.
const TRIES: usize = 3;

/// One dispatcher's way to own partitions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Leases {
    broker: Broker,
    owner: Arc<str>,
    duration: Duration,
}

/// A partition that is owned until a deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    partition: Partition,
    epoch: u64,
    revision: u64,
    deadline: Instant,
}

impl Lease {
    /// What is owned.
    #[must_use]
    pub const fn partition(&self) -> Partition {
        self.partition
    }

    /// The revision of the bucket with which the ownership began: greater than
    /// that of every owner before, and unchanged by renewals.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Nothing may be started from this instant on. It stands still while the
    /// machine is suspended, as the clock under it does.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Broker {
    /// Leases for `owner`, which must be another one for each run of a
    /// dispatcher: 1 to 128 of `A-Z a-z 0-9 _ -`. They live for `duration`, in
    /// whole seconds and at least one; what is shorter than a change of the
    /// bucket's leader (4 to 9 s in a cluster) is lost with it.
    #[must_use]
    pub fn leases(&self, owner: String, duration: Duration) -> Leases {
        Leases {
            broker: self.clone(),
            owner: owner.into(),
            // The server counts whole seconds, so the owner must not count on more.
            duration: Duration::from_secs(duration.as_secs().max(1)),
        }
    }

    /// Ends every lease and membership. Only for who knows that no dispatcher
    /// runs.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn void_leases(&self) -> Result<(), Error> {
        self.purge(LEASES, "$KV.leases.>".to_owned(), None).await
    }
}

impl Leases {
    /// Says that this dispatcher is there, for the duration from now.
    ///
    /// # Errors
    ///
    /// An outage, or an owner that cannot be a key.
    pub async fn announce(&self) -> Result<(), Error> {
        self.check_owner()?;
        let subject = member_subject(&self.owner);
        self.bounded(write(
            &self.broker,
            subject,
            Value::Member,
            self.duration.as_secs(),
            None,
        ))
        .await
        .map(|_| ())
    }

    /// Says that it is leaving.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn withdraw(&self) -> Result<(), Error> {
        self.check_owner()?;
        // Nobody else writes this key, so nobody's entry can be met.
        let subject = member_subject(&self.owner);
        self.bounded(self.broker.purge(LEASES, subject, None)).await
    }

    /// The dispatchers that are there, sorted.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn members(&self) -> Result<Vec<String>, Error> {
        let filter = member_subject("*");
        let subjects = self
            .bounded(self.broker.messages_of(LEASES, &filter))
            .await?;
        let prefix = member_subject("");
        let mut members: Vec<String> = subjects
            .iter()
            .filter_map(|(subject, _)| subject.strip_prefix(&prefix))
            .map(ToOwned::to_owned)
            .collect();
        members.sort();
        Ok(members)
    }

    /// Takes a partition that nobody holds, or `None`. What this owner holds
    /// already, perhaps without knowing, begins anew: its older lease is lost.
    ///
    /// # Errors
    ///
    /// An outage: it may have been taken, and asking again tells. Or an owner
    /// that cannot be a key.
    ///
    /// # Cancel safety
    ///
    /// As with an outage.
    pub async fn acquire(&self, partition: Partition) -> Result<Option<Lease>, Error> {
        self.check_owner()?;
        self.bounded(self.try_acquire(partition)).await
    }

    /// Prolongs a lease to the full duration. `None`: it has ended, and perhaps
    /// somebody else owns the partition.
    ///
    /// # Errors
    ///
    /// An outage: the lease stands as it was, and this can be tried again until
    /// its deadline.
    ///
    /// # Cancel safety
    ///
    /// As with an outage.
    pub async fn renew(&self, lease: &Lease) -> Result<Option<Lease>, Error> {
        self.bounded(self.try_renew(lease)).await
    }

    /// Gives a partition back at once, if the lease has not ended.
    ///
    /// # Errors
    ///
    /// An outage: it ends by itself.
    pub async fn release(&self, lease: &Lease) -> Result<(), Error> {
        self.bounded(async {
            let released = self.replace(lease, || Value::Nobody, RELEASED_SECONDS);
            released.await.map(|_| ())
        })
        .await
    }

    async fn try_acquire(&self, partition: Partition) -> Result<Option<Lease>, Error> {
        let subject = lease_subject(partition);
        for _ in 0..TRIES {
            let found = read(&self.broker, &subject).await?;
            if found
                .holder
                .as_ref()
                .is_some_and(|holder| *holder.owner != *self.owner)
            {
                return Ok(None);
            }
            let value = self.value(0);
            let sent = Instant::now();
            let seconds = self.duration.as_secs();
            let expected = Some(found.revision);
            if let Some(revision) =
                write(&self.broker, subject.clone(), value, seconds, expected).await?
            {
                return Ok(Some(self.lease(partition, revision, revision, sent)));
            }
        }
        Err(Error::unavailable("the lease keeps changing"))
    }

    async fn try_renew(&self, lease: &Lease) -> Result<Option<Lease>, Error> {
        let value = || self.value(lease.epoch);
        let replaced = self.replace(lease, value, self.duration.as_secs()).await?;
        Ok(replaced
            .map(|(revision, sent)| self.lease(lease.partition, lease.epoch, revision, sent)))
    }

    /// Writes in the place of a lease that has not ended. Returns the new
    /// revision and when it was asked for; `None` if the lease has ended.
    async fn replace(
        &self,
        lease: &Lease,
        value: impl Fn() -> Value,
        seconds: u64,
    ) -> Result<Option<(u64, Instant)>, Error> {
        let subject = lease_subject(lease.partition);
        let mut expected = lease.revision;
        for _ in 0..TRIES {
            let sent = Instant::now();
            let written = write(
                &self.broker,
                subject.clone(),
                value(),
                seconds,
                Some(expected),
            );
            if let Some(revision) = written.await? {
                return Ok(Some((revision, sent)));
            }
            // A renewal may have been stored without the answer reaching us.
            let found: Entry = read(&self.broker, &subject).await?;
            if !found.is_held_by(&self.owner, lease.epoch) {
                return Ok(None);
            }
            expected = found.revision;
        }
        Err(Error::unavailable("the lease keeps changing"))
    }

    fn value(&self, epoch: u64) -> Value {
        let owner = self.owner.to_string();
        Value::Lease { owner, epoch }
    }

    fn lease(&self, partition: Partition, epoch: u64, revision: u64, sent: Instant) -> Lease {
        Lease {
            partition,
            epoch,
            revision,
            deadline: sent + self.duration - self.duration / MARGIN,
        }
    }

    async fn bounded<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout(CALL_TIMEOUT.min(self.duration / CALL), call)
            .await
            .map_err(|_| Error::unavailable("no answer in time"))?
    }

    fn check_owner(&self) -> Result<(), Error> {
        if is_key(&self.owner) {
            return Ok(());
        }
        let owner = &self.owner;
        Err(Error::Refused(format!("{owner:?} cannot own a lease")))
    }
}

fn is_key(owner: &str) -> bool {
    (1..=128).contains(&owner.len())
        && owner
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_one_token_of_a_subject() {
        assert!(is_key("dispatcher-0_2f6b"));
        for wrong in ["", "a.b", "a b", "*", ">", "a\r\n", &"a".repeat(129)] {
            assert!(!is_key(wrong), "{wrong:?}");
        }
    }
}

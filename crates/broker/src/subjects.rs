//! What stands under the subjects of a stream.

use domain::Partition;
use futures::TryStreamExt as _;
use tokio::time::timeout;

use crate::connection::CALL_TIMEOUT;
use crate::topology::{
    DELIVERIES, PARKED, RETRIES, delivery_subject, parked_of_partition, retry_due_subject,
};
use crate::{Broker, Error};

impl Broker {
    /// Messages (lists of up to 128 deliveries) of these partitions that are
    /// due: waiting for a dispatcher or in work.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn ready(
        &self,
        partitions: impl IntoIterator<Item = Partition>,
    ) -> Result<u64, Error> {
        let wanted: Vec<String> = partitions
            .into_iter()
            .flat_map(|partition| [delivery_subject(partition), retry_due_subject(partition)])
            .collect();
        let first = self.messages_of(DELIVERIES, "deliver.*").await?;
        let due = self.messages_of(RETRIES, "retry.due.*").await?;
        let wanted = first
            .into_iter()
            .chain(due)
            .filter(|(subject, _)| wanted.contains(subject));
        Ok(wanted.map(|(_, count)| count).sum())
    }

    /// Messages (lists of up to 128 deliveries) that are parked in these
    /// partitions. Costs a look at every endpoint that has any.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn parked_messages(
        &self,
        partitions: impl IntoIterator<Item = Partition>,
    ) -> Result<u64, Error> {
        let mut sum = 0;
        for partition in partitions {
            let counts = self
                .messages_of(PARKED, &parked_of_partition(partition))
                .await?;
            sum += counts.iter().map(|(_, count)| count).sum::<u64>();
        }
        Ok(sum)
    }

    /// The subjects of a stream that match `filter` and hold messages, and how
    /// many each holds.
    pub(crate) async fn messages_of(
        &self,
        stream: &str,
        filter: &str,
    ) -> Result<Vec<(String, u64)>, Error> {
        let count = async {
            let stream = self
                .jetstream
                .get_stream_no_info(stream)
                .await
                .map_err(Error::unavailable)?;
            let subjects = stream
                .info_with_subjects(filter)
                .await
                .map_err(Error::unavailable)?;
            let counts = subjects.map_ok(|(subject, count)| {
                // The library's count is as wide as the machine.
                (subject, u64::try_from(count).unwrap_or(u64::MAX))
            });
            counts.try_collect().await.map_err(Error::unavailable)
        };
        timeout(CALL_TIMEOUT, count)
            .await
            .map_err(|_| Error::unavailable("no answer in time"))?
    }

    /// Removes what stands under a subject, all of it or up to a sequence.
    pub(crate) async fn purge(
        &self,
        stream: &str,
        subject: String,
        through: Option<u64>,
    ) -> Result<(), Error> {
        let purge = async {
            let stream = self
                .jetstream
                .get_stream_no_info(stream)
                .await
                .map_err(Error::unavailable)?;
            let purge = stream.purge().filter(subject);
            let purged = match through {
                // The server's bound is the first that stays.
                Some(through) => purge.sequence(through + 1).await,
                None => purge.await,
            };
            purged.map(|_| ()).map_err(Error::unavailable)
        };
        timeout(CALL_TIMEOUT, purge)
            .await
            .map_err(|_| Error::unavailable("no answer in time"))?
    }
}

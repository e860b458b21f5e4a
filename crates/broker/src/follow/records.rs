//! Reading ATTEMPTS.

use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::Bytes;
use domain::{Partition, Record, Timestamp};
use tokio::time::{sleep, timeout};
use tracing::{debug, error};

use super::{CALL, FIRST_PAUSE, Followed, Follower, LONGEST_PAUSE, Start, Step};
use crate::consume::decode_records;
use crate::log::rewritten_from;
use crate::topology::{ATTEMPTS, record_subject};
use crate::{Broker, Error};

/// Lists of up to 256 KiB that wait for the reader of a tail.
const TAIL_BATCH: usize = 16;

/// Follows ATTEMPTS.
#[derive(Debug)]
pub struct RecordFollower {
    follower: Follower,
    /// Where it began to read.
    began_after: u64,
}

impl RecordFollower {
    /// The next records and how far the stream has been read with them. Each
    /// time reading begins, also after an outage, this comes once with no
    /// records. What was stored before it began and is rewritten since is not
    /// shown as new; what was stored later, and rewritten, may come twice.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn next(&mut self) -> (u64, Vec<Record>) {
        match self.follower.next().await {
            Step::Opened { after, .. } => (after, Vec::new()),
            Step::Message(followed) => {
                let rewritten = rewritten_from(followed.headers.as_ref());
                if rewritten.is_some_and(|sequence| sequence <= self.began_after) {
                    return (followed.sequence, Vec::new());
                }
                (followed.sequence, decode(followed))
            }
        }
    }
}

/// What a partition recorded lately, up to its present end.
#[derive(Debug)]
pub struct RecentRecords {
    follower: Follower,
    /// The sequence of the end.
    last: u64,
    is_done: bool,
}

impl RecentRecords {
    /// The next records; `None` at the end. Waits out outages.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn next(&mut self) -> Option<Vec<Record>> {
        while !self.is_done {
            match self.follower.next().await {
                Step::Opened { pending, .. } => self.is_done = pending == 0,
                Step::Message(followed) => {
                    // The end itself may have left the stream meanwhile.
                    self.is_done = followed.sequence >= self.last || followed.pending == 0;
                    return Some(decode(followed));
                }
            }
        }
        None
    }
}

impl Broker {
    /// Follows what is recorded after a sequence, in one partition or in all, for
    /// a reader that may be slow: little is kept for it here.
    #[must_use]
    pub fn tail_records(&self, after: u64, partition: Option<Partition>) -> RecordFollower {
        let follower = Follower::new(self, ATTEMPTS.to_owned(), Start::After(after));
        let subject = partition.map(record_subject).unwrap_or_default();
        RecordFollower {
            follower: follower.only(subject).in_batches_of(TAIL_BATCH),
            began_after: after,
        }
    }

    /// What is recorded in a partition from `since` on, up to the last record
    /// that is stored now; for who takes the partition over. Waits out outages.
    pub async fn recent_records(&self, partition: Partition, since: Timestamp) -> RecentRecords {
        let subject = record_subject(partition);
        let last = self.last_of_subject(&subject).await;
        let follower = Follower::new(self, ATTEMPTS.to_owned(), Start::Since(since));
        RecentRecords {
            follower: follower.only(subject),
            last,
            is_done: last == 0,
        }
    }

    /// The sequence of the last message of ATTEMPTS, 0 if there never was one.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn last_record_sequence(&self) -> Result<u64, Error> {
        self.last_sequence(ATTEMPTS).await
    }

    /// The sequence of the last record under a subject, 0 if there is none.
    /// The stream's leader answers, so that nothing is missed.
    async fn last_of_subject(&self, subject: &str) -> u64 {
        let mut pause = FIRST_PAUSE;
        loop {
            let asked = async {
                let stream = self.jetstream.get_stream_no_info(ATTEMPTS).await;
                let stream = stream.map_err(Error::unavailable)?;
                match stream.get_last_raw_message_by_subject(subject).await {
                    Ok(message) => Ok(message.sequence),
                    Err(error)
                        if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) =>
                    {
                        Ok(0)
                    }
                    Err(error) => Err(Error::unavailable(error)),
                }
            };
            match timeout(CALL, asked).await {
                Ok(Ok(sequence)) => return sequence,
                Ok(Err(error)) => debug!(%error, subject, "cannot ask for the last record yet"),
                Err(_) => debug!(subject, "asking for the last record took too long"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn decode(followed: Followed) -> Vec<Record> {
    let (sequence, payload): (u64, Bytes) = (followed.sequence, followed.payload);
    decode_records(payload).unwrap_or_else(|error| {
        error!(%error, sequence, "records cannot be read");
        Vec::new()
    })
}

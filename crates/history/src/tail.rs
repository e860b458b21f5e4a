//! Attempts as they are recorded, read from ATTEMPTS by a reader of each tail's
//! own: recording neither knows of it nor waits for it. A slow client reads on
//! later from where it was; a cursor is a place in the stream, the same for
//! every history process.

mod turns;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use broker::RecordFollower;
use domain::key::Need;
use domain::{AccountId, EndpointId, Outcome, Problem, Reason, Record};
use futures::stream::{self, Stream, StreamExt as _};
use proto::status::from_problem;
use proto::v1::TailAttemptsResponse;
use tokio::time::sleep;
use tonic::Status;

pub(crate) use turns::Turns;

use crate::service::broker_down;
use crate::{Shared, convert};

/// A new leader of the stream may be so much behind in what it tells of it.
const LEADER: Duration = Duration::from_secs(1);

/// What a client gets until it leaves or the process ends.
pub(crate) type Tail = Pin<Box<dyn Stream<Item = Result<TailAttemptsResponse, Status>> + Send>>;

/// What is to be tailed.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) account: AccountId,
    pub(crate) endpoint: Option<EndpointId>,
    /// `None`: from now on.
    pub(crate) place: Option<Place>,
    /// The caller's key, which may end before the tail.
    pub(crate) token: String,
}

/// A place in ATTEMPTS: so many records of this message have been read, and all
/// before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    sequence: u64,
    records: usize,
}

impl Place {
    /// Behind a message.
    const fn behind(sequence: u64) -> Self {
        Self {
            sequence,
            records: usize::MAX,
        }
    }

    /// Reads a cursor.
    pub(crate) fn parse(cursor: &str) -> Result<Self, Problem> {
        let parts = cursor.split_once('-').and_then(|(sequence, records)| {
            let sequence = u64::from_str_radix(sequence, 16).ok()?;
            let records = usize::from_str_radix(records, 16).ok()?;
            Some(Self { sequence, records })
        });
        parts.ok_or_else(|| {
            let message =
                "use the cursor of a message of this stream, or leave it out to begin now";
            Problem::of_field(Reason::RequestMalformed, "cursor", message)
        })
    }

    fn cursor(self) -> String {
        format!("{:x}-{:x}", self.sequence, self.records)
    }
}

async fn last_sequence(shared: &Shared) -> Result<u64, Problem> {
    let last = shared.deps.broker.last_record_sequence().await;
    last.map_err(|_| broker_down())
}

/// Refuses a place that the stream has not come to: of another one, or made up. A
/// tail from there would tell nothing, perhaps for ever.
async fn check_is_there(shared: &Shared, place: Place) -> Result<(), Problem> {
    if place.sequence <= last_sequence(shared).await? {
        return Ok(());
    }
    sleep(LEADER).await;
    if place.sequence <= last_sequence(shared).await? {
        return Ok(());
    }
    let message = "nothing is recorded there yet, so it is no cursor of this stream; use one of \
                   its messages', or leave it out to begin now";
    Err(Problem::of_field(
        Reason::RequestMalformed,
        "cursor",
        message,
    ))
}

/// Begins a tail.
pub(crate) async fn begin(shared: &Arc<Shared>, asked: Asked) -> Result<Tail, Problem> {
    let turn = shared.tails.take(&asked.account)?;
    let place = match asked.place {
        Some(place) => {
            check_is_there(shared, place).await?;
            place
        }
        None => Place::behind(last_sequence(shared).await?),
    };
    let partition = asked
        .endpoint
        .map(|endpoint| shared.config.partitions.of(endpoint));
    // The message of the place comes again, for what was not read of it.
    let after = place.sequence.saturating_sub(1);
    let first = TailAttemptsResponse {
        attempt: None,
        cursor: place.cursor(),
    };
    let reader = Reader {
        follower: shared.deps.broker.tail_records(after, partition),
        shared: Arc::clone(shared),
        asked,
        place,
        read: VecDeque::from([first]),
        _turn: turn,
    };
    let messages = stream::try_unfold(reader, |mut reader| async move {
        let next = reader.next().await?;
        Ok(Some((next, reader)))
    });
    let ending = shared.ending.clone().cancelled_owned();
    Ok(Box::pin(messages.take_until(ending)))
}

struct Reader {
    shared: Arc<Shared>,
    asked: Asked,
    follower: RecordFollower,
    place: Place,
    /// At most the attempts of one message.
    read: VecDeque<TailAttemptsResponse>,
    _turn: turns::Turn,
}

impl Reader {
    async fn next(&mut self) -> Result<TailAttemptsResponse, Status> {
        while self.read.is_empty() {
            let (sequence, records) = self.follower.next().await;
            self.check_key().await?;
            self.take(sequence, &records);
        }
        // Never empty here.
        self.read
            .pop_front()
            .ok_or_else(|| Status::internal("there is nothing to tell"))
    }

    /// A key that was revoked sees nothing more.
    async fn check_key(&self) -> Result<(), Status> {
        let now = SystemTime::now().into();
        let identity = self.shared.deps.keys.authenticate(&self.asked.token, now);
        let allowed = match identity.await {
            Ok(identity) => identity.authorise(&self.asked.account, Need::Read),
            Err(problem) => Err(problem),
        };
        allowed.map_err(|problem| from_problem(&problem))
    }

    fn take(&mut self, sequence: u64, records: &[Record]) {
        let done = if sequence == self.place.sequence {
            self.place.records
        } else {
            0
        };
        for (index, record) in records.iter().enumerate().skip(done) {
            let Outcome::Attempt(attempt) = &record.outcome else {
                continue;
            };
            if !self.is_asked_for(record) {
                continue;
            }
            let place = Place {
                sequence,
                records: index + 1,
            };
            self.read.push_back(TailAttemptsResponse {
                attempt: Some(convert::recorded_attempt(record, attempt)),
                cursor: place.cursor(),
            });
        }
    }

    fn is_asked_for(&self, record: &Record) -> bool {
        let asked = &self.asked;
        let of_account = record.account == asked.account;
        let of_endpoint = asked.endpoint.is_none_or(|id| id == record.endpoint_id);
        // A deleted one's attempts are invisible.
        of_account && of_endpoint && self.shared.deps.endpoints.get(record.endpoint_id).is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_place() {
        let place = Place {
            sequence: 0xabc,
            records: 17,
        };
        assert_eq!(Place::parse(&place.cursor()).unwrap(), place);
        let end = Place::behind(7);
        assert_eq!(Place::parse(&end.cursor()).unwrap(), end);
        for wrong in ["", "12", "x-1", "1-", "1-2-3"] {
            let problem = Place::parse(wrong).unwrap_err();
            assert_eq!(problem.fields[0].field, "cursor", "{wrong}");
        }
    }
}

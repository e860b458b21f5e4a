//! A piece of the work on one erasure. All of it can be done again.

use std::time::{Duration, Instant};

use broker::{Contents, Log, Place, Stored};
use domain::{AcceptedEvent, AccountId, ErasureId, ErasureMark, ErasureScope, EventId, Timestamp};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use store::{Erased, ErasureRow, Error};
use tracing::debug;
use uuid::Uuid;

use super::progress::{Phase, Progress};
use super::scrub::Scrub;
use super::start::CLOCKS;
use crate::Shared;
use crate::jobs::now;

/// What somebody held in memory when something was marked has been told after
/// this: a mark reaches every dispatcher in milliseconds, an event is stored or
/// refused within 5 s, and a transaction ends within 8 s.
const GRACE: Duration = Duration::from_secs(10);
/// A piece begins while a step has taken less than this.
const STEP: Duration = Duration::from_millis(1_500);
/// Messages are stored a little later than their events are accepted, and by
/// another clock.
const SLACK: Duration = Duration::from_secs(600);
/// By tag: events that are younger than this when the erasure is asked for are found
/// in EVENTS alone, where their places tell which were published before. So clocks may
/// differ by as much.
const RECENT: Duration = Duration::from_secs(60);
/// Events of a piece, and lists: a list has up to 128 items.
const EVENTS: usize = 256;
const LISTS: usize = 64;
/// Events of which rows are erased in a piece.
const ROWS: i64 = 32;
/// Messages that are replaced, or marks that are told, at once.
const AT_ONCE: usize = 16;

pub(super) struct Step<'a> {
    shared: &'a Shared,
    id: ErasureId,
    account: AccountId,
    scope: ErasureScope,
    created_at: Timestamp,
    progress: Progress,
    gone: Erased,
}

impl<'a> Step<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        id: ErasureId,
        row: &ErasureRow,
        progress: Progress,
    ) -> Result<Self, Error> {
        let account = AccountId::parse(&row.account);
        Ok(Self {
            shared,
            id,
            account: account.map_err(|problem| Error::Refused(problem.detail))?,
            scope: row.scope()?,
            created_at: Timestamp::from_unix_millis(row.created_at),
            progress,
            gone: Erased::default(),
        })
    }

    /// How far it is then, and what is gone. An outage after some pieces only
    /// ends the step.
    pub(super) async fn run(mut self) -> Result<(Progress, Erased), Error> {
        let began = Instant::now();
        self.remember_marks().await?;
        let mut pieces = 0;
        while !self.progress.is_done() && began.elapsed() < STEP {
            match self.piece().await {
                Ok(true) => pieces += 1,
                Ok(false) => break,
                Err(error) if pieces > 0 => {
                    debug!(%error, id = %self.id, "an erasure pauses");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok((self.progress, self.gone))
    }

    /// Marks of a step whose end was not written down: the events they are of may be
    /// gone from EVENTS, and are not found there again.
    async fn remember_marks(&mut self) -> Result<(), Error> {
        if self.progress.phase != Phase::Mark && self.progress.earliest.is_none() {
            let earliest = self.shared.deps.store.earliest_marked(self.id).await?;
            if let Some(earliest) = earliest {
                self.progress.marked(earliest, now());
            }
        }
        Ok(())
    }

    /// Whether there was anything to do now.
    async fn piece(&mut self) -> Result<bool, Error> {
        match self.progress.phase {
            Phase::Mark => self.mark_what_is_recorded().await?,
            Phase::Stream(place) => self.stream(place).await?,
            Phase::Rows => return self.rows().await,
            Phase::Done => return Ok(false),
        }
        Ok(true)
    }

    async fn mark_what_is_recorded(&mut self) -> Result<(), Error> {
        let store = &self.shared.deps.store;
        match &self.scope {
            ErasureScope::Event(event) => {
                let event = *event;
                if let Some(at) = store.accepted_at(&self.account, event).await? {
                    self.mark(&[(event, at)]).await?;
                }
            }
            ErasureScope::Tag { name, value } => {
                if self.progress.events_until.is_none() {
                    let last = self.shared.deps.broker.last_stored(Log::Events).await;
                    self.progress.events_until = Some(last.map_err(outage)?);
                }
                let (at, id) = self.progress.last;
                let after = (Timestamp::from_unix_millis(at), Uuid::from_bytes(id));
                let before = self.created_at.minus(RECENT);
                let limit = EVENTS as i64;
                let found = store
                    .tagged(&self.account, (name, value), after, before, limit)
                    .await?;
                let found: Vec<(EventId, Timestamp)> =
                    found.into_iter().map(|(at, id)| (id, at)).collect();
                self.mark(&found).await?;
                if let Some((id, at)) = found.last()
                    && found.len() == EVENTS
                {
                    self.progress.last = (at.unix_millis(), *id.as_bytes());
                    return Ok(());
                }
            }
            ErasureScope::Account => {
                let mark = ErasureMark {
                    id: ErasureMark::of_account(&self.account),
                    accepted_before: self.of_account_before(),
                };
                self.tell(&[mark]).await?;
                self.progress.marked(Timestamp::from_unix_millis(0), now());
            }
            // Its row in SQL marks it.
            ErasureScope::Endpoint(_) => {
                let beginning = Timestamp::from_unix_millis(0);
                self.progress.marked(beginning, now());
            }
        }
        self.progress.begin_round(now());
        Ok(())
    }

    /// Of an account, what was accepted before this is meant.
    fn of_account_before(&self) -> Timestamp {
        self.created_at.plus(CLOCKS)
    }

    /// Marks events, with when each was accepted.
    async fn mark(&mut self, events: &[(EventId, Timestamp)]) -> Result<(), Error> {
        let mark = |(id, at): &(EventId, Timestamp)| ErasureMark::event(*id, *at);
        let marks: Vec<ErasureMark> = events.iter().map(mark).collect();
        self.tell(&marks).await?;
        for (_, at) in events {
            self.progress.marked(*at, now());
        }
        Ok(())
    }

    /// Dispatchers first: what SQL knows to be erased is sent by nobody.
    async fn tell(&self, marks: &[ErasureMark]) -> Result<(), Error> {
        let broker = &self.shared.deps.broker;
        let told: Vec<_> = marks.iter().map(|mark| broker.mark_erased(*mark)).collect();
        let told = stream::iter(told)
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await;
        told.map_err(outage)?;
        let store = &self.shared.deps.store;
        store.mark_erased(self.id, marks, now()).await
    }

    /// Looks through some more of a stream.
    async fn stream(&mut self, place: usize) -> Result<(), Error> {
        let log = Log::ALL[place];
        let broker = &self.shared.deps.broker;
        let end = match self.progress.end {
            Some(end) => end,
            None => broker.last_stored(log).await.map_err(outage)?,
        };
        self.progress.end = Some(end);
        let (of, max) = match log {
            Log::Events => (Some(&self.account), EVENTS),
            _ => (None, LISTS),
        };
        let messages = match self.begins(log, place) {
            Some(begin) => broker.stored(log, of, begin, max).await.map_err(outage)?,
            None => Vec::new(),
        };
        if log == Log::Events {
            self.mark_those_of(&messages).await?;
        }
        let scrub = Scrub::of(self.shared, &messages).await?;
        let scrubbed = messages
            .iter()
            .map(|message| scrub.message(self.shared, message));
        let scrubbed: Vec<_> = scrubbed.collect();
        let scrubbed = stream::iter(scrubbed).buffer_unordered(AT_ONCE).try_fold(
            0,
            |sum, changed| async move { Ok(sum + i64::from(changed)) },
        );
        self.gone.messages += scrubbed.await?;
        // No further than what was read: a replica that lags may have less, and the
        // next round goes on from there.
        let is_through = match messages.last() {
            Some(last) => {
                self.progress.through[place] = last.sequence;
                last.sequence >= end || self.is_past(log, last)
            }
            None => true,
        };
        if is_through {
            self.progress.enter(match place + 1 {
                next if next < Log::ALL.len() => Phase::Stream(next),
                _ => Phase::Rows,
            });
        }
        Ok(())
    }

    /// Where to go on in a stream; `None`: nothing of it can stand there.
    fn begins(&self, log: Log, place: usize) -> Option<Place> {
        let through = self.progress.through[place];
        match (&self.scope, log) {
            // EVENTS names no endpoints.
            (ErasureScope::Endpoint(_), Log::Events) => None,
            _ if through > 0 => Some(Place::After(through)),
            (ErasureScope::Event(event), Log::Events) => Some(match made_at(*event) {
                Some(at) => Place::Since(at.minus(SLACK)),
                None => Place::After(0),
            }),
            // One that is not recorded yet may have it.
            (ErasureScope::Tag { .. }, Log::Events) => Some(Place::After(0)),
            _ => {
                let earliest = Timestamp::from_unix_millis(self.progress.earliest?);
                Some(Place::Since(earliest.minus(SLACK)))
            }
        }
    }

    /// Whether a message is of a later time than anything that is looked for.
    fn is_past(&self, log: Log, message: &Stored) -> bool {
        let ErasureScope::Event(event) = &self.scope else {
            return false;
        };
        let made = made_at(*event).filter(|_| log == Log::Events);
        made.is_some_and(|at| message.stored_at > at.plus(SLACK))
    }

    /// Marks those of the events that are meant and may not be recorded.
    async fn mark_those_of(&mut self, messages: &[Stored]) -> Result<(), Error> {
        let event = |message: &Stored| match &message.contents {
            Contents::Event(event) if self.means(event, message.sequence) => {
                Some((event.id, event.accepted_at))
            }
            _ => None,
        };
        let meant: Vec<_> = messages.iter().filter_map(event).collect();
        if !meant.is_empty() {
            self.progress.found_late();
        }
        self.mark(&meant).await
    }

    fn means(&self, event: &AcceptedEvent, sequence: u64) -> bool {
        match &self.scope {
            ErasureScope::Event(id) => event.id == *id,
            ErasureScope::Tag { name, value } => {
                let is_early = Some(sequence) <= self.progress.events_until;
                is_early && event.tags.as_map().get(name) == Some(value)
            }
            // The account's mark covers its events.
            ErasureScope::Account | ErasureScope::Endpoint(_) => false,
        }
    }

    /// Erases some more rows. When there are none left, all is looked at again,
    /// once nobody can hold anything of it any more; whether that is so now.
    async fn rows(&mut self) -> Result<bool, Error> {
        if self.erase_rows().await? {
            return Ok(true);
        }
        let safe_at = self.progress.last_marked_at().plus(GRACE);
        if self.progress.round_began_at >= safe_at.unix_millis() {
            return self.end().await;
        }
        let is_safe = now() >= safe_at;
        if is_safe {
            self.progress.begin_round(now());
        }
        Ok(is_safe)
    }

    /// It is done, unless an earlier one of the account is not: that one may have
    /// hidden from this one what it has yet to remove. Whether it is.
    async fn end(&mut self) -> Result<bool, Error> {
        let store = &self.shared.deps.store;
        if matches!(self.scope, ErasureScope::Endpoint(_)) {
            // What was deleted before has gone out of all streams with it.
            let began_at = Timestamp::from_unix_millis(self.progress.began_at);
            store.end_erasures_of_endpoints(began_at, now()).await?;
        } else if store.is_earlier_open(self.id, &self.account).await? {
            return Ok(false);
        }
        self.progress.enter(Phase::Done);
        Ok(true)
    }

    /// Whether there were any.
    async fn erase_rows(&mut self) -> Result<bool, Error> {
        let store = &self.shared.deps.store;
        match &self.scope {
            ErasureScope::Event(_) | ErasureScope::Tag { .. } => {
                let (_, after) = self.progress.last;
                let after = Uuid::from_bytes(after);
                let Some((last, gone)) = store.erase_events(self.id, after, ROWS).await? else {
                    return Ok(false);
                };
                self.gone += gone;
                self.progress.last = (0, *last.as_bytes());
                Ok(true)
            }
            ErasureScope::Account => {
                let before = self.of_account_before();
                let gone = store.erase_account(&self.account, before).await?;
                self.gone += gone;
                Ok(gone != Erased::default())
            }
            ErasureScope::Endpoint(endpoint) => {
                store.erase_endpoint(*endpoint).await?;
                Ok(false)
            }
        }
    }
}

/// When an event was accepted, as its id tells; an operational one's does not.
fn made_at(event: EventId) -> Option<Timestamp> {
    let id: Uuid = event.uuid();
    let (seconds, nanos) = id
        .get_timestamp()
        .filter(|_| id.get_version_num() == 7)?
        .to_unix();
    let millis = i64::try_from(seconds).ok()? * 1_000 + i64::from(nanos / 1_000_000);
    Some(Timestamp::from_unix_millis(millis))
}

fn outage(error: broker::Error) -> Error {
    Error::Unavailable(error.to_string())
}

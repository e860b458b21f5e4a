//! Where it all comes from, gathered into batches that are worth a transaction.

use std::collections::VecDeque;
use std::future::ready;
use std::time::Duration;

use broker::{Broker, Consumer, Input, Message};
use domain::Timestamp;
use tokio::time::{Instant, sleep_until};

/// Batches begin at least so far apart, and so many times what the last one
/// took: each writes pages anew that the one before wrote, and waits for the
/// disk, which the broker needs as well. An event or a record that comes alone
/// waits for nothing.
const APART: Duration = Duration::from_millis(50);
const TIMES: u32 = 5;
const FARTHEST: Duration = Duration::from_millis(500);

/// What ends the wait, so that no transaction takes long: so many events, lists
/// of records or bytes of both. It is half of what may be held, so that the
/// next ones are on their way meanwhile. Lists of plans come to as many and as much.
const EVENTS: usize = 1_024;
const LISTS: usize = 128;
const BYTES: usize = 4 << 20;
/// Lists that are taken at a time, of up to 128 items each.
const AT_A_TIME: usize = 16;

/// A delivery that is recorded as planned and then as attempted is written twice,
/// and the first time into the indexes of what is pending as well. So plans wait for
/// the attempts that they ask for, as long as most endpoints take to answer, and longer
/// where so much is under way that recording is behind.
const PLANS_WAIT: Duration = Duration::from_millis(500);
const PLANS_WAIT_BEHIND: Duration = Duration::from_secs(5);

/// Events, plans and records.
#[derive(Debug)]
pub(super) struct Inputs {
    events: Consumer,
    plans: Consumer,
    records: Consumer,
    gathered: Gathered,
    waiting: Waiting,
    /// When the last batch began.
    begun: Instant,
}

/// Lists of plans, and when they came.
#[derive(Debug, Default)]
struct Waiting {
    lists: VecDeque<(Instant, Message)>,
    /// When the newest record that was read was published.
    read_to: Option<Timestamp>,
}

impl Waiting {
    fn add(&mut self, more: Vec<Message>) {
        let now = Instant::now();
        self.lists
            .extend(more.into_iter().map(|message| (now, message)));
    }

    /// There is room for more.
    fn has_room(&self) -> bool {
        self.lists.len() < LISTS
    }

    /// When the first of them is to be recorded.
    fn due_at(&self) -> Option<Instant> {
        let (came, _) = self.lists.front()?;
        Some(if self.has_room() {
            *came + PLANS_WAIT
        } else {
            *came
        })
    }

    /// Takes those that have waited. With records still to be read, what counts is how
    /// far those are read.
    fn take(&mut self, records_are_read: bool) -> Vec<Message> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some((_, list)) = self.lists.front()
            && taken.len() < LISTS
            && bytes < BYTES
        {
            let has_waited = if records_are_read {
                self.due_at().is_some_and(|due| due <= Instant::now())
            } else {
                let until = list.published_at().plus(PLANS_WAIT_BEHIND);
                self.read_to.is_some_and(|read_to| until <= read_to)
            };
            if !has_waited {
                break;
            }
            if let Some((_, list)) = self.lists.pop_front() {
                bytes += list.size_bytes();
                taken.push(list);
            }
        }
        taken
    }
}

/// Messages by what they tell of.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) events: Vec<Message>,
    pub(super) plans: Vec<Message>,
    pub(super) records: Vec<Message>,
    /// What all of them carry.
    bytes: usize,
}

impl Gathered {
    fn add(&mut self, input: Input, more: Vec<Message>) {
        self.bytes += more.iter().map(Message::size_bytes).sum::<usize>();
        let messages = match input {
            Input::Plans => &mut self.plans,
            Input::Records => &mut self.records,
            _ => &mut self.events,
        };
        messages.extend(more);
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.plans.is_empty() && self.records.is_empty()
    }

    fn is_enough(&self) -> bool {
        self.events.len() >= EVENTS || self.records.len() >= LISTS || self.bytes >= BYTES
    }
}

impl Inputs {
    pub(super) fn new(broker: &Broker) -> Self {
        Self {
            events: broker.consume(Input::EventsForHistory),
            plans: broker.consume(Input::Plans),
            records: broker.consume(Input::Records),
            gathered: Gathered::default(),
            waiting: Waiting::default(),
            begun: Instant::now(),
        }
    }

    /// Waits for a message, and for others until it is time or there are
    /// enough, and gives what is there then.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn next(&mut self) -> Gathered {
        let Self {
            events,
            plans,
            records,
            gathered,
            waiting,
            begun,
        } = self;
        let distance = (begun.elapsed() * TIMES).clamp(APART, FARTHEST);
        let not_before = *begun + distance;
        while !gathered.is_enough() {
            let due = if gathered.is_empty() {
                waiting.due_at().map(|due| due.max(not_before))
            } else {
                Some(not_before)
            };
            tokio::select! {
                () = sleep_until(due.unwrap_or(not_before)), if due.is_some() => break,
                more = events.next(EVENTS) => gathered.add(Input::EventsForHistory, more),
                more = records.next(AT_A_TIME) => gathered.add(Input::Records, more),
                more = plans.next(AT_A_TIME), if waiting.has_room() => waiting.add(more),
            }
        }
        gathered.add(Input::EventsForHistory, here(events, EVENTS).await);
        let more = here(records, AT_A_TIME).await;
        let records_are_read = more.len() < AT_A_TIME;
        gathered.add(Input::Records, more);
        if waiting.has_room() {
            waiting.add(here(plans, AT_A_TIME).await);
        }
        let newest = gathered.records.iter().map(Message::published_at).max();
        waiting.read_to = waiting.read_to.max(newest);
        gathered.add(Input::Plans, waiting.take(records_are_read));
        *begun = Instant::now();
        std::mem::take(gathered)
    }
}

/// What can be had without waiting.
async fn here(consumer: &mut Consumer, max: usize) -> Vec<Message> {
    tokio::select! {
        biased;
        messages = consumer.next(max) => messages,
        () = ready(()) => Vec::new(),
    }
}

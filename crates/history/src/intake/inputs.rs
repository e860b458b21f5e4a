//! Where it all comes from, gathered into batches that are worth a transaction.

use std::collections::VecDeque;
use std::future::ready;
use std::time::Duration;

use broker::{Broker, Consumer, Input, Message};
use domain::Timestamp;
use tokio::time::{Instant, sleep_until};

/// Batches begin at least so far apart, and so many times what the last one
/// took: each writes pages anew that the one before wrote, and waits for the
/// disk, which the broker needs as well. A message that comes alone waits for
/// nothing.
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
/// and the first time into the indexes of what is pending as well. So while recording
/// is behind, plans wait for the attempts that they ask for: until records are read
/// that were published so much later.
const PLANS_WAIT: Duration = Duration::from_secs(5);

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

/// Lists of plans.
#[derive(Debug, Default)]
struct Waiting {
    lists: VecDeque<Message>,
    /// When the newest record that was read was published.
    read_to: Option<Timestamp>,
}

impl Waiting {
    fn has_room(&self) -> bool {
        self.lists.len() < LISTS
    }

    /// Takes those that need not wait any more: with all records read, all of them.
    fn take(&mut self, records_are_read: bool) -> Vec<Message> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(list) = self.lists.front()
            && taken.len() < LISTS
            && bytes < BYTES
        {
            let until = list.published_at().plus(PLANS_WAIT);
            if !records_are_read && self.read_to.is_none_or(|read_to| read_to < until) {
                break;
            }
            bytes += list.size_bytes();
            taken.extend(self.lists.pop_front());
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
            let has_some = !gathered.is_empty() || !waiting.lists.is_empty();
            tokio::select! {
                () = sleep_until(not_before), if has_some => break,
                more = events.next(EVENTS) => gathered.add(Input::EventsForHistory, more),
                more = records.next(AT_A_TIME) => gathered.add(Input::Records, more),
                more = plans.next(AT_A_TIME), if waiting.has_room() => waiting.lists.extend(more),
            }
        }
        gathered.add(Input::EventsForHistory, here(events, EVENTS).await);
        let more = here(records, AT_A_TIME).await;
        let records_are_read = more.len() < AT_A_TIME;
        gathered.add(Input::Records, more);
        if waiting.has_room() {
            waiting.lists.extend(here(plans, AT_A_TIME).await);
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

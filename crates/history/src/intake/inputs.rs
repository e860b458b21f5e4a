//! Where it all comes from, gathered into batches that are worth a transaction.

use std::collections::VecDeque;
use std::future::ready;
use std::time::Duration;

use broker::{Broker, Consumer, Input, Message};
use tokio::time::{Instant, sleep_until};

/// Batches begin at least so far apart, and so many times what the last one
/// took: each writes pages anew that the one before wrote, and waits for the
/// disk, which the broker needs as well. A message that comes alone waits for
/// nothing.
const APART: Duration = Duration::from_millis(50);
const TIMES: u32 = 5;
const FARTHEST: Duration = Duration::from_millis(500);

/// What ends the wait, so that no transaction takes long: so many events, lists
/// of a kind or bytes of anything. It is half of what may be held, so that the
/// next ones are on their way meanwhile.
const EVENTS: usize = 1_024;
const LISTS: usize = 128;
const BYTES: usize = 4 << 20;
/// Lists that are taken at a time, of up to 128 items each.
const AT_A_TIME: usize = 16;

/// A delivery that is recorded as planned and then as attempted is written twice,
/// and the first time into the indexes of what is pending as well. So plans wait for
/// the attempts that they ask for: as long as most endpoints take to answer, and
/// longer while recording is behind.
const PLANS_WAIT: Duration = Duration::from_millis(500);
const PLANS_WAIT_BEHIND: Duration = Duration::from_secs(5);

/// Events, plans and records.
#[derive(Debug)]
pub(super) struct Inputs {
    events: Consumer,
    plans: Consumer,
    records: Consumer,
    gathered: Gathered,
    /// Lists of plans, and when they came.
    waiting: VecDeque<(Instant, Message)>,
    /// When the last batch began.
    begun: Instant,
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
            waiting: VecDeque::new(),
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
            let first = waiting.front().map(|(came, _)| *came + PLANS_WAIT);
            // What is told beside a plan that has waited is recorded with it.
            let is_due = !gathered.is_empty() || first.is_some();
            let due = if gathered.is_empty() {
                first.map_or(not_before, |first| first.max(not_before))
            } else {
                not_before
            };
            tokio::select! {
                () = sleep_until(due), if is_due => break,
                more = events.next(EVENTS) => gathered.add(Input::EventsForHistory, more),
                more = records.next(AT_A_TIME) => gathered.add(Input::Records, more),
                more = plans.next(AT_A_TIME), if waiting.len() < LISTS => wait(waiting, more),
            }
        }
        gathered.add(Input::EventsForHistory, here(events, EVENTS).await);
        gathered.add(Input::Records, here(records, AT_A_TIME).await);
        if waiting.len() < LISTS {
            wait(waiting, here(plans, AT_A_TIME).await);
        }
        let is_behind = gathered.is_enough();
        let patience = if is_behind {
            PLANS_WAIT_BEHIND
        } else {
            PLANS_WAIT
        };
        let has_waited = |(came, _): &mut (Instant, Message)| came.elapsed() >= patience;
        for _ in 0..AT_A_TIME {
            let Some((_, plan)) = waiting.pop_front_if(has_waited) else {
                break;
            };
            gathered.add(Input::Plans, vec![plan]);
        }
        *begun = Instant::now();
        std::mem::take(gathered)
    }
}

fn wait(waiting: &mut VecDeque<(Instant, Message)>, more: Vec<Message>) {
    let now = Instant::now();
    waiting.extend(more.into_iter().map(|message| (now, message)));
}

/// What can be had without waiting.
async fn here(consumer: &mut Consumer, max: usize) -> Vec<Message> {
    tokio::select! {
        biased;
        messages = consumer.next(max) => messages,
        () = ready(()) => Vec::new(),
    }
}

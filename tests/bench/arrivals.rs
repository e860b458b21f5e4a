//! What the arrivals at the sink say.

use std::collections::HashSet;

use crate::sink::{Arrival, Arrivals};

/// Latencies in ascending order, in nanoseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies(Vec<u64>);

/// What never came.
const NEVER: u64 = u64::MAX;

impl Latencies {
    /// Sorts them.
    pub(crate) fn new(mut nanos: Vec<u64>) -> Self {
        nanos.sort_unstable();
        Self(nanos)
    }

    /// Fills up to `expected` with what never came, which counts as slower
    /// than all that did.
    #[must_use]
    pub(crate) fn of_expected(mut self, expected: usize) -> Self {
        let all = expected.max(self.0.len());
        self.0.resize(all, NEVER);
        self
    }

    /// How many never came.
    pub(crate) fn missing(&self) -> usize {
        self.0
            .iter()
            .rev()
            .take_while(|nanos| **nanos == NEVER)
            .count()
    }

    /// The value that `part` (0 to 1) of them do not exceed, in milliseconds;
    /// infinite if it never came, NaN if there are none.
    pub(crate) fn percentile_ms(&self, part: f64) -> f64 {
        let rank = (part * self.0.len() as f64).ceil() as usize;
        match self.0.get(rank.saturating_sub(1)) {
            Some(&NEVER) => f64::INFINITY,
            Some(nanos) => *nanos as f64 / 1e6,
            None => f64::NAN,
        }
    }
}

/// When the first was to be sent and when the last came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) first_sent_ns: u64,
    pub(crate) last_arrived_ns: u64,
}

impl Span {
    pub(crate) fn seconds(&self) -> f64 {
        self.last_arrived_ns.saturating_sub(self.first_sent_ns) as f64 / 1e9
    }
}

impl Arrivals {
    /// Those of a group: its path is `<group>/…`.
    pub(crate) fn of(&self, group: &str) -> impl Iterator<Item = &Arrival> {
        let is_of: Vec<bool> = self
            .paths
            .iter()
            .map(|path| path.split('/').next() == Some(group))
            .collect();
        self.all
            .iter()
            .filter(move |arrival| is_of[arrival.endpoint as usize])
    }

    /// The first arrival of each event at each endpoint of the group.
    pub(crate) fn firsts(&self, group: &str) -> impl Iterator<Item = &Arrival> {
        let mut seen = HashSet::new();
        self.of(group)
            .filter(move |one| seen.insert((one.endpoint, one.number)))
    }

    /// How long each event was on its way to its first arrival. Bodies that no
    /// publisher numbered are left out.
    pub(crate) fn latencies(&self, group: &str) -> Latencies {
        self.latencies_since(group, 1)
    }

    /// The same of events that were to be published at `since_ns` or later.
    pub(crate) fn latencies_since(&self, group: &str, since_ns: u64) -> Latencies {
        let numbered = self.firsts(group).filter(|one| one.sent_ns >= since_ns);
        Latencies::new(numbered.map(Arrival::latency_ns).collect())
    }

    /// `None` if nothing came.
    pub(crate) fn span(&self, group: &str) -> Option<Span> {
        Some(Span {
            first_sent_ns: self.of(group).map(|one| one.sent_ns).min()?,
            last_arrived_ns: self.of(group).map(|one| one.arrived_ns).max()?,
        })
    }

    /// The most that came to the group within any second.
    pub(crate) fn busiest_second(&self, group: &str) -> usize {
        let mut times: Vec<u64> = self.of(group).map(|one| one.arrived_ns).collect();
        times.sort_unstable();
        let mut first = 0;
        let mut most = 0;
        for (last, time) in times.iter().enumerate() {
            while time - times[first] >= 1_000_000_000 {
                first += 1;
            }
            most = most.max(last + 1 - first);
        }
        most
    }
}

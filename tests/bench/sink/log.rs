//! What came to the sink, and what it is to answer.

use std::collections::HashMap;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::now_ns;

/// What a group of endpoints answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Until the head of the answer is sent.
    pub(crate) delay: Duration,
    /// `Retry-After`, so that all come again from this instant (of the run's
    /// clock, in seconds) on, spread over so many seconds.
    pub(crate) retry_at: Option<(u64, u32)>,
}

impl Answer {
    /// What a group answers that nobody told otherwise.
    pub(crate) const OK: Self = Self {
        status: 200,
        delay: Duration::ZERO,
        retry_at: None,
    };

    /// Seconds to name in `Retry-After` to the event of this number.
    pub(crate) fn retry_after(&self, number: u32) -> Option<u64> {
        let (at, spread) = self.retry_at?;
        let due = at + u64::from(number % spread.max(1));
        Some(due.saturating_sub(now_ns() / 1_000_000_000).max(1))
    }
}

/// One request. Times are of the run's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// Which path, as an index.
    pub(crate) endpoint: u32,
    pub(crate) number: u32,
    pub(crate) sent_ns: u64,
    pub(crate) arrived_ns: u64,
}

const ARRIVAL_BYTES: usize = 24;

impl Arrival {
    fn to_bytes(self) -> [u8; ARRIVAL_BYTES] {
        let mut bytes = [0; ARRIVAL_BYTES];
        bytes[..4].copy_from_slice(&self.endpoint.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sent_ns.to_le_bytes());
        bytes[16..].copy_from_slice(&self.arrived_ns.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; ARRIVAL_BYTES]) -> Self {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        Self {
            endpoint: word(0),
            number: word(4),
            sent_ns: long(8),
            arrived_ns: long(16),
        }
    }

    /// From when it was to be published until it came.
    pub(crate) fn latency_ns(&self) -> u64 {
        self.arrived_ns.saturating_sub(self.sent_ns)
    }
}

/// All that came.
#[derive(Debug, Default, Clone)]
pub(crate) struct Arrivals {
    /// Without the slash in front.
    pub(crate) paths: Vec<String>,
    pub(crate) all: Vec<Arrival>,
}

impl Arrivals {
    /// Reads what [`Log::write`] wrote.
    ///
    /// # Errors
    ///
    /// When the file is not of that form.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)?;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (head, records) = bytes.split_at(end.context("a first line")? + 1);
        let (records, _) = records.as_chunks::<ARRIVAL_BYTES>();
        Ok(Self {
            paths: serde_json::from_slice(head)?,
            all: records.iter().map(Arrival::from_bytes).collect(),
        })
    }
}

#[derive(Debug, Default)]
struct Memory {
    arrivals: Arrivals,
    indices: HashMap<String, u32>,
    /// By group.
    counts: HashMap<String, usize>,
    answers: HashMap<String, Answer>,
}

/// Behind one lock, which is held for less than a microsecond.
#[derive(Debug, Default)]
pub(super) struct Log(Mutex<Memory>);

impl Log {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().expect("no panic holds it")
    }

    /// Notes a request and says what to answer; `None` is 200 at once.
    pub(super) fn note(&self, path: &str, number: u32, sent_ns: u64) -> Option<Answer> {
        let path = path.trim_start_matches('/');
        let group = group(path);
        let arrived_ns = now_ns();
        let memory = &mut *self.lock();
        let endpoint = match memory.indices.get(path) {
            Some(index) => *index,
            None => memory.add(path),
        };
        memory.arrivals.all.push(Arrival {
            endpoint,
            number,
            sent_ns,
            arrived_ns,
        });
        *memory.counts.get_mut(group).expect("added with its path") += 1;
        memory.answers.get(group).copied()
    }

    pub(super) fn set_answer(&self, group: &str, answer: Answer) {
        self.lock().answers.insert(group.to_owned(), answer);
    }

    pub(super) fn count(&self, group: &str) -> usize {
        self.lock().counts.get(group).copied().unwrap_or_default()
    }

    pub(super) fn reset(&self) {
        let memory = &mut *self.lock();
        memory.arrivals.all.clear();
        memory.counts.values_mut().for_each(|count| *count = 0);
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let arrivals = self.lock().arrivals.clone();
        let mut file = BufWriter::new(std::fs::File::create(path)?);
        serde_json::to_writer(&mut file, &arrivals.paths)?;
        file.write_all(b"\n")?;
        for arrival in &arrivals.all {
            file.write_all(&arrival.to_bytes())?;
        }
        file.flush()?;
        Ok(())
    }
}

impl Memory {
    fn add(&mut self, path: &str) -> u32 {
        let index = u32::try_from(self.indices.len()).expect("fewer paths");
        self.indices.insert(path.to_owned(), index);
        self.counts.entry(group(path).to_owned()).or_default();
        self.arrivals.paths.push(path.to_owned());
        index
    }
}

/// A path's first part.
pub(super) fn group(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

//! What the processes hold: memory and file handles, over time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::deployment::Deployment;
use tokio::task::JoinSet;

/// A process may grow by so much: caches fill, histories of ten minutes too.
const MEMORY_GROWTH: f64 = 1.5;
const MEMORY_SLACK: u64 = 64 << 20;
const HANDLES_GROWTH: f64 = 1.5;
const HANDLES_SLACK: u64 = 64;

const INTERVAL: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
struct Footprint {
    at: Instant,
    memory_bytes: u64,
    handles: u64,
}

/// Of every kind of process, in the order they were taken.
type Taken = BTreeMap<String, Vec<Footprint>>;

/// Taken again and again for as long as this lives.
#[derive(Debug)]
pub(crate) struct Footprints {
    began: Instant,
    taken: Arc<Mutex<Taken>>,
    _task: JoinSet<()>,
}

impl Footprints {
    pub(crate) fn watch(deployment: Arc<Deployment>) -> Self {
        let taken: Arc<Mutex<Taken>> = Arc::default();
        let mut task = JoinSet::new();
        task.spawn(take(deployment, Arc::clone(&taken)));
        Self {
            began: Instant::now(),
            taken,
            _task: task,
        }
    }

    /// Prints and judges them: the last third of the time against the middle one.
    /// The first is for filling caches.
    pub(crate) fn report(&self) -> Result<()> {
        let third = self.began.elapsed() / 3;
        let (first_end, middle_end) = (self.began + third, self.began + 2 * third);
        let taken = self.taken.lock().expect("no panic holds it");
        let mut grown = Vec::new();
        println!(
            "{:<12} {:>14} {:>14} {:>9} {:>9}",
            "", "middle MB", "last MB", "middle", "last"
        );
        for (name, all) in taken.iter() {
            let between = |from, to| {
                let inside = all.iter().filter(|one| (from..to).contains(&one.at));
                largest(inside).with_context(|| format!("no look at {name}"))
            };
            let middle = between(first_end, middle_end)?;
            let last = between(middle_end, Instant::now())?;
            println!(
                "{name:<12} {:>14} {:>14} {:>9} {:>9}",
                middle.memory_bytes >> 20,
                last.memory_bytes >> 20,
                middle.handles,
                last.handles
            );
            let memory = (middle.memory_bytes as f64 * MEMORY_GROWTH) as u64 + MEMORY_SLACK;
            let handles = (middle.handles as f64 * HANDLES_GROWTH) as u64 + HANDLES_SLACK;
            if last.memory_bytes > memory || last.handles > handles {
                grown.push(name.as_str());
            }
        }
        ensure!(grown.is_empty(), "these have grown: {grown:?}");
        Ok(())
    }
}

async fn take(deployment: Arc<Deployment>, taken: Arc<Mutex<Taken>>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let ids = deployment.process_ids().await;
        let mut taken = taken.lock().expect("no panic holds it");
        for (name, id) in ids.into_iter().flatten() {
            // What ends at this moment is looked at the next time.
            if let Ok(found) = footprint(id) {
                taken.entry(name).or_default().push(found);
            }
        }
    }
}

fn largest<'a>(all: impl Iterator<Item = &'a Footprint>) -> Option<Footprint> {
    all.copied().reduce(|largest, one| Footprint {
        at: one.at,
        memory_bytes: largest.memory_bytes.max(one.memory_bytes),
        handles: largest.handles.max(one.handles),
    })
}

fn footprint(process: u32) -> Result<Footprint> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: u64 = line
        .and_then(|line| line.split_whitespace().next())
        .unwrap_or("0")
        .parse()?;
    let handles = std::fs::read_dir(format!("/proc/{process}/fd"))?.count();
    Ok(Footprint {
        at: Instant::now(),
        memory_bytes: kilobytes << 10,
        handles: handles as u64,
    })
}

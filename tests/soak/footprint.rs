//! What the processes hold: memory and file handles, over time.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use harness::deployment::Deployment;

/// A process may grow by so much: caches fill, histories of ten minutes too.
const MEMORY_GROWTH: f64 = 1.5;
const MEMORY_SLACK: u64 = 64 << 20;
const HANDLES_GROWTH: f64 = 1.5;
const HANDLES_SLACK: u64 = 64;

#[derive(Debug, Clone, Copy)]
struct Footprint {
    memory_bytes: u64,
    handles: u64,
}

/// Of every kind of process, in the order they were taken.
#[derive(Debug, Default)]
pub(crate) struct Footprints(BTreeMap<String, Vec<Footprint>>);

impl Footprints {
    pub(crate) async fn take(&mut self, deployment: &Deployment) -> Result<()> {
        for (name, id) in deployment.process_ids().await? {
            // What ends at this moment is looked at the next time.
            if let Ok(found) = footprint(id) {
                self.0.entry(name).or_default().push(found);
            }
        }
        Ok(())
    }

    /// Prints and judges them: the last third against the middle one. The first
    /// is for filling caches.
    pub(crate) fn report(&self) -> Result<()> {
        let mut grown = Vec::new();
        println!(
            "{:<12} {:>14} {:>14} {:>9} {:>9}",
            "", "middle MB", "last MB", "middle", "last"
        );
        for (name, all) in &self.0 {
            let third = all.len() / 3;
            let middle = largest(&all[third..2 * third]);
            let last = largest(&all[2 * third..]);
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

fn largest(all: &[Footprint]) -> Footprint {
    let none = Footprint {
        memory_bytes: 0,
        handles: 0,
    };
    all.iter().fold(none, |largest, one| Footprint {
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
        memory_bytes: kilobytes << 10,
        handles: handles as u64,
    })
}

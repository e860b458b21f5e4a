//! What the server's processes use: CPU time, memory, disk.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use harness::deployment::Deployment;
use rustix::param::clock_ticks_per_second;

/// Everything but the publisher and the sink, from now on.
#[derive(Debug)]
pub(crate) struct Meter {
    cpu_at_start: BTreeMap<(String, u32), f64>,
    disk_at_start: Disk,
}

/// What one process used.
#[derive(Debug, Clone)]
pub(crate) struct Usage {
    pub(crate) process: String,
    pub(crate) cpu_seconds: f64,
    /// PostgreSQL: the sum of its processes' share, at the end.
    pub(crate) peak_memory_bytes: u64,
}

/// Bytes on disk.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Disk {
    pub(crate) jetstream_bytes: u64,
    pub(crate) database_bytes: u64,
}

impl Meter {
    /// Begins.
    ///
    /// # Errors
    ///
    /// When a process is gone.
    pub(crate) async fn start(deployment: &Deployment) -> Result<Self> {
        let mut cpu_at_start = BTreeMap::new();
        for (name, id) in deployment.process_ids().await? {
            let cpu = cpu_of(&name, id)?;
            cpu_at_start.insert((name, id), cpu);
        }
        Ok(Self {
            cpu_at_start,
            disk_at_start: disk(deployment),
        })
    }

    /// What was used since the start. A process that was started since counts
    /// from its own beginning.
    ///
    /// # Errors
    ///
    /// When a process is gone.
    pub(crate) async fn usage(&self, deployment: &Deployment) -> Result<Vec<Usage>> {
        let mut usage = Vec::new();
        for (process, id) in deployment.process_ids().await? {
            let key = (process, id);
            let before = self.cpu_at_start.get(&key).copied().unwrap_or_default();
            let cpu_seconds = cpu_of(&key.0, id)? - before;
            usage.push(Usage {
                cpu_seconds,
                peak_memory_bytes: memory_of(&key.0, id)?,
                process: key.0,
            });
        }
        Ok(usage)
    }

    /// What came to the disk since the start.
    pub(crate) fn disk(&self, deployment: &Deployment) -> Disk {
        let now = disk(deployment);
        let before = self.disk_at_start;
        Disk {
            jetstream_bytes: now.jetstream_bytes.saturating_sub(before.jetstream_bytes),
            database_bytes: now.database_bytes.saturating_sub(before.database_bytes),
        }
    }
}

/// User and system time of a process, without its children.
///
/// # Errors
///
/// When it is gone.
pub(crate) fn cpu_seconds(id: u32) -> Result<f64> {
    Ok(ticks(id)?.0)
}

/// Own time, and that of children that have ended and were waited for.
fn ticks(id: u32) -> Result<(f64, f64)> {
    let path = format!("/proc/{id}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    // The name in parentheses may hold spaces; the state follows it.
    let (_, fields) = text.rsplit_once(')').context("a name")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let seconds = |from: usize| -> Result<f64> {
        let ticks = fields[from].parse::<u64>()? + fields[from + 1].parse::<u64>()?;
        Ok(ticks as f64 / clock_ticks_per_second() as f64)
    };
    Ok((seconds(11)?, seconds(13)?))
}

fn children(id: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let text = text.unwrap_or_default();
    let ids = text.split_whitespace().filter_map(|id| id.parse().ok());
    ids.collect()
}

fn cpu_of(name: &str, id: u32) -> Result<f64> {
    let (own, ended_children) = ticks(id)?;
    if name != "postgres" {
        return Ok(own);
    }
    // A child that ends meanwhile is counted by its parent then.
    let living: f64 = children(id)
        .into_iter()
        .filter_map(|child| cpu_seconds(child).ok())
        .sum();
    Ok(own + ended_children + living)
}

fn memory_of(name: &str, id: u32) -> Result<u64> {
    if name != "postgres" {
        return kilobytes(&format!("/proc/{id}/status"), "VmHWM:");
    }
    let ids = std::iter::once(id).chain(children(id));
    let shares = ids.filter_map(|id| kilobytes(&format!("/proc/{id}/smaps_rollup"), "Pss:").ok());
    Ok(shares.sum())
}

/// A line of the form `<name> 123 kB`, in bytes.
fn kilobytes(path: &str, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    let number: u64 = number
        .with_context(|| format!("{name} in {path}"))?
        .parse()?;
    Ok(number * 1_024)
}

fn disk(deployment: &Deployment) -> Disk {
    let database = deployment.database_paths();
    Disk {
        jetstream_bytes: bytes_below(&deployment.jetstream_dir()),
        database_bytes: database.iter().map(|path| bytes_below(path)).sum(),
    }
}

/// Bytes that the files below a path take on disk. What vanishes meanwhile
/// counts as nothing.
fn bytes_below(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return 0;
    };
    if !metadata.is_dir() {
        return metadata.blocks() * 512;
    }
    let Ok(entries) = std::fs::read_dir(path) else {
        return 0;
    };
    let below = entries.filter_map(|entry| Some(bytes_below(&entry.ok()?.path())));
    below.sum()
}

/// The load average of the last minute.
pub(crate) fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_whitespace().next();
    first
        .and_then(|first| first.parse().ok())
        .unwrap_or_default()
}

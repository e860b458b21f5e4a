//! The process and its runtime, looked at when somebody collects.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use telemetry::metric;
use tokio::runtime::Handle;

/// Begins to look. Without a runtime, as in some tests, it has no metrics.
pub(super) fn observe() {
    metric::PROCESS_CPU_TIME.observe_seconds(|| {
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        Duration::try_from(spent).map_or(0.0, |spent| spent.as_secs_f64())
    });
    metric::PROCESS_MEMORY.observe(|tell| {
        if let Some(bytes) = resident_bytes() {
            tell(bytes, &[]);
        }
    });
    let Ok(runtime) = Handle::try_current() else {
        return;
    };
    let runtime = runtime.metrics();
    let look = runtime.clone();
    metric::RUNTIME_WORKERS.observe(move |tell| tell(look.num_workers() as u64, &[]));
    let look = runtime.clone();
    metric::RUNTIME_TASKS.observe(move |tell| tell(look.num_alive_tasks() as u64, &[]));
    let look = runtime.clone();
    metric::RUNTIME_QUEUE_DEPTH.observe(move |tell| tell(look.global_queue_depth() as u64, &[]));
    metric::RUNTIME_BUSY_TIME.observe_seconds(move || {
        let busy =
            (0..runtime.num_workers()).map(|worker| runtime.worker_total_busy_duration(worker));
        busy.sum::<Duration>().as_secs_f64()
    });
}

/// `None` where there is no `/proc`.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

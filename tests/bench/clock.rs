//! One clock for all processes of a run, and ticks at a fixed rate.

use std::thread::JoinHandle;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;

/// Ticks that wait for a slow taker. Past it the schedule would slip, so it
/// holds more than any scenario sends.
const MAX_WAITING: usize = 1 << 20;

/// Nanoseconds of the machine's monotonic clock, the same in every process.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).expect("the monotonic clock starts at 0");
    let nanos = u64::try_from(now.tv_nsec).expect("below a second");
    seconds * 1_000_000_000 + nanos
}

/// A number from 0 and the instant at which it was to happen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tick {
    pub(crate) number: u32,
    pub(crate) due_ns: u64,
}

/// Ticks on a schedule that waits for nobody (open loop).
#[derive(Debug)]
pub(crate) struct Ticks {
    receiver: mpsc::Receiver<Tick>,
    thread: Option<JoinHandle<()>>,
}

impl Ticks {
    /// `count` ticks, `per_second` each second, numbered from `first`. A
    /// thread keeps the time, since the runtime's timers are a millisecond
    /// coarse.
    pub(crate) fn start(first: u32, per_second: u32, count: u32) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let interval_ns = 1_000_000_000 / u64::from(per_second.max(1));
        let started = now_ns();
        let thread = std::thread::spawn(move || {
            for index in 0..count {
                let due_ns = started + u64::from(index) * interval_ns;
                std::thread::sleep(Duration::from_nanos(due_ns.saturating_sub(now_ns())));
                let number = first + index;
                if sender.blocking_send(Tick { number, due_ns }).is_err() {
                    return;
                }
            }
        });
        Self {
            receiver,
            thread: Some(thread),
        }
    }

    /// The next tick once it is due; `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<Tick> {
        self.receiver.recv().await
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        self.receiver.close();
        if let Some(thread) = self.thread.take() {
            // It ends at its next tick, and it cannot panic.
            let _ = thread.join();
        }
    }
}

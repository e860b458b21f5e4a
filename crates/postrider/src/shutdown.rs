//! Signals: the first asks for a drain, the second ends the process.

use std::convert::Infallible;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The status of a process that a second signal has ended.
const IMPATIENT: i32 = 1;

/// The signals that ask for an end.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes over SIGTERM and SIGINT.
    ///
    /// # Errors
    ///
    /// When the handlers cannot be installed.
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Cancels `shutdown` at the first signal and exits at the second. Never
    /// returns; to be dropped when the process has drained.
    pub(crate) async fn watch(mut self, shutdown: CancellationToken) -> Infallible {
        let signal = name(self.next().await);
        info!(signal, "shutting down: finishing what is under way");
        shutdown.cancel();
        let signal = name(self.next().await);
        warn!(signal, "second signal: exiting at once");
        std::process::exit(IMPATIENT);
    }

    /// Waits for one of them.
    pub(crate) async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        }
    }
}

fn name(signal: SignalKind) -> &'static str {
    match signal == SignalKind::interrupt() {
        true => "SIGINT",
        false => "SIGTERM",
    }
}

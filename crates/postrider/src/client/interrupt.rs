//! A command that its user ends.

use anyhow::Error;

use crate::shutdown::Signals;

/// Added to a signal's number, as shells tell that one ended a process.
const BY_SIGNAL: u8 = 128;

/// The user has ended a command that would have gone on. The process exits as if
/// the signal had ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted {
    /// What the process exits with.
    pub(crate) code: u8,
}

/// Waits for SIGINT or SIGTERM. Gives [`Interrupted`], or why they cannot be
/// waited for.
pub(super) async fn interruption() -> Error {
    match Signals::install() {
        Ok(mut signals) => {
            let kind = signals.next().await;
            let number = u8::try_from(kind.as_raw_value()).unwrap_or(0);
            let code = BY_SIGNAL.saturating_add(number);
            Interrupted { code }.into()
        }
        Err(error) => Error::new(error).context("cannot wait for signals"),
    }
}

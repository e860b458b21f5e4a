use std::num::NonZeroU16;

/// Why the broker did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, no answer in time, or no stream: repeat later.
    #[error("nats-server cannot take it now: {0}")]
    Unavailable(String),
    /// The address or the credentials cannot be used at all.
    #[error("cannot use the NATS address: {0}")]
    Configuration(String),
    /// Another partition count than at the first start.
    #[error(
        "the streams were made for {stored} partitions and {configured} are configured: set it back \
         to {stored}, or move what waits with `postrider migrate --repartition`"
    )]
    PartitionsChanged {
        /// As stored with the stream.
        stored: NonZeroU16,
        /// As asked for now.
        configured: NonZeroU16,
    },
    /// What waits cannot be moved to other partitions now.
    #[error(
        "{0} still runs: what waits can be moved to other partitions only while no fanout, \
         dispatcher, history and control runs"
    )]
    Busy(String),
    /// Somebody else wrote the entry since it was read.
    #[error("the entry has changed meanwhile")]
    Conflict,
    /// The server refused it for good.
    #[error("nats-server refused it: {0}")]
    Refused(String),
    /// A message of another role that cannot be read.
    #[error("a message cannot be read: {0}")]
    Decode(#[from] proto::DecodeError),
    /// The part that would have sent it has ended.
    #[error("the publisher has been shut down")]
    Closed,
}

impl Error {
    /// An outage, in the words of what met it.
    pub(crate) fn unavailable(error: impl std::fmt::Display) -> Self {
        Self::Unavailable(error.to_string())
    }

    /// Whether a repeat may succeed without anybody changing anything.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// A directory has not seen a revision in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the directory is at revision {seen} and lags behind what was asked for")]
pub struct Lagging {
    /// What it has seen.
    pub seen: u64,
}

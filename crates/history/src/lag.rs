//! How far recording is behind what has happened.

use std::time::Duration;

use broker::Input;
use store::Error;
use tokio::time::timeout;

use crate::Shared;

/// What is recorded later than this after it was told is late.
pub(crate) const LATE: Duration = Duration::from_secs(10);

/// Who waits for an answer within a step of work waits no longer.
const ASKING: Duration = Duration::from_secs(1);

impl Shared {
    /// How long ago what is recorded next was told.
    pub(crate) async fn recording_lag(&self) -> Result<Duration, Error> {
        let broker = &self.deps.broker;
        let lags = tokio::try_join!(
            broker.lag(Input::EventsForHistory),
            broker.lag(Input::Plans),
            broker.lag(Input::Records),
        );
        let (events, plans, records) =
            lags.map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(events.max(plans).max(records))
    }

    /// Whether every attempt that was told longer than `moments` ago is recorded; if
    /// nobody can say, it is not.
    pub(crate) async fn attempts_are_recorded(&self, moments: Duration) -> bool {
        let lag = timeout(ASKING, self.deps.broker.lag(Input::Records)).await;
        lag.is_ok_and(|lag| lag.is_ok_and(|lag| lag < moments))
    }

    /// What has happened is recorded, but for the last moments: 10 s at most, which
    /// dispatchers remember.
    ///
    /// # Errors
    ///
    /// An outage, or [`Error::Unavailable`] if it is not so.
    pub(crate) async fn recording_is_current(&self, moments: Duration) -> Result<(), Error> {
        let lag = self.recording_lag().await?;
        if lag < moments.min(LATE) {
            return Ok(());
        }
        let seconds = lag.as_secs();
        Err(Error::Unavailable(format!("recording is {seconds} s late")))
    }
}

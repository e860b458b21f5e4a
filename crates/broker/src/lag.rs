//! How far history is behind.

use std::time::{Duration, SystemTime};

use domain::Timestamp;
use tokio::time::timeout;

use crate::connection::CALL_TIMEOUT;
use crate::consume::Input;
use crate::direct::Place;
use crate::{Broker, Error};

impl Broker {
    /// Since when the oldest message of an input waits to be worked on; nothing
    /// if there is none.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn lag(&self, input: Input) -> Result<Duration, Error> {
        let asked = async {
            let stream = self.jetstream.get_stream_no_info(input.stream()).await;
            let stream = stream.map_err(Error::unavailable)?;
            stream
                .consumer_info(input.durable())
                .await
                .map_err(Error::unavailable)
        };
        let info = timeout(CALL_TIMEOUT, asked)
            .await
            .map_err(|_| Error::unavailable("no answer in time"))??;
        if info.num_pending == 0 && info.num_ack_pending == 0 {
            return Ok(Duration::ZERO);
        }
        let place = Place::After(info.ack_floor.stream_sequence);
        let oldest = self.read_surely(input.stream(), ">", place, 1).await?;
        let now = Timestamp::from(SystemTime::now());
        let waits = oldest.first().map(|oldest| now.since(oldest.stored_at));
        Ok(waits.unwrap_or_default())
    }
}

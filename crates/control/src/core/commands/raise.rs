use domain::Reason;
use proto::pipeline::{RaiseEvent, RaiseEventRequest};
use proto::status::to_problem;
use tokio::time::sleep;
use tracing::debug;

use super::super::Control;
use super::{PAUSE, Refusal};

impl Control {
    /// Publishes an operational event through ingest, the only door for events.
    pub(super) async fn raise(&self, event: RaiseEvent) -> Result<(), Refusal> {
        let request = RaiseEventRequest { event: Some(event) };
        loop {
            let mut ingest = self.0.upstream.own_events.clone();
            let problem = match ingest.raise_event(request.clone()).await {
                Ok(_) => return Ok(()),
                Err(status) => to_problem(&status, Reason::IngestUnavailable),
            };
            // It will pass, and a repeat is the same event.
            if !matches!(problem.reason.http_status(), 429 | 503) {
                return Err(Refusal::Ingest(problem));
            }
            debug!(%problem, "an operational event waits for ingest");
            sleep(PAUSE).await;
        }
    }
}

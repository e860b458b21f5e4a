//! What other roles ask control to do.

mod disable;
mod notes;
mod raise;
mod verify;

use std::time::Duration;

use broker::{Command, Input, Message};
use domain::Problem;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use proto::DecodeError;
use tokio_util::sync::CancellationToken;

use super::Control;

/// Commands in work at once: one that waits for another role holds up no other.
const IN_WORK: usize = 16;

/// Between two tries of what an outage holds up.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a command is not carried out, now or later.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
    #[error("the database refused it: {0}")]
    Database(#[from] store::Error),
    #[error("nats-server refused what follows from it: {0}")]
    Broker(#[from] broker::Error),
    #[error("ingest refused the event: {0}")]
    Ingest(Problem),
}

impl Control {
    /// Carries out commands until `shutdown` is cancelled.
    pub(super) async fn obey_for_ever(&self, shutdown: &CancellationToken) {
        let mut commands = self.0.deps.broker.consume(Input::Commands);
        let mut in_work = FuturesUnordered::new();
        loop {
            let room = IN_WORK - in_work.len();
            tokio::select! {
                messages = commands.next(room), if room > 0 => {
                    in_work.extend(messages.into_iter().map(|message| self.obey(message)));
                }
                Some(()) = in_work.next() => {}
                // What is in work comes again, to whoever runs then.
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Waits out every outage.
    async fn obey(&self, message: Message) {
        let obeyed = match message.command() {
            Ok(Command::DisableEndpoint(command)) => self.disable_as_told(command).await,
            Ok(Command::VerifyEndpoint(command)) => self.verify_as_told(command).await,
            Ok(Command::RaiseEvent(command)) => self.raise(command).await,
            Ok(Command::NoteKeyUses(command)) => self.note_key_uses(command).await,
            Ok(Command::NoteAudit(command)) => self.note_audit(command).await,
            Err(error) => Err(error.into()),
        };
        match obeyed {
            Ok(()) => message.ack().await,
            Err(refusal) => message.terminate(&refusal).await,
        }
    }
}

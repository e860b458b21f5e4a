//! Waiting for what the server works on: through its restarts, until it has
//! ended or the user has waited for long enough.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::interrupt::interruption;
use super::{Api, CallError, output};

const POLL: Duration = Duration::from_millis(500);
/// Where nobody watches, but somebody may read it later.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// So long there may be no answer: a node is replaced meanwhile.
const PATIENCE: Duration = Duration::from_secs(300);

/// A replay or an erasure.
pub(super) struct Work<'a> {
    pub(super) api: &'a Api,
    /// Where it is read.
    pub(super) path: String,
    pub(super) id: String,
    /// How one can look at it, and what else can be done, a line each.
    pub(super) advice: String,
    /// How far it is, in one line.
    pub(super) progress: fn(&Value) -> String,
}

impl Work<'_> {
    /// Reads it until it has ended, and shows the way there: in one line on a
    /// terminal, and a line now and then elsewhere.
    ///
    /// # Errors
    ///
    /// When a call is refused, or nothing answers for 5 minutes, or the user
    /// interrupts it: the server goes on in each case, and the user is told how
    /// to look at it.
    pub(super) async fn until_ended(&self, begun: Value) -> Result<Value> {
        if is_watched() {
            let id = &self.id;
            self.tell(&format!(
                "{id} goes on in the server if this is interrupted"
            ))?;
        }
        let ended = tokio::select! {
            ended = self.poll(begun) => ended,
            error = interruption() => Err(error),
        };
        if is_watched() {
            writeln!(std::io::stderr())?;
        }
        if ended.is_err() {
            self.tell(&format!(
                "{} goes on in the server\n{}",
                self.id, self.advice
            ))?;
        }
        ended
    }

    async fn poll(&self, mut work: Value) -> Result<Value> {
        let mut backoff = Backoff::new(POLL);
        let (mut answered, mut shown) = (Instant::now(), Instant::now());
        let mut is_away = false;
        while work["ended_at"].is_null() {
            sleep(backoff.pause()).await;
            match self.api.get(&self.path, &[]).await {
                Ok(answer) => {
                    work = answer;
                    (is_away, answered) = (false, Instant::now());
                    backoff.reset();
                    self.show(&work, &mut shown)?;
                }
                Err(error) if CallError::may_pass(&error) && answered.elapsed() < PATIENCE => {
                    if !is_away {
                        let minutes = PATIENCE.as_secs() / 60;
                        self.tell(&format!("{error:#}: asking again for {minutes} minutes"))?;
                    }
                    is_away = true;
                    backoff.grow();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(work)
    }

    fn show(&self, work: &Value, shown: &mut Instant) -> Result<()> {
        let progress = (self.progress)(work);
        if is_watched() {
            // Back to the line's beginning, and clear what is there.
            write!(std::io::stderr(), "\r\x1b[K{progress}")?;
        } else if shown.elapsed() >= BETWEEN_LINES && work["ended_at"].is_null() {
            output::note(&progress)?;
            *shown = Instant::now();
        }
        Ok(())
    }

    /// Not behind the progress.
    fn tell(&self, text: &str) -> Result<()> {
        if is_watched() {
            write!(std::io::stderr(), "\r\x1b[K")?;
        }
        output::note(text)
    }
}

fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

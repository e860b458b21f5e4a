//! How far an erasure is, as it is kept between its steps.

use broker::Log;
use domain::Timestamp;
use serde::{Deserialize, Serialize};
use store::Error;

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// What SQL knows to be meant is marked.
    Mark,
    /// A stream is looked through: this one of [`Log::ALL`].
    Stream(usize),
    /// Rows are removed.
    Rows,
    Done,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) phase: Phase,
    /// The last message that was read of each stream.
    pub(super) through: [u64; Log::ALL.len()],
    /// Where this round's look at the stream ends.
    pub(super) end: Option<u64>,
    /// By tag: the last message of EVENTS when it was asked for. What was accepted
    /// until then is meant. `None`: an older version was asked.
    pub(super) events_until: Option<u64>,
    /// The last event that was marked or erased in this phase: Unix milliseconds
    /// and the bytes of its id.
    pub(super) last: (i64, [u8; 16]),
    /// When something was marked last, in Unix milliseconds.
    pub(super) marked_at: Option<i64>,
    /// When the first round through streams and rows began, and when this one
    /// did.
    pub(super) began_at: i64,
    pub(super) round_began_at: i64,
    /// The earliest instant at which something that is meant was accepted; none
    /// of it stands before that in a stream.
    pub(super) earliest: Option<i64>,
}

impl Progress {
    const START: Self = Self {
        phase: Phase::Mark,
        through: [0; Log::ALL.len()],
        end: None,
        events_until: None,
        last: (i64::MIN, [0; 16]),
        marked_at: None,
        began_at: 0,
        round_began_at: 0,
        earliest: None,
    };

    /// Before its first step, with what is meant by tag.
    pub(super) const fn of_events_until(sequence: u64) -> Self {
        Self {
            events_until: Some(sequence),
            ..Self::START
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self::START);
        }
        serde_json::from_str(text)
            .map_err(|_| Error::Refused("how far an erasure is cannot be read".to_owned()))
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("numbers and words are JSON")
    }

    pub(super) fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Something was marked that was accepted then.
    pub(super) fn marked(&mut self, accepted_at: Timestamp, now: Timestamp) {
        self.marked_at = Some(now.unix_millis());
        let at = accepted_at.unix_millis();
        self.earliest = Some(self.earliest.map_or(at, |earliest| earliest.min(at)));
    }

    /// Begins to look through streams and rows, once more if it has before.
    pub(super) fn begin_round(&mut self, now: Timestamp) {
        self.round_began_at = now.unix_millis();
        if self.began_at == 0 {
            self.began_at = self.round_began_at;
        }
        self.enter(Phase::Stream(0));
    }

    /// Events were found that were not there in the rounds before: what was read of
    /// the other streams is to be read again.
    pub(super) fn found_late(&mut self) {
        if self.round_began_at > self.began_at {
            self.through[1..].fill(0);
        }
    }

    /// When something was marked last; the beginning, if nothing was.
    pub(super) fn last_marked_at(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.marked_at.unwrap_or(self.began_at))
    }

    /// Goes on with what comes after this phase.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.end = None;
        self.last = Self::START.last;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_as_it_was_written() {
        let mut progress = Progress::parse("").unwrap();
        assert_eq!(progress, Progress::START);
        progress.marked(
            Timestamp::from_unix_millis(7),
            Timestamp::from_unix_millis(9),
        );
        progress.enter(Phase::Stream(3));
        progress.through[3] = u64::MAX;
        assert_eq!(Progress::parse(&progress.text()).unwrap(), progress);
        assert!(Progress::parse("{}").is_err());
    }

    #[test]
    fn what_is_found_late_is_looked_for_in_all_streams() {
        let at = Timestamp::from_unix_millis;
        let mut progress = Progress::of_events_until(7);
        progress.begin_round(at(1));
        progress.through.fill(9);
        progress.found_late();
        assert_eq!(progress.through, [9; Log::ALL.len()]);
        progress.begin_round(at(2));
        progress.found_late();
        assert_eq!(progress.through, [9, 0, 0, 0, 0, 0]);
        assert_eq!((progress.began_at, progress.events_until), (1, Some(7)));
    }

    #[test]
    fn the_earliest_of_all_marks_is_kept() {
        let at = Timestamp::from_unix_millis;
        let mut progress = Progress::START;
        for accepted in [5, 3, 9] {
            progress.marked(at(accepted), at(accepted + 1));
        }
        assert_eq!((progress.earliest, progress.marked_at), (Some(3), Some(10)));
    }
}

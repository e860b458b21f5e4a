//! How soon to ask again a server that does not answer.

use std::time::Duration;

/// The longest pause.
const MOST: Duration = Duration::from_secs(10);

/// Pauses that grow twofold until there is an answer.
#[derive(Debug)]
pub(super) struct Backoff {
    least: Duration,
    next: Duration,
}

impl Backoff {
    /// Begins with `least`.
    pub(super) const fn new(least: Duration) -> Self {
        Self { least, next: least }
    }

    /// The pause before the next call.
    pub(super) const fn pause(&self) -> Duration {
        self.next
    }

    /// There was no answer.
    pub(super) fn grow(&mut self) {
        self.next = (self.next * 2).min(MOST);
    }

    /// There was one.
    pub(super) fn reset(&mut self) {
        self.next = self.least;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_ten_seconds_and_begin_anew_after_an_answer() {
        let least = Duration::from_millis(500);
        let mut backoff = Backoff::new(least);
        assert_eq!(backoff.pause(), least);
        backoff.grow();
        assert_eq!(backoff.pause(), 2 * least);
        for _ in 0..100 {
            backoff.grow();
        }
        assert_eq!(backoff.pause(), MOST);
        backoff.reset();
        assert_eq!(backoff.pause(), least);
    }
}

//! Whether an endpoint that keeps failing is sent to: a circuit breaker with
//! probes and a ramped recovery.

use std::time::{Duration, Instant};

/// While an endpoint recovers, what it gets at once doubles at most this often.
const RAMP: Duration = Duration::from_secs(1);

/// When a breaker opens, and how it tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Consecutive failures that open it; 0 switches it off.
    pub failures: u32,
    /// Between two probes while it is open.
    pub probe_interval: Duration,
}

/// One endpoint's breaker.
#[derive(Debug, Clone, Copy)]
pub struct Breaker {
    settings: Settings,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    /// One probe at a time, and none before this.
    Open {
        probe_at: Instant,
    },
    /// So many at once, and more from the instant on.
    Recovering {
        at_once: u32,
        raise_at: Instant,
    },
}

/// What a result did to the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing to tell.
    None,
    /// It has opened.
    Opened,
    /// It has begun to let more through.
    Recovering,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        let state = State::Closed { failures: 0 };
        Self { settings, state }
    }

    /// One of which it is not known how the endpoint is, and much waits: it
    /// begins with one at a time.
    #[must_use]
    pub fn cautious(settings: Settings, now: Instant) -> Self {
        let mut breaker = Self::new(settings);
        if settings.failures > 0 {
            breaker.recover(now);
        }
        breaker
    }

    /// One of an endpoint that has failed so often in a row with somebody else: if that
    /// opens a breaker, a cautious one.
    #[must_use]
    pub fn inherited(settings: Settings, failures: u32, now: Instant) -> Self {
        if failures >= settings.failures {
            return Self::cautious(settings, now);
        }
        let state = State::Closed { failures };
        Self { settings, state }
    }

    /// POSTs that may be in flight at once.
    #[must_use]
    pub fn at_once(&self, now: Instant) -> u32 {
        match self.state {
            State::Closed { .. } => u32::MAX,
            State::Open { probe_at } => u32::from(probe_at <= now),
            State::Recovering { at_once, .. } => at_once,
        }
    }

    /// When the next probe may be sent, if it is open.
    #[must_use]
    pub const fn probe_at(&self) -> Option<Instant> {
        match self.state {
            State::Open { probe_at } => Some(probe_at),
            State::Closed { .. } | State::Recovering { .. } => None,
        }
    }

    /// Whether nothing went wrong lately.
    #[must_use]
    pub fn is_pristine(&self) -> bool {
        self.state == State::Closed { failures: 0 }
    }

    /// A POST is sent now.
    pub fn sent(&mut self, now: Instant) {
        if let State::Open { .. } = self.state {
            let probe_at = now + self.settings.probe_interval;
            self.state = State::Open { probe_at };
        }
    }

    /// A POST came back with a 2xx.
    pub fn succeeded(&mut self, now: Instant) -> Change {
        match self.state {
            State::Closed { .. } => self.state = State::Closed { failures: 0 },
            State::Open { .. } => {
                self.recover(now);
                return Change::Recovering;
            }
            State::Recovering { at_once, raise_at } if raise_at <= now => {
                self.state = match at_once.checked_mul(2) {
                    // More than any endpoint gets.
                    None | Some(1_024..) => State::Closed { failures: 0 },
                    Some(at_once) => State::Recovering {
                        at_once,
                        raise_at: now + RAMP,
                    },
                };
            }
            State::Recovering { .. } => {}
        }
        Change::None
    }

    /// A POST failed.
    pub fn failed(&mut self, now: Instant) -> Change {
        let opens = match &mut self.state {
            State::Closed { failures } => {
                *failures = failures.saturating_add(1);
                self.settings.failures > 0 && *failures >= self.settings.failures
            }
            State::Open { .. } => false,
            State::Recovering { .. } => true,
        };
        if !opens {
            return Change::None;
        }
        let probe_at = now + self.settings.probe_interval;
        self.state = State::Open { probe_at };
        Change::Opened
    }

    fn recover(&mut self, now: Instant) {
        self.state = State::Recovering {
            at_once: 1,
            raise_at: now + RAMP,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTINGS: Settings = Settings {
        failures: 3,
        probe_interval: Duration::from_secs(30),
    };

    fn open(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(SETTINGS);
        for _ in 0..3 {
            breaker.failed(now);
        }
        breaker
    }

    #[test]
    fn consecutive_failures_open_it() {
        let now = Instant::now();
        let mut breaker = Breaker::new(SETTINGS);
        for _ in 0..2 {
            assert_eq!(breaker.failed(now), Change::None);
        }
        breaker.succeeded(now);
        for _ in 0..2 {
            assert_eq!(breaker.failed(now), Change::None);
        }
        assert_eq!(breaker.failed(now), Change::Opened);
        assert_eq!(breaker.at_once(now), 0);
    }

    #[test]
    fn a_switched_off_one_never_opens() {
        let settings = Settings {
            failures: 0,
            ..SETTINGS
        };
        let mut breaker = Breaker::new(settings);
        for _ in 0..1_000 {
            assert_eq!(breaker.failed(Instant::now()), Change::None);
        }
        assert_eq!(breaker.at_once(Instant::now()), u32::MAX);
    }

    #[test]
    fn an_open_one_lets_a_probe_through_each_interval() {
        let now = Instant::now();
        let mut breaker = open(now);
        let probe = now + SETTINGS.probe_interval;
        assert_eq!(breaker.probe_at(), Some(probe));
        assert_eq!(breaker.at_once(probe), 1);
        breaker.sent(probe);
        assert_eq!(breaker.at_once(probe), 0);
        assert_eq!(breaker.failed(probe), Change::None);
        assert_eq!(breaker.at_once(probe + SETTINGS.probe_interval), 1);
    }

    #[test]
    fn recovery_doubles_each_second_and_a_failure_ends_it() {
        let mut now = Instant::now();
        let mut breaker = open(now);
        assert_eq!(breaker.succeeded(now), Change::Recovering);
        for expected in [1, 2, 4, 8] {
            assert_eq!(breaker.at_once(now), expected);
            for _ in 0..10 {
                breaker.succeeded(now);
            }
            assert_eq!(breaker.at_once(now), expected);
            now += RAMP;
            breaker.succeeded(now);
        }
        assert_eq!(breaker.failed(now), Change::Opened);
        assert_eq!(breaker.at_once(now), 0);
    }

    proptest! {
        /// Whatever happens: never two probes within an interval, and what is
        /// let through at most doubles in a second.
        #[test]
        fn is_gentle(steps in prop::collection::vec((any::<bool>(), 0_u64..5_000), 1..500)) {
            let mut now = Instant::now();
            let mut breaker = Breaker::new(SETTINGS);
            let mut last_probe: Option<Instant> = None;
            // What it lets through while it recovers, and since when.
            let mut level: Option<(u32, Instant)> = None;
            for (success, wait) in steps {
                now += Duration::from_millis(wait);
                if breaker.at_once(now) == 0 {
                    continue;
                }
                if breaker.probe_at().is_some() {
                    if let Some(last) = last_probe {
                        prop_assert!(now.duration_since(last) >= SETTINGS.probe_interval);
                    }
                    last_probe = Some(now);
                }
                breaker.sent(now);
                if success { breaker.succeeded(now); } else { breaker.failed(now); }
                let recovering = breaker.probe_at().is_none() && breaker.at_once(now) != u32::MAX;
                if breaker.probe_at().is_none() {
                    last_probe = None;
                }
                level = match (level, breaker.at_once(now)) {
                    (_, _) if !recovering => None,
                    (Some((before, since)), at_once) if before != at_once => {
                        prop_assert!(at_once <= before * 2 && now.duration_since(since) >= RAMP);
                        Some((at_once, now))
                    }
                    (known, at_once) => known.or(Some((at_once, now))),
                };
            }
        }
    }
}

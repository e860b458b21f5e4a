//! How many events a second a key, or an account, may publish to this process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::{AccountId, Problem, Reason};

/// Who has been quiet may publish so much at once: what a second allows.
const BURST: Duration = Duration::from_secs(1);
/// Callers that are remembered. When it is full, the quiet ones are forgotten;
/// a caller that finds no room then is not limited, rather than refused for
/// what others do.
const MOST: usize = 100_000;

/// Events a second; `None`: no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    pub per_key: Option<u32>,
    pub per_account: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Payer {
    Key(String),
    Account(AccountId),
}

/// The generic cell rate algorithm, for each caller: when the next event would
/// be due if all had come evenly.
#[derive(Debug)]
pub(crate) struct Limits {
    rates: Rates,
    due: Mutex<HashMap<Payer, Instant>>,
}

impl Limits {
    pub(crate) fn new(rates: Rates) -> Self {
        Self {
            rates,
            due: Mutex::default(),
        }
    }

    /// Counts one event, or says when it may come again; then nothing is counted.
    pub(crate) fn take(
        &self,
        key_id: &str,
        account: &AccountId,
        now: Instant,
    ) -> Result<(), Problem> {
        let key = self.rates.per_key;
        let key = key.map(|rate| (Payer::Key(key_id.to_owned()), rate));
        let of_account = self.rates.per_account;
        let of_account = of_account.map(|rate| (Payer::Account(account.clone()), rate));
        let payers: Vec<(Payer, u32)> = key.into_iter().chain(of_account).collect();
        if payers.is_empty() {
            return Ok(());
        }
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Vec::with_capacity(payers.len());
        for (payer, rate) in payers {
            let interval = Duration::from_secs(1) / rate.max(1);
            let at = due.get(&payer).copied().unwrap_or(now).max(now) + interval;
            let early = at.saturating_duration_since(now + BURST);
            if !early.is_zero() {
                return Err(refusal(&payer, rate, early));
            }
            next.push((payer, at));
        }
        if due.len() >= MOST {
            due.retain(|_, at| *at > now);
        }
        for (payer, at) in next {
            if due.len() < MOST || due.contains_key(&payer) {
                due.insert(payer, at);
            }
        }
        Ok(())
    }
}

fn refusal(payer: &Payer, rate: u32, wait: Duration) -> Problem {
    let who = match payer {
        Payer::Key(_) => "key",
        Payer::Account(_) => "account",
    };
    let detail = format!("this {who} may publish {rate} events a second; repeat it a little later");
    Problem::new(Reason::RateLimited, detail).retry_after(wait)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn account(name: &str) -> AccountId {
        AccountId::parse(name).unwrap()
    }

    #[test]
    fn a_key_has_its_rate_and_a_seconds_burst() {
        let limits = Limits::new(Rates {
            per_key: Some(10),
            per_account: None,
        });
        let start = Instant::now();
        let take = |key, at| limits.take(key, &account("acme"), at);
        for _ in 0..10 {
            take("a", start).unwrap();
        }
        let refused = take("a", start).unwrap_err();
        assert_eq!(refused.reason, Reason::RateLimited);
        let wait = refused.retry_after.unwrap();
        assert_eq!(wait, Duration::from_millis(100));
        take("b", start).unwrap();
        take("a", start + wait).unwrap();
        assert!(take("a", start + wait).is_err());
    }

    #[test]
    fn what_one_limit_refuses_the_other_does_not_count() {
        let limits = Limits::new(Rates {
            per_key: Some(100),
            per_account: Some(1),
        });
        let start = Instant::now();
        limits.take("a", &account("acme"), start).unwrap();
        for _ in 0..200 {
            assert!(limits.take("a", &account("acme"), start).is_err());
        }
        for other in 0..99 {
            let other = account(&format!("other-{other}"));
            limits.take("a", &other, start).unwrap();
        }
        assert!(limits.take("a", &account("last"), start).is_err());
    }
}

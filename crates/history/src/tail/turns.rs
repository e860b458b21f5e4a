//! How many tails there are, and whose: what one account opens must leave some
//! to the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{AccountId, Problem, Reason};

/// Tails of a process: each reads all that is recorded in a partition, or in all
/// of them.
const MOST: usize = 64;
/// Of one account.
const MOST_OF_ACCOUNT: usize = 16;

/// The tails of a process, counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<AccountId, usize>>>);

/// A tail's place among them, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    account: AccountId,
}

impl Turns {
    /// A place for one more tail of this account.
    ///
    /// # Errors
    ///
    /// [`Reason::RateLimited`] when there are too many.
    pub(super) fn take(&self, account: &AccountId) -> Result<Turn, Problem> {
        let refused = |detail| Err(Problem::new(Reason::RateLimited, detail));
        let mut taken = self.lock();
        let of_account = taken.get(account).copied().unwrap_or(0);
        if of_account >= MOST_OF_ACCOUNT {
            return refused(format!(
                "this process serves {MOST_OF_ACCOUNT} tails of the account already; end one of them"
            ));
        }
        if taken.values().sum::<usize>() >= MOST {
            return refused(format!(
                "this process serves {MOST} tails already; try it again later"
            ));
        }
        taken.insert(account.clone(), of_account + 1);
        Ok(Turn {
            turns: self.clone(),
            account: account.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut taken = self.turns.lock();
        if let Some(count) = taken.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn account(name: &str) -> AccountId {
        AccountId::parse(name).unwrap()
    }

    #[test]
    fn an_account_leaves_places_to_others() {
        let turns = Turns::default();
        let take = |name: &str| turns.take(&account(name));
        let mut held: Vec<Turn> = (0..MOST_OF_ACCOUNT).map(|_| take("a").unwrap()).collect();
        assert_eq!(take("a").unwrap_err().reason, Reason::RateLimited);
        for name in ["b", "c", "d"] {
            held.extend((0..MOST_OF_ACCOUNT).map(|_| take(name).unwrap()));
        }
        assert!(take("e").is_err(), "the process has no more");
        drop(held.remove(0));
        let another = take("e").unwrap();
        assert!(take("a").is_err());
        drop((held, another));
        assert!(turns.lock().is_empty());
    }
}

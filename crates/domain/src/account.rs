//! A customer of the platform.

use std::fmt;
use std::sync::Arc;

use crate::problem::{Problem, Reason};

/// The tenant's id, chosen by the platform: `[A-Za-z0-9_-]{1,64}`. Cheap to
/// clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// Checks the form.
    ///
    /// # Errors
    ///
    /// [`Reason::AccountInvalid`] on the field `account`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Self(text.into()));
        }
        Err(Problem::of_field(
            Reason::AccountInvalid,
            "account",
            "use 1 to 64 of the characters A-Z, a-z, 0-9, _ and -",
        ))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_means_something_to_the_broker_is_an_account() {
        for good in ["a", "A_b-9", &"x".repeat(64)] {
            assert!(AccountId::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a.b",
            "*",
            ">",
            "a b",
            "a\n",
            "ä",
            "a/b",
            "a\0",
            &"x".repeat(65),
        ] {
            assert!(AccountId::parse(bad).is_err(), "{bad:?}");
        }
    }
}

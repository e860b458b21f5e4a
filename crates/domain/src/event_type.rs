//! The name of a kind of event.

use std::fmt;
use std::sync::Arc;

use crate::problem::{Problem, Reason};

/// A name such as `message.incoming`: parts of `[a-z0-9_]+` joined by dots, at
/// most 128 characters. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(Arc<str>);

impl EventType {
    /// Checks the form; whether it is registered is another question.
    ///
    /// # Errors
    ///
    /// [`Reason::EventTypeInvalid`] on the field `type`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        Self::parse_field("type", text)
    }

    /// The same for another field's name.
    ///
    /// # Errors
    ///
    /// [`Reason::EventTypeInvalid`] on `field`.
    pub fn parse_field(field: &str, text: &str) -> Result<Self, Problem> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let part = |part: &str| !part.is_empty() && part.bytes().all(allowed);
        if text.len() <= 128 && text.split('.').all(part) {
            return Ok(Self(text.into()));
        }
        Err(Problem::of_field(
            Reason::EventTypeInvalid,
            field,
            "use parts of a-z, 0-9 and _ joined by dots, at most 128 characters, \
             e.g. message.incoming",
        ))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Refuses what nobody but Postrider may register or publish.
    ///
    /// # Errors
    ///
    /// [`Reason::EventTypeInvalid`] on `field`.
    pub fn refuse_reserved(&self, field: &str) -> Result<(), Problem> {
        if !self.is_reserved() {
            return Ok(());
        }
        Err(Problem::of_field(
            Reason::EventTypeInvalid,
            field,
            "endpoint.* and delivery.* are kept for Postrider's own events; use another name",
        ))
    }

    /// Whether it is a challenge to the endpoint that it goes to.
    #[must_use]
    pub fn is_challenge(&self) -> bool {
        self.0.as_ref() == crate::operational::ENDPOINT_VERIFICATION
    }

    /// Whether it is kept for Postrider's own events: `endpoint.*` and
    /// `delivery.*`.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        matches!(self.0.split('.').next(), Some("endpoint" | "delivery"))
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_lower_case_and_joined_by_dots() {
        for good in ["a", "message.incoming", "a_1.b.c", &"x".repeat(128)] {
            assert!(EventType::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "A",
            "a*",
            "a.>",
            "a b",
            "a\t",
            "é",
            &"x".repeat(129),
        ] {
            assert!(EventType::parse(bad).is_err(), "{bad:?}");
        }
    }
}

//! A customer's URL that receives events, and what may be said about it.

use std::ops::RangeInclusive;

use crate::delivery::words;
use crate::problem::FieldViolation;
use crate::vault::SealedSecret;
use crate::{AccountId, DeliveryPolicy, EndpointId, EventType, Timestamp};

/// A description has this many characters.
const DESCRIPTION_CHARS: RangeInclusive<usize> = 1..=256;

/// Deliveries per second.
const RATE_LIMIT: RangeInclusive<i64> = 1..=10_000;

/// So much of a name that is none is shown again.
const SHOWN_CHARS: usize = 80;

/// An endpoint subscribes to at most this many event types.
const MAX_EVENT_TYPES: usize = 256;

words! {
    /// Whether an endpoint has shown that it is its account's, by echoing a
    /// challenge.
    Verification {
        /// Nobody asked it to: deployments ask only if they are told to.
        NotRequired "not_required",
        /// It has not echoed one yet, and gets no events.
        Pending "pending",
        /// Its URL has echoed one.
        Verified "verified",
    }
}

/// What the roles that send need to know of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub id: EndpointId,
    pub account: AccountId,
    /// Grows with every change.
    pub version: u64,
    /// As its owner wrote it, checked at registration.
    pub url: String,
    pub event_types: Vec<EventType>,
    pub disabled: bool,
    /// For its owner; empty unless disabled.
    pub disabled_reason: String,
    /// How often it has been disabled. What was planned under a lower
    /// generation is cancelled, also when the endpoint is active again.
    pub generation: u64,
    pub verification: Verification,
    /// Deliveries per second; `None` is no limit.
    pub rate_limit: Option<u32>,
    pub policy: DeliveryPolicy,
    pub created_at: Timestamp,
    /// The newest first. An older one carries the end of its grace period.
    pub secrets: Vec<SealedSecret>,
}

impl Endpoint {
    /// Whether it wants events of this type.
    #[must_use]
    pub fn subscribes(&self, event_type: &EventType) -> bool {
        self.event_types.contains(event_type)
    }

    /// Whether it gets nothing but a challenge.
    #[must_use]
    pub fn awaits_verification(&self) -> bool {
        self.verification == Verification::Pending
    }
}

/// Checks a description.
///
/// # Errors
///
/// On the field `description`.
pub fn check_description(text: &str) -> Result<(), FieldViolation> {
    if !DESCRIPTION_CHARS.contains(&text.chars().count()) {
        return Err(FieldViolation::new(
            "description",
            "use 1 to 256 characters that tell this endpoint from others",
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(FieldViolation::new(
            "description",
            "remove the control characters, e.g. line breaks",
        ));
    }
    Ok(())
}

/// Checks a rate limit in deliveries per second.
///
/// # Errors
///
/// On the field `rate_limit`.
pub fn check_rate_limit(per_second: i64) -> Result<u32, FieldViolation> {
    u32::try_from(per_second)
        .ok()
        .filter(|_| RATE_LIMIT.contains(&per_second))
        .ok_or_else(|| {
            FieldViolation::new(
                "rate_limit",
                "use a whole number of deliveries per second from 1 to 10000, or null for no limit",
            )
        })
}

/// Checks a list of event types: at least one, well formed, each counted once.
/// Whether they are registered is another question.
///
/// # Errors
///
/// On the field `event_types`.
pub fn check_event_types<'a>(
    names: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<EventType>, FieldViolation> {
    let mut types = Vec::new();
    for name in names {
        let event_type = EventType::parse(name).map_err(|_| {
            let shown: String = name.chars().take(SHOWN_CHARS).collect();
            FieldViolation::new(
                "event_types",
                format!(
                    "{shown:?} is not the name of an event type; GET /v1/event-types lists them"
                ),
            )
        })?;
        if !types.contains(&event_type) {
            types.push(event_type);
        }
    }
    match types.len() {
        0 => Err(FieldViolation::new(
            "event_types",
            "name at least one event type, e.g. [\"message.incoming\"]",
        )),
        count if count > MAX_EVENT_TYPES => Err(FieldViolation::new(
            "event_types",
            "name at most 256 event types",
        )),
        _ => Ok(types),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_one_line_of_text() {
        for good in ["a", &"é".repeat(256)] {
            assert!(check_description(good).is_ok(), "{good}");
        }
        for bad in ["", "a\nb", "\0", &"x".repeat(257)] {
            assert_eq!(check_description(bad).unwrap_err().field, "description");
        }
    }

    #[test]
    fn a_rate_limit_is_within_its_range() {
        for good in [1, 10_000] {
            assert_eq!(check_rate_limit(good).map(i64::from), Ok(good));
        }
        for bad in [i64::MIN, -1, 0, 10_001, i64::MAX] {
            assert_eq!(check_rate_limit(bad).unwrap_err().field, "rate_limit");
        }
    }

    #[test]
    fn event_types_are_named_once_and_at_least_one() {
        let types = check_event_types(["b.c", "a", "b.c"]).unwrap();
        assert_eq!(
            types.iter().map(EventType::as_str).collect::<Vec<_>>(),
            ["b.c", "a"]
        );
        for bad in [&[][..], &["a", "B"], &["*"]] {
            assert!(check_event_types(bad.iter().copied()).is_err(), "{bad:?}");
        }
        let many: Vec<String> = (0..257).map(|n| format!("t{n}")).collect();
        assert!(check_event_types(many.iter().map(String::as_str)).is_err());
    }
}

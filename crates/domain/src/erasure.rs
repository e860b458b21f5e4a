//! Having what was published forgotten.

use std::time::Duration;

use uuid::Uuid;

use crate::id::NAMESPACE;
use crate::{AccountId, EndpointId, EventId, Timestamp};

crate::delivery::words! {
    /// Where an erasure stands.
    ErasureState {
        /// Something may be left.
        Running "running",
        /// Nothing is left, and nothing comes back.
        Done "done",
    }
}

/// What is to be erased, of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErasureScope {
    /// One event.
    Event(EventId),
    /// The events that have this tag when the erasure is asked for.
    Tag { name: String, value: String },
    /// All events that are accepted before the erasure is asked for, and what
    /// became of them.
    Account,
    /// What is left of a deleted endpoint.
    Endpoint(EndpointId),
}

/// Says of an event, or of all early ones of an account, that they are erased:
/// whoever still meets something of them lets go of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasureMark {
    /// See [`ErasureMark::of_event`] and [`ErasureMark::of_account`].
    pub id: Uuid,
    /// Events accepted at or after are not meant: of one event, the next
    /// millisecond.
    pub accepted_before: Timestamp,
}

impl ErasureMark {
    /// The mark of an event.
    #[must_use]
    pub fn event(id: EventId, accepted_at: Timestamp) -> Self {
        Self {
            id: Self::of_event(id),
            accepted_before: accepted_at.plus(Duration::from_millis(1)),
        }
    }

    /// The id of the mark of an event.
    #[must_use]
    pub const fn of_event(event: EventId) -> Uuid {
        event.uuid()
    }

    /// The id of the mark of an account.
    #[must_use]
    pub fn of_account(account: &AccountId) -> Uuid {
        let name = format!("erased\0{account}");
        Uuid::new_v5(&NAMESPACE, name.as_bytes())
    }

    /// Whether it means an event of its id that was accepted then.
    #[must_use]
    pub fn covers(&self, accepted_at: Timestamp) -> bool {
        accepted_at < self.accepted_before
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_of_an_account_leaves_later_events_alone() {
        let account = AccountId::parse("acme").unwrap();
        let at = Timestamp::from_unix_millis;
        let mark = ErasureMark {
            id: ErasureMark::of_account(&account),
            accepted_before: at(10),
        };
        assert!(mark.covers(at(9)) && !mark.covers(at(10)));
        assert_ne!(
            mark.id,
            ErasureMark::of_account(&AccountId::parse("other").unwrap())
        );
        assert!(ErasureMark::event(EventId::new(), at(7)).covers(at(7)));
    }
}

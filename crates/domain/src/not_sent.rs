//! Which endpoints of its account do not get an event, and why. A big account
//! has hundreds of them for each event, so they are kept as one piece of bytes,
//! the same in memory, on the wire and in SQL.

use std::fmt;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{EndpointId, EventId, NotSentReason};

/// A byte for the reason and the 16 of the endpoint's id.
const ENTRY_BYTES: usize = 17;
/// In place of a reason, before the id of an event and eight bytes of when it was
/// accepted: its plan names them.
const SAME_AS: u8 = 128;

/// A list of endpoints with reasons. Its bytes are the entries one after the
/// other: a byte for the reason (1 not subscribed, 2 disabled, 3 created
/// later, 4 unverified), then the 16 bytes of the endpoint's UUID.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct NotSent(Bytes);

impl NotSent {
    /// The endpoints, in the order in which they were collected. Reasons that
    /// only a later version knows are left out.
    pub fn iter(&self) -> impl Iterator<Item = (EndpointId, NotSentReason)> + '_ {
        self.0.chunks_exact(ENTRY_BYTES).filter_map(|entry| {
            let endpoint = Uuid::from_slice(&entry[1..]).ok()?;
            Some((EndpointId::from_uuid(endpoint), reason(entry[0])?))
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len() / ENTRY_BYTES
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What [`NotSent::from_bytes`] reads.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// A hash of it (SHA-256).
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    /// The bytes that stand for what the plan of another event names, which was
    /// accepted at `accepted_at`, in Unix milliseconds. Read as a list they name
    /// nobody.
    #[must_use]
    pub fn same_as(event: EventId, accepted_at: i64) -> Bytes {
        let event = event.uuid();
        let mut bytes = Vec::with_capacity(ENTRY_BYTES + 8);
        bytes.push(SAME_AS);
        bytes.extend(event.as_bytes());
        bytes.extend(accepted_at.to_be_bytes());
        bytes.into()
    }

    /// The event whose plan names them and when it was accepted, if this is
    /// [`NotSent::same_as`].
    #[must_use]
    pub fn is_same_as(&self) -> Option<(EventId, i64)> {
        let (reason, rest) = self.0.split_first()?;
        let (event, accepted_at) = rest.split_first_chunk::<16>()?;
        if *reason != SAME_AS {
            return None;
        }
        let accepted_at = i64::from_be_bytes(accepted_at.try_into().ok()?);
        Some((EventId::from_uuid(Uuid::from_bytes(*event)), accepted_at))
    }

    /// What was stored or sent; what stands behind the last whole entry is left
    /// out.
    #[must_use]
    pub const fn from_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl FromIterator<(EndpointId, NotSentReason)> for NotSent {
    fn from_iter<I: IntoIterator<Item = (EndpointId, NotSentReason)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        let mut bytes = Vec::with_capacity(entries.size_hint().0 * ENTRY_BYTES);
        for (endpoint, reason) in entries {
            bytes.push(code(reason));
            bytes.extend(endpoint.uuid().as_bytes());
        }
        Self(bytes.into())
    }
}

impl fmt::Debug for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

const fn code(reason: NotSentReason) -> u8 {
    match reason {
        NotSentReason::NotSubscribed => 1,
        NotSentReason::Disabled => 2,
        NotSentReason::CreatedLater => 3,
        NotSentReason::Unverified => 4,
    }
}

fn reason(code: u8) -> Option<NotSentReason> {
    let mut all = NotSentReason::ALL.iter().copied();
    all.find(|reason| self::code(*reason) == code)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_collected_comes_back() {
        let all = NotSentReason::ALL.iter();
        let all: Vec<_> = all.map(|reason| (EndpointId::new(), *reason)).collect();
        let collected: NotSent = all.iter().copied().collect();
        assert_eq!(collected.as_bytes().len(), all.len() * ENTRY_BYTES);
        assert_eq!(collected.iter().collect::<Vec<_>>(), all);
        assert_eq!(NotSent::from_bytes(collected.as_bytes().clone()), collected);
        assert!(NotSent::default().is_empty());
    }

    #[test]
    fn another_events_plan_is_named_and_read_by_older_versions_as_nobody() {
        let event = EventId::new();
        let same = NotSent::from_bytes(NotSent::same_as(event, 1_795_000_000_000));
        assert_eq!(same.is_same_as(), Some((event, 1_795_000_000_000)));
        assert_eq!(same.iter().count(), 0);
        let named: NotSent = [(EndpointId::new(), NotSentReason::Disabled)]
            .into_iter()
            .collect();
        assert_eq!(named.is_same_as(), None);
        assert_eq!(NotSent::default().is_same_as(), None);
    }

    #[test]
    fn reasons_of_a_later_version_are_left_out() {
        let two: NotSent = [(EndpointId::new(), NotSentReason::Disabled); 2]
            .into_iter()
            .collect();
        let mut bytes = two.as_bytes().to_vec();
        bytes[0] = u8::MAX;
        let found = NotSent::from_bytes(bytes.into());
        assert_eq!((found.len(), found.iter().count()), (2, 1));
    }
}

//! Where in time to look for what an id names.

use uuid::Uuid;

/// An id is made in the moment of its row's instant, give or take this.
const SLACK_MS: i64 = 3_600_000;

/// Instants from the first to the last, in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Span {
    pub(super) const ALL: Self = Self {
        first: i64::MIN,
        last: i64::MAX,
    };

    /// Around the time that a UUIDv7 holds; another kind of id holds none.
    pub(super) fn near(id: Uuid) -> Option<Self> {
        let (seconds, nanos) = id.get_timestamp()?.to_unix();
        if id.get_version_num() != 7 {
            return None;
        }
        let at = i64::try_from(seconds).ok()? * 1_000 + i64::from(nanos / 1_000_000);
        Some(Self {
            first: at - SLACK_MS,
            last: at + SLACK_MS,
        })
    }

    /// Where the row of an id most likely is, then everywhere.
    pub(super) fn guesses(id: Uuid) -> impl Iterator<Item = Self> {
        Self::near(id).into_iter().chain([Self::ALL])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_of_version_7_tells_when_it_was_made() {
        let at = 1_747_147_674_123_u64;
        let id = uuid::Builder::from_unix_timestamp_millis(at, &[7; 10]).into_uuid();
        let at = i64::try_from(at).unwrap_or_default();
        let span = Span::near(id);
        assert!(span.is_some_and(|span| span.first < at && at < span.last));
        assert_eq!(Span::guesses(id).count(), 2);
    }

    #[test]
    fn another_kind_may_be_of_any_time() {
        let derived = Uuid::new_v5(&Uuid::nil(), b"operational");
        assert_eq!(Span::guesses(derived).collect::<Vec<_>>(), [Span::ALL]);
    }
}

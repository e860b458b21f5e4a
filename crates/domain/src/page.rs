//! Keyset pages: where a list goes on, as an opaque token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::Timestamp;
use crate::problem::{Problem, Reason};

/// Items of a page unless the caller says otherwise.
pub const DEFAULT_SIZE: u32 = 20;

/// Items of a page at most.
pub const MAX_SIZE: u32 = 100;

/// Which way a page lies from its cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards older items.
    Next,
    /// Towards newer items.
    Prev,
}

/// The place between two items of a list that is sorted by instant and id,
/// newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Unix milliseconds.
    pub at: i64,
    pub id: Uuid,
    pub direction: Direction,
}

/// One page, newest first. Tokens are empty at the ends of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next_page_token: String,
    pub prev_page_token: String,
}

impl<T> Page<T> {
    /// Makes a page of what a query found: up to `size` + 1 items beyond the
    /// cursor, nearest to it first. `key` is what the list is sorted by.
    #[must_use]
    pub fn assemble(
        mut found: Vec<T>,
        size: u32,
        cursor: Option<&Cursor>,
        context: &str,
        key: impl Fn(&T) -> (i64, Uuid),
    ) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = found.len() > size;
        found.truncate(size);
        let backwards = cursor.is_some_and(|cursor| cursor.direction == Direction::Prev);
        if backwards {
            found.reverse();
        }
        let (older, newer) = if backwards {
            (true, more)
        } else {
            (more, cursor.is_some())
        };
        let token = |item: Option<&T>, there: bool, direction| match item {
            Some(item) if there => {
                let (at, id) = key(item);
                PageToken::encode(&Cursor { at, id, direction }, context)
            }
            _ => String::new(),
        };
        Self {
            next_page_token: token(found.last(), older, Direction::Next),
            prev_page_token: token(found.first(), newer, Direction::Prev),
            items: found,
        }
    }

    /// The page of a query that ended at a place because it had looked at enough,
    /// though there may be more beyond: the list goes on from there.
    #[must_use]
    pub fn ended_at(
        mut self,
        place: Option<(i64, Uuid)>,
        cursor: Option<&Cursor>,
        context: &str,
    ) -> Self {
        let direction = cursor.map_or(Direction::Next, |cursor| cursor.direction);
        let token = match direction {
            Direction::Next => &mut self.next_page_token,
            Direction::Prev => &mut self.prev_page_token,
        };
        if let (true, Some((at, id))) = (token.is_empty(), place) {
            *token = PageToken::encode(&Cursor { at, id, direction }, context);
        }
        self
    }

    /// The same page of other items.
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(convert).collect(),
            next_page_token: self.next_page_token,
            prev_page_token: self.prev_page_token,
        }
    }
}

/// Reads and writes the tokens of pages, which are base64url.
#[derive(Debug)]
pub enum PageToken {}

impl PageToken {
    /// The token of a cursor. `context` names the list, its account and its
    /// filters: the token is refused anywhere else.
    #[must_use]
    pub fn encode(cursor: &Cursor, context: &str) -> String {
        let mut bytes = Vec::with_capacity(29);
        bytes.push(match cursor.direction {
            Direction::Next => 0,
            Direction::Prev => 1,
        });
        bytes.extend_from_slice(&cursor.at.to_be_bytes());
        bytes.extend_from_slice(cursor.id.as_bytes());
        bytes.extend_from_slice(&check(&bytes, context));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The cursor of a token that [`PageToken::encode`] made for this context.
    ///
    /// # Errors
    ///
    /// [`Reason::PageTokenInvalid`] on the field `page_token`.
    pub fn decode(token: &str, context: &str) -> Result<Cursor, Problem> {
        read(token, context).ok_or_else(|| {
        Problem::of_field(
            Reason::PageTokenInvalid,
            "page_token",
            "use the token of an answer to this same list with the same filters, or leave it out \
             for the first page",
        )
    })
    }

    /// The same, but the empty token is the first page and has no cursor.
    ///
    /// # Errors
    ///
    /// [`Reason::PageTokenInvalid`] on the field `page_token`.
    pub fn decode_or_first(token: &str, context: &str) -> Result<Option<Cursor>, Problem> {
        if token.is_empty() {
            Ok(None)
        } else {
            Self::decode(token, context).map(Some)
        }
    }
}

fn read(token: &str, context: &str) -> Option<Cursor> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (payload, sum) = bytes.split_at_checked(25)?;
    if sum != check(payload, context) {
        return None;
    }
    Some(Cursor {
        direction: match payload[0] {
            0 => Direction::Next,
            1 => Direction::Prev,
            _ => return None,
        },
        at: i64::from_be_bytes(payload[1..9].try_into().ok()?),
        id: Uuid::from_slice(&payload[9..]).ok()?,
    })
}

/// Against mistakes, not against forgery: a forged token shows nothing that
/// its bearer may not list anyway.
fn check(payload: &[u8], context: &str) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(payload);
    hasher.update(context.as_bytes());
    hasher.finalize().to_be_bytes()
}

/// Refuses a span of time in which nothing can be: whoever asks for it has mixed up
/// its ends.
///
/// # Errors
///
/// [`Reason::FieldInvalid`] on the field `before`.
pub fn check_span(after: Option<Timestamp>, before: Option<Timestamp>) -> Result<(), Problem> {
    match (after, before) {
        (Some(after), Some(before)) if before <= after => {
            let message = "use an instant later than after";
            Err(Problem::of_field(Reason::FieldInvalid, "before", message))
        }
        _ => Ok(()),
    }
}

/// The size of a page: 0 or none is [`DEFAULT_SIZE`], more than [`MAX_SIZE`]
/// is that.
#[must_use]
pub fn page_size(asked: Option<u32>) -> u32 {
    match asked {
        None | Some(0) => DEFAULT_SIZE,
        Some(size) => size.min(MAX_SIZE),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_for_its_own_list() {
        let cursor = Cursor {
            at: 5,
            id: Uuid::from_u128(7),
            direction: Direction::Prev,
        };
        let token = PageToken::encode(&cursor, "attempts acme");
        assert_eq!(PageToken::decode(&token, "attempts acme"), Ok(cursor));
        assert_eq!(PageToken::decode_or_first("", "attempts acme"), Ok(None));
        assert!(PageToken::decode("", "attempts acme").is_err());
        for (wrong, context) in [
            (token.as_str(), "attempts other"),
            (&token[..token.len() - 2], "attempts acme"),
            ("!!", "attempts acme"),
            ("AAAA", "attempts acme"),
        ] {
            let problem = PageToken::decode_or_first(wrong, context).unwrap_err();
            assert_eq!(problem.reason, Reason::PageTokenInvalid, "{wrong}");
        }
    }

    /// Walks a list of 0 to 6, newest first, as a query would.
    fn page(token: &str, size: u32) -> Page<i64> {
        let cursor = PageToken::decode_or_first(token, "c").unwrap();
        let limit = usize::try_from(size).unwrap() + 1;
        let found: Vec<i64> = match cursor {
            None => (0..=6).rev().take(limit).collect(),
            Some(Cursor {
                at,
                direction: Direction::Next,
                ..
            }) => (0..at).rev().take(limit).collect(),
            Some(Cursor { at, .. }) => (at + 1..=6).take(limit).collect(),
        };
        Page::assemble(found, size, cursor.as_ref(), "c", |item| {
            (*item, Uuid::nil())
        })
    }

    #[test]
    fn pages_lead_to_the_end_and_back() {
        let first = page("", 3);
        assert_eq!(
            (first.items.as_slice(), first.prev_page_token.as_str()),
            (&[6, 5, 4][..], "")
        );
        let second = page(&first.next_page_token, 3);
        assert_eq!(second.items, [3, 2, 1]);
        let third = page(&second.next_page_token, 3);
        assert_eq!(
            (third.items.as_slice(), third.next_page_token.as_str()),
            (&[0][..], "")
        );
        let back = page(&third.prev_page_token, 3);
        assert_eq!(back.items, [3, 2, 1]);
        let start = page(&back.prev_page_token, 3);
        assert_eq!(
            (start.items.as_slice(), start.prev_page_token.as_str()),
            (&[6, 5, 4][..], "")
        );
        assert!(!start.next_page_token.is_empty());
    }

    #[test]
    fn a_span_ends_after_it_begins() {
        let at = |millis| Some(Timestamp::from_unix_millis(millis));
        for (after, before) in [(None, None), (at(1), None), (None, at(1)), (at(1), at(2))] {
            assert_eq!(check_span(after, before), Ok(()));
        }
        for (after, before) in [(at(1), at(1)), (at(2), at(1))] {
            let problem = check_span(after, before).unwrap_err();
            assert_eq!(problem.reason, Reason::FieldInvalid);
            assert_eq!(problem.fields[0].field, "before");
        }
    }

    #[test]
    fn sizes_stay_in_their_range() {
        assert_eq!(
            [None, Some(0), Some(1), Some(1_000)].map(page_size),
            [20, 20, 1, 100]
        );
    }
}

//! The headers of a request or an answer, as they are recorded.

use std::fmt;

/// Headers in the order in which they were sent. Values are bytes:
/// HTTP allows more than text. All of them stand in one piece of memory, since an attempt
/// has some fifteen.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    text: Vec<u8>,
    /// Where in it each name and its value end.
    ends: Vec<(usize, usize)>,
}

impl Headers {
    /// Room for so many headers, and for so many bytes of all names and values.
    #[must_use]
    pub fn with_capacity(headers: usize, bytes: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
            ends: Vec::with_capacity(headers),
        }
    }

    /// Adds one behind the others; a name may come again.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        self.text.extend_from_slice(name.as_bytes());
        let name_end = self.text.len();
        self.text.extend_from_slice(value);
        self.ends.push((name_end, self.text.len()));
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let begins = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        begins.zip(&self.ends).map(|(begin, (name_end, end))| {
            let name = std::str::from_utf8(&self.text[begin..*name_end]);
            let name = name.expect("a name was added as text");
            (name, &self.text[*name_end..*end])
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all names and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut headers = Self::default();
        for (name, value) in pairs {
            headers.push(name.as_ref(), value.as_ref());
        }
        headers
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .iter()
            .map(|(name, value)| (name, value.escape_ascii()));
        f.debug_map()
            .entries(shown.map(|(name, value)| (name, value.to_string())))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_stand_in_their_order_and_may_be_empty_or_repeat() {
        let pairs: [(&str, &[u8]); 4] =
            [("a", b"1"), ("empty", b""), ("a", b"\xff\x00"), ("", b"x")];
        let headers: Headers = pairs.into_iter().collect();
        assert!(headers.iter().eq(pairs));
        assert_eq!((headers.len(), headers.bytes()), (4, 11));
        assert!(!headers.is_empty());
        assert_eq!(
            format!("{headers:?}"),
            r#"{"a": "1", "empty": "", "a": "\\xff\\x00", "": "x"}"#
        );
    }

    #[test]
    fn where_a_value_begins_makes_a_difference() {
        let one: Headers = [("ab", "c")].into_iter().collect();
        let other: Headers = [("a", "bc")].into_iter().collect();
        assert_ne!(one, other);
        assert!(Headers::default().is_empty());
    }
}

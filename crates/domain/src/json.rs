//! A publisher's JSON object, kept byte for byte.

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::error::Category;

use crate::problem::{Problem, Reason};

/// An object may have this many bytes, 256 KiB.
pub const MAX_BYTES: usize = 262_144;

/// An object may nest this deep; itself is the first level.
pub const MAX_LEVELS: usize = 128;

/// A JSON object (RFC 8259) exactly as the publisher wrote it: big numbers,
/// order of keys, escapes and white space are left as they came. Cheap to
/// clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonObject(Bytes);

impl JsonObject {
    /// Checks that the bytes are one JSON object in UTF-8 within
    /// [`MAX_BYTES`] and [`MAX_LEVELS`].
    ///
    /// # Errors
    ///
    /// On the field `object`: [`Reason::ObjectTooLarge`],
    /// [`Reason::JsonMalformed`], or [`Reason::ObjectInvalid`] for JSON that is
    /// no object or nests too deep.
    pub fn parse(bytes: Bytes) -> Result<Self, Problem> {
        if bytes.len() > MAX_BYTES {
            let message = format!(
                "it has {} bytes and may have {MAX_BYTES}; send a reference instead of the content",
                bytes.len()
            );
            return Err(Problem::of_field(Reason::ObjectTooLarge, "object", message));
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            malformed(format!(
                "byte {} is not UTF-8; send UTF-8 text",
                error.valid_up_to()
            ))
        })?;
        if levels(text) > MAX_LEVELS {
            let message = format!("it may nest {MAX_LEVELS} levels; flatten it");
            return Err(Problem::of_field(Reason::ObjectInvalid, "object", message));
        }
        // Skipping a value does not recurse, so no depth can exhaust the stack.
        serde_json::from_str::<IgnoredAny>(text)
            .map_err(|error| malformed(format!("{}; send a JSON object", mistake(&error))))?;
        if !text.trim_start().starts_with('{') {
            let message = "it is not a JSON object; wrap the value in one: {\"value\": …}";
            return Err(Problem::of_field(Reason::ObjectInvalid, "object", message));
        }
        Ok(Self(bytes))
    }

    /// The bytes as they came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Why a text is not JSON, in words that do not depend on who has read it.
#[must_use]
pub fn mistake(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Eof => "the JSON ends before it is whole".to_owned(),
        _ => format!(
            "it is not JSON from line {}, column {} on",
            error.line(),
            error.column()
        ),
    }
}

fn malformed(message: String) -> Problem {
    Problem::of_field(Reason::JsonMalformed, "object", message)
}

/// The depth of nesting, for text that may not even be JSON.
fn levels(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn reason(bytes: impl Into<Bytes>) -> Option<Reason> {
        let problem = JsonObject::parse(bytes.into()).err()?;
        assert_eq!(problem.fields[0].field, "object");
        Some(problem.reason)
    }

    fn nested(levels: usize) -> String {
        format!(
            "{{\"a\":{}{}}}",
            "[".repeat(levels - 1),
            "]".repeat(levels - 1)
        )
    }

    #[test]
    fn an_object_stays_as_it_was_written() {
        let text = " {\"b\":12345678901234567890123,\"a\":1.0e400, \"é\":\"\\u00e9\\ud83d\"}\n";
        let object = JsonObject::parse(Bytes::from_static(text.as_bytes())).unwrap();
        assert_eq!(object.as_bytes(), text.as_bytes());
    }

    #[test]
    fn a_mistake_is_told_by_its_place() {
        let detail = |text: &'static str| JsonObject::parse(text.into()).unwrap_err().detail;
        assert_eq!(
            detail("{\"a\":"),
            "object: the JSON ends before it is whole; send a JSON object"
        );
        assert_eq!(
            detail("{\n  'a': 1}"),
            "object: it is not JSON from line 2, column 3 on; send a JSON object"
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in [
            "",
            "{",
            "{} {}",
            "{'a':1}",
            "{\"a\":01}",
            "{\"a\":1,}",
            "\u{feff}{}",
            "{\"a\":\"\n\"}",
        ] {
            assert_eq!(reason(text), Some(Reason::JsonMalformed), "{text:?}");
        }
        assert_eq!(
            reason(&b"{\"a\":\"\xff\"}"[..]),
            Some(Reason::JsonMalformed)
        );
        for text in ["[]", "1", "null", "\"{}\""] {
            assert_eq!(reason(text), Some(Reason::ObjectInvalid), "{text:?}");
        }
    }

    #[test]
    fn depth_and_size_end_where_they_should() {
        assert_eq!(reason(nested(MAX_LEVELS)), None);
        assert_eq!(reason(nested(MAX_LEVELS + 1)), Some(Reason::ObjectInvalid));
        assert_eq!(reason(nested(100_000)), Some(Reason::ObjectInvalid));
        assert_eq!(reason("{\"a\":\"[[[\\\"[[[\"}"), None);
        let filled = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert_eq!(reason(filled(MAX_BYTES)), None);
        assert_eq!(reason(filled(MAX_BYTES + 1)), Some(Reason::ObjectTooLarge));
    }
}

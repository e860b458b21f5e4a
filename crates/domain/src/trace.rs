//! W3C Trace Context, level 1 (<https://www.w3.org/TR/trace-context/>).

use crate::Timestamp;

/// Which trace something belongs to, and which span it is in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceContext {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    /// Bit 0: sampled.
    pub flags: u8,
    /// The vendors' list, passed on as it came; empty if there was none.
    pub state: String,
}

const SAMPLED: u8 = 1;

/// Longer lists are dropped, as the specification allows.
const STATE_LIMIT_BYTES: usize = 512;

impl TraceContext {
    /// Reads `traceparent` and `tracestate`. `None` if the first is not valid;
    /// a later version is read as the specification says, by its first four
    /// fields.
    #[must_use]
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let text = traceparent.trim();
        let version = hex::<1>(text.get(..2)?)?[0];
        if version == 0xff || (version == 0 && text.len() != 55) {
            return None;
        }
        let separated = text.as_bytes().get(2) == Some(&b'-')
            && text.as_bytes().get(35) == Some(&b'-')
            && text.as_bytes().get(52) == Some(&b'-')
            && text.as_bytes().get(55).is_none_or(|byte| *byte == b'-');
        if !separated {
            return None;
        }
        let trace_id = hex::<16>(text.get(3..35)?)?;
        let span_id = hex::<8>(text.get(36..52)?)?;
        let flags = hex::<1>(text.get(53..55)?)?[0];
        if trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        let state = tracestate.unwrap_or_default();
        let state = if state.len() <= STATE_LIMIT_BYTES {
            state.to_owned()
        } else {
            String::new()
        };
        Some(Self {
            trace_id,
            span_id,
            flags,
            state,
        })
    }

    /// Whether its spans are to be recorded.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Says whether its spans are to be recorded.
    pub const fn set_sampled(&mut self, sampled: bool) {
        self.flags = if sampled {
            self.flags | SAMPLED
        } else {
            self.flags & !SAMPLED
        };
    }

    /// A new, sampled trace from random bytes.
    #[must_use]
    pub fn root(random: [u8; 24]) -> Self {
        let mut trace_id = [0; 16];
        trace_id.copy_from_slice(&random[..16]);
        let mut span_id = [0; 8];
        span_id.copy_from_slice(&random[16..]);
        // All zeros would be invalid.
        trace_id[0] |= 1;
        span_id[0] |= 1;
        Self {
            trace_id,
            span_id,
            flags: SAMPLED,
            state: String::new(),
        }
    }

    /// A new, sampled trace that begins now: its id has the Unix milliseconds in front,
    /// as UUIDv7 has, and is random behind. So ids of one time stand side by side in an
    /// index, and in the others' days there is nothing to read; the last seven bytes
    /// are random, as the specification's level 2 asks for and samplers rely on.
    #[must_use]
    pub fn begun(at: Timestamp, random: [u8; 24]) -> Self {
        let mut context = Self::root(random);
        let millis = at.unix_millis().to_be_bytes();
        context.trace_id[..6].copy_from_slice(&millis[2..]);
        context
    }

    /// The same trace in another span; `random` becomes the span's id.
    #[must_use]
    pub fn child(&self, mut random: [u8; 8]) -> Self {
        random[0] |= 1;
        Self {
            span_id: random,
            ..self.clone()
        }
    }

    /// The header's value, version 00.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        // Each place has two digits for each byte.
        let places = [
            (3..35, self.trace_id.as_slice()),
            (36..52, &self.span_id),
            (53..55, &[self.flags]),
        ];
        for (place, bytes) in places {
            hex::encode_to_slice(bytes, &mut text[place]).expect("its place is as long");
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The span id as 16 hex digits.
    #[must_use]
    pub fn span_id_hex(&self) -> String {
        hex::encode(self.span_id)
    }

    /// The trace id as 32 hex digits.
    #[must_use]
    pub fn trace_id_hex(&self) -> String {
        hex::encode(self.trace_id)
    }
}

/// The id of a trace as it is stored, in lower case; `None` if the text is not 32
/// hex digits.
#[must_use]
pub fn parse_id(text: &str) -> Option<String> {
    let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| text.to_ascii_lowercase())
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        // The specification forbids upper case.
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_that_begins_now_has_the_time_in_front_and_is_random_behind() {
        let at = Timestamp::from_unix_millis(0x0196_cabc_de01);
        let context = TraceContext::begun(at, [7; 24]);
        let id = "0196cabcde01070707070707070707";
        assert!(context.trace_id_hex().starts_with(id));
        assert_eq!(context.span_id, [7; 8]);
        assert!(context.is_sampled());
        let read = TraceContext::parse(&context.traceparent(), None);
        assert_eq!(read, Some(context));
    }

    #[test]
    fn a_context_survives_its_header() {
        let context = TraceContext::parse(VALID, Some("vendor=1")).unwrap();
        assert_eq!(context.traceparent(), VALID);
        assert_eq!(context.state, "vendor=1");
        let child = context.child([9; 8]);
        assert_eq!(child.trace_id, context.trace_id);
        assert_ne!(child.span_id, context.span_id);
        let root = TraceContext::root([0; 24]);
        assert_eq!(TraceContext::parse(&root.traceparent(), None), Some(root));
    }

    #[test]
    fn what_the_specification_forbids_is_refused() {
        for wrong in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-é4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(wrong, None), None, "{wrong}");
        }
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert!(TraceContext::parse(later, None).is_some());
        let long = "x".repeat(600);
        assert_eq!(TraceContext::parse(VALID, Some(&long)).unwrap().state, "");
    }
}

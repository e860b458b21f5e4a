//! Foreign text for people to read: shown as what it is, never acted upon.

use std::fmt::Write as _;
use std::time::Duration;

use domain::Timestamp;
use serde_json::value::RawValue;

/// Indented, its numbers and escapes as they came; what is no JSON stays.
pub(super) fn pretty(json: &str) -> String {
    if serde_json::from_str::<&RawValue>(json).is_err() {
        return json.to_owned();
    }
    let (mut out, mut depth, mut in_text, mut escaped) = (String::new(), 0_usize, false, false);
    let mut rest = json.chars().peekable();
    while let Some(c) = rest.next() {
        if in_text {
            out.push(c);
            in_text = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                if let Some(end) = rest.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => {
                in_text = c == '"';
                out.push(c);
            }
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Control characters and those that turn the direction of writing are written
/// out, so that nothing is shown otherwise than it is.
pub(super) fn inert(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}');
        if turns || (c.is_control() && !matches!(c, '\n' | '\t')) {
            // Writing to a string does not fail.
            let _ = write!(shown, "\\u{{{:04x}}}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// `2026-05-13 12:54:54 UTC`
pub(super) fn shown(at: Timestamp) -> String {
    let text = at.rfc3339();
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{date} {} UTC", time.get(..8).unwrap_or(time))
}

/// A span of time in its two largest units, such as `3 h 20 min`.
pub(super) fn span(span: Duration) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let mut rest = span.as_secs();
    let mut parts = Vec::new();
    for (unit, seconds) in UNITS {
        let count = rest / seconds;
        rest %= seconds;
        if count > 0 {
            parts.push(format!("{count} {unit}"));
        } else if !parts.is_empty() {
            break;
        }
    }
    parts.truncate(2);
    match parts.is_empty() {
        true => "0 s".to_owned(),
        false => parts.join(" "),
    }
}

/// The same request for a shell.
pub(super) fn curl(url: &str, headers: &[(String, String)], body: &str) -> String {
    let quote = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let mut command = format!("curl -X POST {}", quote(url));
    for (name, value) in headers.iter().filter(|(name, _)| name != "content-length") {
        command += &format!(" \\\n  -H {}", quote(&format!("{name}: {value}")));
    }
    command + &format!(" \\\n  --data-raw {}", quote(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_otherwise_left_as_it_came() {
        let json = r#"{"n":1.10,"e":"\"{,\\","o":{},"a":[ 1,[]]}"#;
        let expected = "{\n  \"n\": 1.10,\n  \"e\": \"\\\"{,\\\\\",\n  \"o\": {},\n  \
                        \"a\": [\n    1,\n    []\n  ]\n}";
        assert_eq!(pretty(json), expected);
        assert_eq!(pretty("{,"), "{,");
    }

    #[test]
    fn nothing_turns_the_direction_of_what_is_shown() {
        assert_eq!(
            inert("a\u{202e}b\u{7}\n\u{5d0}"),
            "a\\u{202e}b\\u{0007}\n\u{5d0}"
        );
    }

    #[test]
    fn a_span_has_two_units_at_most() {
        let told = [0, 59, 61, 3_600, 90_061].map(|s| span(Duration::from_secs(s)));
        assert_eq!(told, ["0 s", "59 s", "1 min 1 s", "1 h", "1 d 1 h"]);
    }

    #[test]
    fn a_quote_does_not_end_a_shells_word() {
        let made = curl("https://a.example/", &[], "{\"a\":\"it's\"}");
        assert!(made.ends_with(r#"--data-raw '{"a":"it'\''s"}'"#), "{made}");
    }
}

//! Instants as a command takes them: written out, or told from now.

use std::time::SystemTime;

use domain::Timestamp;
use domain::retry::parse_duration;

const NEEDED: &str = "write an instant (2026-05-13T12:00:00Z), a day in UTC (2026-05-13), how \
                      long ago (90s, 30min, 1h, 7d) or now";

const NEEDED_TO_COME: &str =
    "write an instant that is still to come (2027-01-01T00:00:00Z), or a day in UTC (2027-01-01)";

/// An instant; a duration is that long before now.
///
/// # Errors
///
/// When it is none; the text says what would be.
pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    parse(text, SystemTime::now().into()).ok_or_else(|| NEEDED.to_owned())
}

/// An instant after now.
///
/// # Errors
///
/// As [`instant`], and when it is past.
pub(super) fn instant_to_come(text: &str) -> Result<Timestamp, String> {
    written_out(text.trim())
        .filter(|at| *at > SystemTime::now().into())
        .ok_or_else(|| NEEDED_TO_COME.to_owned())
}

fn parse(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("now") {
        return Some(now);
    }
    let duration = text.strip_suffix("ago").unwrap_or(text);
    match parse_duration(duration) {
        // Beyond all calendars it is a slip of the finger.
        Ok(ago) => Some(now.minus(ago)).filter(|at| at.unix_millis() >= 0),
        Err(_) => written_out(text),
    }
}

fn written_out(text: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(text)
        .or_else(|| Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_out_or_told_from_now() {
        let now = Timestamp::parse_rfc3339("2026-05-13T12:00:00Z").unwrap();
        for (text, expected) in [
            ("2026-05-01T10:00:00+02:00", "2026-05-01T08:00:00.000Z"),
            ("2026-05-01", "2026-05-01T00:00:00.000Z"),
            ("now", "2026-05-13T12:00:00.000Z"),
            (" Now ", "2026-05-13T12:00:00.000Z"),
            ("1h", "2026-05-13T11:00:00.000Z"),
            ("90 s ago", "2026-05-13T11:58:30.000Z"),
            ("7d ago", "2026-05-06T12:00:00.000Z"),
        ] {
            let at = parse(text, now).map(Timestamp::rfc3339);
            assert_eq!(at.as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "ago",
            "1",
            "-1h",
            "1h30min",
            "2026-05-32",
            "2026-05-13T12:00:00",
            "13.05.2026",
            "90000000d",
        ] {
            assert_eq!(parse(text, now), None, "{text}");
        }
    }

    #[test]
    fn an_end_is_still_to_come() {
        assert!(instant_to_come("2999-01-01").is_ok());
        for text in ["2020-01-01T00:00:00Z", "now", "90d", "tomorrow"] {
            let error = instant_to_come(text).unwrap_err();
            assert!(error.contains("2027-01-01T00:00:00Z"), "{text}: {error}");
        }
    }
}

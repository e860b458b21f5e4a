//! What is wrong with a signature. Pure.

use domain::EventId;
use domain::signature::{Secret, body_signature, standard_signature};
use serde_json::Value;

/// Standard Webhooks' libraries refuse what is older or newer, in seconds.
const TOLERANCE: i64 = 300;

/// What a customer pasted.
#[derive(Debug, Default)]
pub(super) struct Pasted {
    /// `X-Webhook-Signature`
    body_signature: String,
    id: String,
    timestamp: String,
    /// `webhook-signature`
    standard_signature: String,
    /// The body as it may have been before it was pasted.
    bodies: Vec<String>,
}

/// What is to be told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Match,
    /// It matches, and is so many seconds old (or early, if negative).
    OldTimestamp(i64),
    /// The body is the one that was sent.
    WrongSecret,
    ChangedBody,
    /// The same JSON in other bytes.
    RewrittenBody,
    /// Neither the body nor the signature is as it was sent.
    WrongSecretAndBody,
    /// It does not match, and the event is not known here.
    NoMatch,
    /// There is nothing to check.
    NoSignature,
    /// `webhook-signature` needs its two companions.
    Incomplete,
}

impl Verdict {
    pub(super) fn is_good(&self) -> bool {
        *self == Self::Match
    }

    pub(super) fn title(&self) -> &'static str {
        match self {
            Self::Match => "Match",
            Self::OldTimestamp(_) => "Old timestamp",
            Self::WrongSecret => "Wrong secret",
            Self::ChangedBody | Self::RewrittenBody => "Changed body",
            Self::WrongSecretAndBody => "Wrong secret and changed body",
            Self::NoMatch => "No match",
            Self::NoSignature | Self::Incomplete => "Something is missing",
        }
    }

    pub(super) fn advice(&self) -> String {
        let text = match self {
            Self::Match => {
                "The signature was made over exactly this body with this endpoint's current secret."
            }
            Self::OldTimestamp(age) => return old(*age),
            Self::WrongSecret => {
                "The body is exactly what was sent, so the signature was made with another secret: an old one, or that of another endpoint."
            }
            Self::ChangedBody => {
                "This secret signed another body than this one. Check against the raw bytes, before anything parses or changes them."
            }
            Self::RewrittenBody => {
                "It is the same JSON in other bytes: something parsed it and wrote it anew. Check against the raw bytes, before your framework parses them."
            }
            Self::WrongSecretAndBody => {
                "The body is not what was sent, and the signature was made with another secret than this endpoint's current one."
            }
            Self::NoMatch => {
                "The secret or the body is another one. The event is not known here, so there is nothing to compare the body with; paste webhook-id, too."
            }
            Self::NoSignature => {
                "Paste the header X-Webhook-Signature, or webhook-signature with webhook-id and webhook-timestamp."
            }
            Self::Incomplete => {
                "webhook-signature is made over webhook-id and webhook-timestamp as well: paste all three."
            }
        };
        text.to_owned()
    }
}

fn old(age: i64) -> String {
    let (much, way) = match age {
        0.. => (age.unsigned_abs(), "old"),
        _ => (age.unsigned_abs(), "ahead of time"),
    };
    let much = crate::dashboard::plain::span(std::time::Duration::from_secs(much));
    format!(
        "The signature matches, but the message is {much} {way}. Libraries refuse more than 5 \
         minutes: it may be a replayed request, or a clock may be wrong."
    )
}

impl Pasted {
    /// Reads lines like `name: value`, or a signature alone.
    pub(super) fn read(headers: &str, body: &str) -> Self {
        let mut pasted = Self {
            bodies: bodies(body),
            ..Self::default()
        };
        for line in headers
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            match line.split_once(':') {
                Some((name, value)) => pasted.take(&name.trim().to_ascii_lowercase(), value.trim()),
                None if line.starts_with("v1,") => pasted.take("webhook-signature", line),
                None => pasted.take("x-webhook-signature", line),
            }
        }
        pasted
    }

    fn take(&mut self, name: &str, value: &str) {
        let field = match name {
            "x-webhook-signature" => &mut self.body_signature,
            "webhook-id" => &mut self.id,
            "webhook-timestamp" => &mut self.timestamp,
            "webhook-signature" => &mut self.standard_signature,
            _ => return,
        };
        value.clone_into(field);
    }

    /// The event that this is, by its header or its body.
    pub(super) fn event_id(&self) -> Option<EventId> {
        let of_body = || {
            let body: Value = serde_json::from_str(self.bodies.first()?).ok()?;
            body["id"].as_str()?.parse().ok()
        };
        self.id.parse().ok().or_else(of_body)
    }

    /// `sent` is the body that the event had, if it is known; `now` is in Unix
    /// seconds.
    pub(super) fn judge(&self, secret: &Secret, sent: Option<&[u8]>, now: i64) -> Verdict {
        if self.body_signature.is_empty() {
            if self.standard_signature.is_empty() {
                return Verdict::NoSignature;
            }
            if self.id.is_empty() || self.timestamp().is_none() {
                return Verdict::Incomplete;
            }
        }
        let signed = |body: &String| self.is_signed(secret, body.as_bytes());
        if self.bodies.iter().any(signed) {
            return match self.timestamp().map(|at| now.saturating_sub(at)) {
                Some(age) if age.abs() > TOLERANCE => Verdict::OldTimestamp(age),
                _ => Verdict::Match,
            };
        }
        let Some(sent) = sent else {
            return Verdict::NoMatch;
        };
        if self.bodies.iter().any(|body| body.as_bytes() == sent) {
            return Verdict::WrongSecret;
        }
        match (self.is_signed(secret, sent), self.is_same_json(sent)) {
            (true, true) => Verdict::RewrittenBody,
            (true, false) => Verdict::ChangedBody,
            (false, _) => Verdict::WrongSecretAndBody,
        }
    }

    fn is_signed(&self, secret: &Secret, body: &[u8]) -> bool {
        if !self.body_signature.is_empty() {
            return self.body_signature == body_signature(secret, body);
        }
        let Some(timestamp) = self.timestamp() else {
            return false;
        };
        let expected = standard_signature(secret, &self.id, timestamp, body);
        self.standard_signature
            .split_whitespace()
            .any(|one| one == expected)
    }

    fn timestamp(&self) -> Option<i64> {
        self.timestamp.parse().ok()
    }

    fn is_same_json(&self, sent: &[u8]) -> bool {
        let sent: Option<Value> = serde_json::from_slice(sent).ok();
        let pasted = self.bodies.first();
        sent.is_some() && pasted.and_then(|body| serde_json::from_str(body).ok()) == sent
    }
}

/// A form turns line ends into CR LF, and pasting often adds one.
fn bodies(pasted: &str) -> Vec<String> {
    let unix = pasted.replace("\r\n", "\n");
    let trimmed = unix.trim_end_matches('\n').to_owned();
    let mut bodies = vec![trimmed, unix, pasted.to_owned()];
    bodies.dedup();
    bodies
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"id":"evt_85e59919-3147-454b-bade-75d1f0c5a1f2","n":1.0}"#;
    const NOW: i64 = 1_747_147_674;

    fn secret(byte: u8) -> Secret {
        Secret::from_random([byte; 32])
    }

    fn headers(key: &Secret, at: i64) -> String {
        let id = "evt_85e59919-3147-454b-bade-75d1f0c5a1f2";
        format!(
            "Webhook-Id: {id}\nwebhook-timestamp: {at}\nX-Webhook-Signature:{}\nwebhook-signature: v1,old {}\r\n",
            body_signature(key, BODY.as_bytes()),
            standard_signature(key, id, at, BODY.as_bytes()),
        )
    }

    fn judge(headers: &str, body: &str, sent: bool) -> Verdict {
        let sent = sent.then_some(BODY.as_bytes());
        Pasted::read(headers, body).judge(&secret(1), sent, NOW)
    }

    #[test]
    fn each_mistake_has_its_own_verdict() {
        let good = headers(&secret(1), NOW - 10);
        let spaced = BODY.replace(':', ": ");
        let changed = BODY.replace("1.0", "2");
        let other = headers(&secret(2), NOW);
        let old = headers(&secret(1), NOW - 301);
        let early = headers(&secret(1), NOW + 301);
        let standard: String = good
            .lines()
            .filter(|l| !l.starts_with('X'))
            .fold(String::new(), |all, l| all + l + "\n");
        let alone = body_signature(&secret(1), BODY.as_bytes());
        let companions_missing = good.lines().last().unwrap();
        let cases = [
            (good.as_str(), BODY, true, Verdict::Match),
            (&alone, BODY, false, Verdict::Match),
            (&standard, BODY, true, Verdict::Match),
            (&good, &format!("{BODY}\r\n"), false, Verdict::Match),
            (&old, BODY, true, Verdict::OldTimestamp(301)),
            (&early, BODY, true, Verdict::OldTimestamp(-301)),
            (&other, BODY, true, Verdict::WrongSecret),
            (&good, &changed, true, Verdict::ChangedBody),
            (&good, &spaced, true, Verdict::RewrittenBody),
            (&other, &changed, true, Verdict::WrongSecretAndBody),
            (&other, BODY, false, Verdict::NoMatch),
            ("", BODY, true, Verdict::NoSignature),
            (companions_missing, BODY, true, Verdict::Incomplete),
        ];
        for (headers, body, sent, expected) in cases {
            assert_eq!(judge(headers, body, sent), expected, "{headers}\n{body}");
        }
    }

    #[test]
    fn the_event_is_found_by_header_or_body() {
        let id = BODY[7..47].parse().unwrap();
        assert_eq!(Pasted::read("", BODY).event_id(), Some(id));
        let by_header = format!("webhook-id: {id}");
        assert_eq!(Pasted::read(&by_header, "{}").event_id(), Some(id));
        assert_eq!(Pasted::read("webhook-id: x", "x").event_id(), None);
    }
}

//! The headers of an attempt: Postrider's own, then those that the endpoint's
//! owner added. Nothing else goes out: the HTTP client adds none.

use bytes::Bytes;
use domain::challenge::{self, Challenge};
use domain::custom_headers::REDACTED;
use domain::signature::{body_signature, standard_signature};
use domain::{EventId, Headers, Timestamp, TraceContext};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::secrets::Secrets;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// About what the names and values take that are recorded.
const RECORDED_BYTES: usize = 512;

/// What the headers say.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    /// The target's.
    pub(crate) host: Option<&'a HeaderValue>,
    pub(crate) user_agent: &'a HeaderValue,
    pub(crate) event_id: EventId,
    pub(crate) started_at: Timestamp,
    pub(crate) secrets: &'a Secrets,
    pub(crate) body: &'a Bytes,
    /// `None`: the endpoint does not want it.
    pub(crate) trace: Option<&'a TraceContext>,
    /// What the endpoint is to echo, if that is asked.
    pub(crate) challenge: Option<&'a Challenge>,
}

impl Head<'_> {
    /// The headers in the order in which they are sent.
    pub(crate) fn headers(&self) -> HeaderMap {
        let id = self.event_id.to_string();
        let timestamp = self.started_at.unix_seconds();
        let mut signatures = String::new();
        for secret in self.secrets.valid_at(self.started_at) {
            if !signatures.is_empty() {
                signatures.push(' ');
            }
            signatures.push_str(&standard_signature(secret, &id, timestamp, self.body));
        }
        let of_text = |text: String| HeaderValue::try_from(text).ok();
        let own = [
            (HOST, self.host.cloned()),
            (CONTENT_TYPE, Some(JSON)),
            (CONTENT_LENGTH, Some(self.body.len().into())),
            (USER_AGENT, Some(self.user_agent.clone())),
            (
                HeaderName::from_static("x-webhook-signature"),
                of_text(body_signature(&self.secrets.current, self.body)),
            ),
            (HeaderName::from_static("webhook-id"), of_text(id)),
            (
                HeaderName::from_static("webhook-timestamp"),
                Some(timestamp.into()),
            ),
            (
                HeaderName::from_static("webhook-signature"),
                of_text(signatures),
            ),
            (
                HeaderName::from_static("traceparent"),
                self.trace.and_then(|trace| of_text(trace.traceparent())),
            ),
            (
                HeaderName::from_static(challenge::HEADER),
                self.challenge
                    .and_then(|challenge| of_text(challenge.as_str().to_owned())),
            ),
        ];
        let mut headers = HeaderMap::with_capacity(own.len() + self.secrets.headers.len());
        for (name, value) in own {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        for (name, value) in &self.secrets.headers {
            // Refused at registration; what is refused may have grown since.
            if !headers.contains_key(name) {
                headers.insert(name, value.clone());
            }
        }
        headers
    }
}

/// The headers as they are recorded: values that may be credentials are marked
/// as sensitive, and not shown.
pub(crate) fn recorded(headers: &HeaderMap) -> Headers {
    let mut recorded = Headers::with_capacity(headers.len(), RECORDED_BYTES);
    for (name, value) in headers {
        let shown = match value.is_sensitive() {
            true => REDACTED.as_bytes(),
            false => value.as_bytes(),
        };
        recorded.push(name.as_str(), shown);
    }
    recorded
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::samples;
    use crate::secrets::Keyring;

    #[test]
    fn an_attempt_has_exactly_these_headers() {
        let mut endpoint = samples::endpoint();
        let (new, old) = (samples::secret(2), samples::secret(1));
        endpoint.secrets = vec![
            samples::sealed(endpoint.id, &new, None),
            samples::sealed(endpoint.id, &old, Some(Timestamp::from_unix_millis(9_000))),
        ];
        let secrets = Keyring::new(Arc::new(samples::vault()))
            .secrets(&endpoint)
            .unwrap();
        let body = Bytes::from_static(b"{\"a\":1}");
        let event_id: EventId = "evt_85e59919-3147-454b-bade-75d1f0c5a1f2".parse().unwrap();
        let trace = TraceContext::root([1; 24]);
        let headers = Head {
            host: Some(&HeaderValue::from_static("example.com")),
            user_agent: &HeaderValue::from_static("Postrider/1.2.3"),
            event_id,
            started_at: Timestamp::from_unix_millis(8_999),
            secrets: &secrets,
            body: &body,
            trace: Some(&trace),
            challenge: Some(&Challenge::from_random([0xcd; 32])),
        }
        .headers();
        let id = event_id.to_string();
        let sent = recorded(&headers);
        let expected = [
            ("host", "example.com".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("content-length", "7".to_owned()),
            ("user-agent", "Postrider/1.2.3".to_owned()),
            ("x-webhook-signature", body_signature(&new, &body)),
            ("webhook-id", id.clone()),
            ("webhook-timestamp", "8".to_owned()),
            (
                "webhook-signature",
                format!(
                    "{} {}",
                    standard_signature(&new, &id, 8, &body),
                    standard_signature(&old, &id, 8, &body)
                ),
            ),
            ("traceparent", trace.traceparent()),
            ("webhook-challenge", "cd".repeat(32)),
        ];
        assert_eq!(sent, expected.into_iter().collect());
    }

    #[test]
    fn custom_headers_are_sent_behind_our_own_and_recorded_without_values() {
        let mut endpoint = samples::endpoint();
        let pairs = [("X-Api-Key", "hush"), ("authorization", "Bearer hush")];
        endpoint.policy.headers = Some(samples::sealed_headers(endpoint.id, &pairs));
        let secrets = Keyring::new(Arc::new(samples::vault()))
            .secrets(&endpoint)
            .unwrap();
        let mut head = Head {
            host: None,
            user_agent: &HeaderValue::from_static("Postrider/1.2.3"),
            event_id: EventId::new(),
            started_at: Timestamp::from_unix_millis(0),
            secrets: &secrets,
            body: &Bytes::new(),
            trace: None,
            challenge: None,
        };
        let headers = head.headers();
        assert_eq!(headers["x-api-key"], "hush");
        assert_eq!(headers["authorization"], "Bearer hush");
        assert!(!headers.contains_key("traceparent"), "it is switched off");
        let kept = recorded(&headers);
        let kept: Vec<_> = kept.iter().collect();
        let redacted = b"***".as_slice();
        assert_eq!(
            kept[kept.len() - 2..],
            [("x-api-key", redacted), ("authorization", redacted)]
        );
        assert!(!format!("{headers:?}").contains("hush"));

        // What is stored never stands in for what we say.
        let pairs = [("Webhook-Id", "other"), ("traceparent", "other")];
        endpoint.policy.headers = Some(samples::sealed_headers(endpoint.id, &pairs));
        endpoint.version += 1;
        let secrets = Keyring::new(Arc::new(samples::vault()))
            .secrets(&endpoint)
            .unwrap();
        let trace = TraceContext::root([1; 24]);
        head.secrets = &secrets;
        head.trace = Some(&trace);
        let headers = head.headers();
        assert_eq!(headers["webhook-id"], head.event_id.to_string());
        assert_eq!(headers["traceparent"], trace.traceparent());
    }
}

//! The headers of an attempt: Postrider's own, then those that the endpoint's
//! owner added. Nothing else goes out: the HTTP client adds none.

use bytes::Bytes;
use domain::challenge::{self, Challenge};
use domain::custom_headers::REDACTED;
use domain::signature::{body_signature, standard_signature};
use domain::{EventId, Timestamp, TraceContext};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::secrets::Secrets;

/// What the headers say.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    /// The endpoint's, as it is in the directory.
    pub(crate) url: &'a str,
    pub(crate) user_agent: &'a str,
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
        let signatures: Vec<String> = self
            .secrets
            .valid_at(self.started_at)
            .map(|secret| standard_signature(secret, &id, timestamp, self.body))
            .collect();
        let headers = [
            (HOST, host(self.url)),
            (CONTENT_TYPE, Some("application/json".to_owned())),
            (CONTENT_LENGTH, Some(self.body.len().to_string())),
            (USER_AGENT, Some(self.user_agent.to_owned())),
            (
                HeaderName::from_static("x-webhook-signature"),
                Some(body_signature(&self.secrets.current, self.body)),
            ),
            (HeaderName::from_static("webhook-id"), Some(id)),
            (
                HeaderName::from_static("webhook-timestamp"),
                Some(timestamp.to_string()),
            ),
            (
                HeaderName::from_static("webhook-signature"),
                Some(signatures.join(" ")),
            ),
            (
                HeaderName::from_static("traceparent"),
                self.trace.map(TraceContext::traceparent),
            ),
            (
                HeaderName::from_static(challenge::HEADER),
                self.challenge
                    .map(|challenge| challenge.as_str().to_owned()),
            ),
        ];
        let valid = |(name, value): (HeaderName, Option<String>)| {
            HeaderValue::try_from(value?)
                .ok()
                .map(|value| (name, value))
        };
        let mut headers: HeaderMap = headers.into_iter().filter_map(valid).collect();
        for (name, value) in &self.secrets.headers {
            // Refused at registration; what is refused may have grown since.
            if !headers.contains_key(name) {
                headers.insert(name, value.clone());
            }
        }
        headers
    }
}

/// Host and port, without the scheme's own port. `None` if the URL is none,
/// which the client refuses.
fn host(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    let host = url.host_str()?;
    Some(match url.port() {
        None => host.to_owned(),
        Some(port) => format!("{host}:{port}"),
    })
}

/// The headers as they are recorded: values that may be credentials are marked
/// as sensitive, and not shown.
pub(crate) fn recorded(headers: &HeaderMap) -> Vec<(String, Bytes)> {
    let shown = |value: &HeaderValue| match value.is_sensitive() {
        true => Bytes::from_static(REDACTED.as_bytes()),
        false => Bytes::copy_from_slice(value.as_bytes()),
    };
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), shown(value)))
        .collect()
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
            url: "https://Example.com:443/hook?x=1",
            user_agent: "Postrider/1.2.3",
            event_id,
            started_at: Timestamp::from_unix_millis(8_999),
            secrets: &secrets,
            body: &body,
            trace: Some(&trace),
            challenge: Some(&Challenge::from_random([0xcd; 32])),
        }
        .headers();
        let id = event_id.to_string();
        let sent: Vec<(String, String)> = recorded(&headers)
            .into_iter()
            .map(|(name, value)| (name, String::from_utf8(value.to_vec()).unwrap()))
            .collect();
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
        assert_eq!(sent, expected.map(|(name, value)| (name.to_owned(), value)));
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
            url: &endpoint.url,
            user_agent: "Postrider/1.2.3",
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
        let redacted = Bytes::from_static(b"***");
        assert_eq!(
            kept[kept.len() - 2..],
            [
                ("x-api-key".to_owned(), redacted.clone()),
                ("authorization".to_owned(), redacted)
            ]
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

    #[test]
    fn the_host_keeps_a_port_of_its_own() {
        assert_eq!(
            host("http://127.0.0.1:9000/x").as_deref(),
            Some("127.0.0.1:9000")
        );
        assert_eq!(
            host("https://[2606:4700::1]:8443").as_deref(),
            Some("[2606:4700::1]:8443")
        );
        assert_eq!(
            host("http://example.com:80").as_deref(),
            Some("example.com")
        );
    }
}

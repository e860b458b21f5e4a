//! The URL of an endpoint.

use std::net::IpAddr;

use url::{Host, Url};

use super::Policy;
use crate::problem::FieldViolation;

/// A URL has at most this many characters.
pub const MAX_URL_CHARS: usize = 2_048;

/// The bad ports of the Fetch standard (<https://fetch.spec.whatwg.org/#port-blocking>),
/// and 0.
const BAD_PORTS: [u16; 83] = [
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101,
    102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427,
    465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990,
    993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667,
    6668, 6669, 6679, 6697, 10080,
];

/// Names that mean something inside a network only, with what stands below.
const LOCAL_NAMES: [&str; 5] = ["localhost", "internal", "local", "svc", "cluster.local"];

/// A URL that may be registered. Keeps its owner's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointUrl {
    text: String,
    url: Url,
}

impl EndpointUrl {
    /// Checks everything that can be told without asking the network.
    ///
    /// # Errors
    ///
    /// On the field `url`.
    pub fn parse(text: &str, policy: &Policy) -> Result<Self, FieldViolation> {
        check(text, policy)
            .map(|url| Self {
                text: text.to_owned(),
                url,
            })
            .map_err(|message| FieldViolation::new("url", message))
    }

    /// As its owner wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parsed form.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The host: a name to resolve, or an address.
    #[must_use]
    pub fn host(&self) -> Host<&str> {
        self.url
            .host()
            .expect("a URL without a host is not accepted")
    }

    /// The port, the scheme's if none is given.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(443)
    }
}

fn check(text: &str, policy: &Policy) -> Result<Url, &'static str> {
    if text.chars().count() > MAX_URL_CHARS {
        return Err("shorten it to 2048 characters");
    }
    // The parser would drop some of them silently.
    if text
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || c == '\\')
    {
        return Err("remove control characters, white space and backslashes");
    }
    let relative = "use an absolute URL, e.g. https://example.com/hook";
    let url = Url::parse(text).map_err(|_| relative)?;
    match url.scheme() {
        "https" => {}
        "http" if policy.allow_http => {}
        "http" => return Err("use https; plain http is not allowed here"),
        _ => return Err("use a URL that begins with https://"),
    }
    // The parser takes `https:example.com`, `https:/example.com//x` and
    // `https:///example.com` too.
    if authority(text).is_empty() {
        return Err(relative);
    }
    if !url.username().is_empty() || url.password().is_some() || authority(text).contains('@') {
        return Err("remove the user name and password; check the signature instead");
    }
    if url
        .port_or_known_default()
        .is_none_or(|port| BAD_PORTS.contains(&port))
    {
        return Err("use another port, e.g. 443; this one is never used for webhooks");
    }
    match url
        .host()
        .ok_or("name a host, e.g. https://example.com/hook")?
    {
        Host::Ipv4(address) => check_address(address.into(), policy)?,
        Host::Ipv6(address) => check_address(address.into(), policy)?,
        Host::Domain(name) => check_name(name, policy)?,
    }
    Ok(url)
}

/// What stands between `scheme://` and the path in the raw text; empty if it
/// does not begin so.
fn authority(text: &str) -> &str {
    let rest = text
        .split_once(':')
        .and_then(|(_, rest)| rest.strip_prefix("//"))
        .unwrap_or_default();
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

fn check_address(address: IpAddr, policy: &Policy) -> Result<(), &'static str> {
    if policy.permits(address) {
        return Ok(());
    }
    Err("use a public address; private, loopback and reserved ones are not allowed")
}

fn check_name(name: &str, policy: &Policy) -> Result<(), &'static str> {
    let malformed = "use a valid host name of several labels, e.g. hooks.example.com";
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_local = LOCAL_NAMES.iter().any(|local| {
        name.strip_suffix(local)
            .is_some_and(|above| above.is_empty() || above.ends_with('.'))
    });
    if is_local && name.ends_with("localhost") && policy.permits_local_names() {
        return Ok(());
    }
    if policy.names(name) {
        return Ok(());
    }
    let good_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if name.len() > 253 || !name.split('.').all(good_label) {
        return Err(malformed);
    }
    if is_local {
        return Err("use a public host name; this one means something inside a network only");
    }
    if !name.contains('.') {
        return Err(malformed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str, policy: &Policy) -> Option<String> {
        EndpointUrl::parse(text, policy)
            .err()
            .map(|violation| violation.message)
    }

    #[test]
    fn ordinary_urls_are_accepted_as_written() {
        for good in [
            "https://example.com",
            "https://example.com:8443/a?b=c",
            "https://example.com:65535",
            "https://example.com?next=//a@b",
            "https://hooks.example.co.uk/ä",
            "https://1.1.1.1/",
            "https://[2606:4700:4700::1111]/",
            "https://a_b.example.com/",
            "https://bücher.example/",
            "https://example.com./",
            "https://example.com/@handle",
        ] {
            assert_eq!(message(good, &Policy::default()), None, "{good}");
        }
        let url = EndpointUrl::parse("HTTPS://Example.com/A", &Policy::default());
        assert_eq!(
            url.map(|url| url.as_str().to_owned()),
            Ok("HTTPS://Example.com/A".to_owned())
        );
    }

    #[test]
    fn what_could_lead_inside_is_refused() {
        for bad in [
            "",
            "example.com",
            "/hook",
            "ftp://example.com",
            "http://example.com",
            "https://",
            "https://user@example.com",
            "https://user:pw@example.com",
            "https://@example.com",
            "https://example.com:22",
            "https://example.com:0",
            "https://example.com:6667",
            "https://example.com:70000",
            "https://localhost",
            "https://a.localhost",
            "https://LOCALHOST.",
            "https://printer.local",
            "https://x.internal",
            "https://a.b.svc",
            "https://a.svc.cluster.local",
            "https://intranet",
            "https://-a.example.com",
            "https://a-.example.com",
            "https://a..example.com",
            "https://.example.com",
            "https://exa\tmple.com",
            "https://example.com\\@1.1.1.1",
            "https://example.com/\n",
            "https://exa mple.com",
            "https://127.0.0.1",
            "https://[::1]",
            "https://[::ffff:127.0.0.1]",
            "https://2130706433",
            "https://0x7f.1",
            "https://017700000001",
            "https://127.1",
            "https://0",
            "https://169.254.169.254",
            "https://10.0.0.1",
            "https://１２７.0.0.1",
            "https://[fe80::1]",
            "https://[64:ff9b::7f00:1]",
            "javascript:alert(1)",
            "https:example.com",
            "https:@example.com",
            "https:/example.com",
            "https:example.com//x",
            "https:/example.com//x",
            "https:@example.com//x",
            "https:///example.com",
            "https://%31%32%37.0.0.1",
            "https://127%2e0.0.1",
            "https://127。0。0。1",
            "https://local%68ost",
            "https://ⓛocalhost",
            "https://example.com:65536",
            "https://metadata.google.internal.",
        ] {
            assert!(message(bad, &Policy::default()).is_some(), "{bad:?}");
        }
        let label = "a".repeat(64);
        assert!(message(&format!("https://{label}.example.com"), &Policy::default()).is_some());
        let long = format!("https://example.com/{}", "a".repeat(MAX_URL_CHARS));
        assert!(message(&long, &Policy::default()).is_some());
    }

    #[test]
    fn an_operator_can_allow_http_and_loopback() {
        let dev = Policy {
            allow_http: true,
            allow_loopback: true,
            ..Policy::default()
        };
        for good in [
            "http://127.0.0.1:9000/hook",
            "http://localhost:9000",
            "http://[::1]:9000",
        ] {
            assert_eq!(message(good, &dev), None, "{good}");
        }
        assert!(message("http://10.0.0.1", &dev).is_some());
        assert!(message("http://127.0.0.1:22", &dev).is_some());
    }
}

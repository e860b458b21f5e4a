//! What an endpoint's URL says, told once for all of its POSTs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use domain::egress::Policy;
use domain::{EndpointUrl, Failure};
use http::{HeaderValue, Uri};
use url::Url;

use super::failure;

/// URLs that are remembered. When it is full, it starts over: reading one costs a
/// microsecond.
const CAPACITY: usize = 50_000;

/// A URL of more bytes is read each time: what is remembered has a bound.
const LONGEST: usize = 512;

/// Where an endpoint's POSTs go. No `Debug`: URLs may hold credentials.
pub(crate) struct Target {
    /// Host and port, without the scheme's own port; `None` if the URL is none.
    pub(crate) host: Option<HeaderValue>,
    /// Or why nothing is sent there.
    pub(super) uri: Result<Uri, Failure>,
}

impl Target {
    /// The URL is judged again as at registration: the policy may have become stricter
    /// since.
    fn new(text: &str, policy: &Policy) -> Self {
        let uri = EndpointUrl::parse(text, policy)
            .map_err(|violation| failure::denied(&violation.message))
            .and_then(|url| {
                let uri = url.url().as_str().parse();
                uri.map_err(|_| failure::denied("it cannot be used in an HTTP request"))
            });
        Self {
            host: host(text).and_then(|host| HeaderValue::try_from(host).ok()),
            uri,
        }
    }
}

fn host(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?;
    Some(match url.port() {
        None => host.to_owned(),
        Some(port) => format!("{host}:{port}"),
    })
}

/// The targets of one policy, which does not change.
#[derive(Default)]
pub(super) struct Targets(Mutex<HashMap<String, Arc<Target>>>);

impl Targets {
    pub(super) fn of(&self, url: &str, policy: &Policy) -> Arc<Target> {
        if let Some(known) = self.lock().get(url) {
            return Arc::clone(known);
        }
        let target = Arc::new(Target::new(url, policy));
        if url.len() <= LONGEST {
            // Dropped when nobody waits for the lock any more.
            let _old;
            let mut known = self.lock();
            _old = (known.len() >= CAPACITY).then(|| std::mem::take(&mut *known));
            known.insert(url.to_owned(), Arc::clone(&target));
        }
        target
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Target>>> {
        self.0.lock().expect("no panic holds it")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use domain::FailureClass;

    use super::*;

    fn target(url: &str) -> Arc<Target> {
        Targets::default().of(url, &Policy::default())
    }

    #[test]
    fn the_host_keeps_a_port_of_its_own() {
        for (url, host) in [
            ("https://Example.com:443/hook?x=1", "example.com"),
            ("http://127.0.0.1:9000/x", "127.0.0.1:9000"),
            ("https://[2606:4700::1]:8443", "[2606:4700::1]:8443"),
            ("http://example.com:80", "example.com"),
        ] {
            assert_eq!(target(url).host.as_ref().unwrap(), host, "{url}");
        }
        assert_eq!(target("no URL").host, None);
    }

    #[test]
    fn what_the_policy_refuses_is_refused_each_time() {
        let targets = Targets::default();
        let of = |url| targets.of(url, &Policy::default());
        for _ in 0..2 {
            let good = of("https://example.com/hook?x=1");
            assert_eq!(good.uri.as_ref().unwrap(), "https://example.com/hook?x=1");
            for bad in ["https://127.0.0.1/x", "https://example.com/a b"] {
                let failure = of(bad).uri.clone().unwrap_err();
                assert_eq!(failure.class, FailureClass::EgressDenied, "{bad}");
            }
        }
        assert_eq!(targets.lock().len(), 3);
    }

    #[test]
    fn a_url_is_read_once_unless_it_is_long() {
        let targets = Targets::default();
        let of = |url: &str| targets.of(url, &Policy::default());
        let url = "https://example.com/hook";
        assert!(Arc::ptr_eq(&of(url), &of(url)));
        let long = format!("{url}?{}", "x".repeat(LONGEST));
        assert!(!Arc::ptr_eq(&of(&long), &of(&long)));
        assert_eq!(of(&long).uri, Ok(long.parse().unwrap()));
    }

    #[test]
    fn when_it_is_full_it_starts_over() {
        let targets = Targets::default();
        for number in 0..=CAPACITY {
            targets.of(&number.to_string(), &Policy::default());
        }
        assert_eq!(targets.lock().len(), 1);
    }
}

//! The properties of what strangers write, tried by libFuzzer: those of the
//! target that `TARGET` names.
#![no_main]

#[path = "../../../crates/domain/tests/strangers/properties.rs"]
mod domains;
#[path = "../../../crates/proto/tests/strangers/properties.rs"]
mod protos;

use std::sync::LazyLock;

use domain::EndpointUrl;
use domain::custom_headers::CustomHeaders;
use domain::egress::Policy;
use http::{HeaderName, HeaderValue, Uri};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<domains::Target> = LazyLock::new(|| {
    let name = std::env::var("TARGET").unwrap_or_default();
    let mut targets = domains::TARGETS.iter().chain(&protos::TARGETS);
    let named = targets.find(|(known, _)| *known == name);
    *named.unwrap_or_else(|| panic!("TARGET names none: {name:?}"))
});

fuzz_target!(|bytes: &[u8]| {
    let (name, property) = *TARGET;
    property(bytes);
    match (name, std::str::from_utf8(bytes)) {
        ("urls", Ok(text)) => url_of_the_client(text),
        ("headers", Ok(text)) => header_of_the_client(text),
        _ => {}
    }
});

/// The client that sends to an accepted URL understands it as the same host.
fn url_of_the_client(text: &str) {
    if let Ok(accepted) = EndpointUrl::parse(text, &Policy::default()) {
        let url = accepted.url();
        let uri: Uri = url.as_str().parse().expect("a URI of the HTTP client");
        assert_eq!(uri.host(), url.host_str());
        assert_eq!(uri.port_u16(), url.port());
    }
}

/// An accepted header is one to the client.
fn header_of_the_client(text: &str) {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    if let Ok(headers) = CustomHeaders::check(vec![(name.to_owned(), value.to_owned())]) {
        for (name, value) in headers.expose() {
            HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
            HeaderValue::from_str(value).expect("a header's value");
        }
    }
}

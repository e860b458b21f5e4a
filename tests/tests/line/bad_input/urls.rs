//! URLs that are none, or lead where nothing may be sent.

use serde_json::json;

use super::world::World;
use super::{Case, case};

/// Plain http is allowed here, and 127.0.0.0/8; nothing else is.
pub(super) fn cases(world: &World) -> Vec<Case> {
    let long = format!("https://example.com/{}", "a".repeat(2_048));
    let label = format!("https://{}.example.com/", "a".repeat(64));
    let name = format!("https://{}com/", "abcdefgh.".repeat(30));
    let bad = [
        // No URL, or none of a web server's.
        "",
        "example.com/hook",
        "/hook",
        "//example.com/hook",
        "https:",
        "https://",
        "https:example.com",
        "https:///example.com",
        "https:example.com//x",
        "https:/example.com//x",
        "https:@example.com//x",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "gopher://example.com/",
        "wss://example.com/",
        "unix:/run/x.sock",
        // Private addresses, in all their spellings.
        "http://10.0.0.1/",
        "https://10.0.0.1/",
        "https://172.16.0.1/",
        "https://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/",
        "https://168.63.129.16/",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://192.0.2.1/",
        "https://198.18.0.1/",
        "https://167772161/",
        "https://0xa.0.0.1/",
        "https://012.0.0.1/",
        "https://10.1/",
        "https://%31%30.0.0.1/",
        "https://１０.0.0.1/",
        "https://10。0。0。1/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://[::]/",
        "https://[ff02::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:a00:1::]/",
        "https://[2001:db8::1]/",
        "https://[fe80::1%25eth0]/",
        // Names that mean something inside only.
        "https://metadata.google.internal/",
        "https://printer.local/",
        "https://intranet/",
        "https://a.default.svc/",
        "https://a.default.svc.cluster.local./",
        // Somebody's password.
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://@example.com/",
        "https://:@example.com/",
        "https://example.com@1.1.1.1/",
        // Ports.
        "https://example.com:0/",
        "https://example.com:22/",
        "https://example.com:25/",
        "https://example.com:6000/",
        "https://example.com:10080/",
        "https://example.com:65536/",
        "https://example.com:-1/",
        "https://example.com:http/",
        // Host names.
        "https://example..com/",
        "https://.example.com/",
        "https://-a.example.com/",
        "https://a-.example.com/",
        "https://exa mple.com/",
        "https://exa*mple.com/",
        "https://example.com,1.1.1.1/",
        label.as_str(),
        name.as_str(),
        // What a parser may drop or turn round.
        "https://example.com\\@1.1.1.1/",
        "https:\\\\example.com\\",
        "https://exam\tple.com/",
        "https://example.com/\r\nx-injected: 1",
        "https://example.com/\u{0}",
        " https://example.com/",
        "https://example.com/ ",
        "https://example.com/\u{7f}",
        long.as_str(),
    ];
    let mut cases: Vec<Case> = bad
        .iter()
        .map(|url| {
            let what = format!("the URL {:.60?}", url);
            case(
                what,
                world.create_with("url", json!(url)),
                422,
                "URL_INVALID",
                "url",
            )
        })
        .collect();
    for value in [
        json!(null),
        json!(7),
        json!(["https://example.com/"]),
        json!({}),
    ] {
        let what = format!("the URL {value}");
        let request = world.create_with("url", value.clone());
        cases.push(case(what, request, 422, "FIELD_INVALID", "url"));
        let what = format!("a change of the URL to {value}");
        cases.push(case(
            what,
            world.change("url", value),
            422,
            "FIELD_INVALID",
            "url",
        ));
    }
    let change = world.change("url", json!("https://10.0.0.1/"));
    cases.push(case(
        "a change to a private URL",
        change,
        422,
        "URL_INVALID",
        "url",
    ));
    cases
}

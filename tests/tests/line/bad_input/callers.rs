//! Calls with keys that do not hold, or open other doors.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::world::{ACCOUNT, OTHERS, World};
use super::{Case, case};

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = keys(world);
    cases.extend(scopes(world));
    cases
}

/// Both a look and a publication, by whoever shows this.
fn with_header(world: &World, value: &str) -> [RequestBuilder; 2] {
    let event = json!({"type": "message.report", "object": {}});
    let bare = |method, path: &str| {
        let mut request = world.call(method, path).build().expect("it is a request");
        request.headers_mut().remove("authorization");
        let value = value.parse().expect("it is a header's value");
        if !std::convert::AsRef::<[u8]>::as_ref(&value).is_empty() {
            request.headers_mut().insert("authorization", value);
        }
        RequestBuilder::from_parts(reqwest::Client::new(), request)
    };
    [
        bare(Method::GET, "/endpoints"),
        bare(Method::POST, "/events").json(&event),
    ]
}

fn keys(world: &World) -> Vec<Case> {
    let keys = &world.keys;
    let admin = world.api.key();
    let mut mistyped = keys.reader.clone();
    let last = mistyped.pop();
    mistyped.push(if last == Some('0') { '1' } else { '0' });
    let wrong = [
        ("no key", String::new()),
        ("an empty key", "Bearer ".to_owned()),
        ("no scheme", admin.to_owned()),
        ("another scheme", format!("Basic {admin}")),
        ("a key that nobody made", format!("Bearer {}", keys.unknown)),
        ("a revoked key", format!("Bearer {}", keys.revoked)),
        ("an expired key", format!("Bearer {}", keys.expired)),
        ("a mistyped key", format!("Bearer {mistyped}")),
        ("a key cut short", format!("Bearer {}", &keys.reader[..20])),
        (
            "a key in upper case",
            format!("Bearer {}", keys.reader.to_uppercase()),
        ),
        (
            "two keys",
            format!("Bearer {admin}, Bearer {}", keys.reader),
        ),
        ("a key of one character", "Bearer x".to_owned()),
        (
            "a key of 300 characters",
            format!("Bearer {}", "x".repeat(300)),
        ),
        ("a key with wildcards", "Bearer pr_admin_*_>".to_owned()),
        (
            "a key like a path",
            "Bearer ../../../../etc/passwd".to_owned(),
        ),
    ];
    let mut cases = Vec::new();
    // Each of them opens, but whoever stands in between may have seen one.
    for request in with_header(world, &format!("Bearer {admin}")) {
        let request = request.header("authorization", format!("Bearer {admin}"));
        let what = "a call with a key twice".to_owned();
        cases.push(case(what, request, 401, "KEY_INVALID", ""));
    }
    for (what, value) in wrong {
        let [look, publish] = with_header(world, &value);
        cases.push(case(
            format!("a look with {what}"),
            look,
            401,
            "KEY_INVALID",
            "",
        ));
        cases.push(case(
            format!("publishing with {what}"),
            publish,
            401,
            "KEY_INVALID",
            "",
        ));
    }
    cases
}

/// Keys that hold, and open other doors.
fn scopes(world: &World) -> Vec<Case> {
    let keys = &world.keys;
    let event = json!({"type": "message.report", "object": {}});
    let call = |key: &str, method, account: &str, rest: &str| {
        let path = format!("/v1/accounts/{account}{rest}");
        world.api.with_key(key).request(method, &path)
    };
    let everywhere = |key: &str, method, path: &str| world.api.with_key(key).request(method, path);
    let endpoint = format!("/endpoints/{}", world.endpoint);
    let their_event = format!("/events/{}", world.theirs.event);
    let forbidden = [
        (
            "publishing with a reader's key",
            call(&keys.reader, Method::POST, ACCOUNT, "/events").json(&event),
        ),
        (
            "deleting with a reader's key",
            call(&keys.reader, Method::DELETE, ACCOUNT, &endpoint),
        ),
        (
            "a secret with a reader's key",
            call(
                &keys.reader,
                Method::GET,
                ACCOUNT,
                &format!("{endpoint}/secret"),
            ),
        ),
        (
            "a look with a publisher's key",
            call(&keys.publisher, Method::GET, ACCOUNT, &endpoint),
        ),
        (
            "creating with a publisher's key",
            call(&keys.publisher, Method::POST, ACCOUNT, "/endpoints").json(&json!({})),
        ),
        (
            "keys with an account's key",
            everywhere(&keys.bound, Method::GET, "/v1/keys"),
        ),
        (
            "a new key with an account's key",
            everywhere(&keys.bound, Method::POST, "/v1/keys")
                .json(&json!({"description": "bad input", "scope": "admin"})),
        ),
        (
            "a new event type with an account's key",
            everywhere(&keys.bound, Method::POST, "/v1/event-types").json(&json!({})),
        ),
    ];
    let foreign = [
        (
            "their endpoints",
            call(&keys.bound, Method::GET, OTHERS, "/endpoints"),
        ),
        (
            "their events",
            call(&keys.bound, Method::GET, OTHERS, "/events"),
        ),
        (
            "their event",
            call(&keys.bound, Method::GET, OTHERS, &their_event),
        ),
        (
            "publishing for them",
            call(&keys.bound, Method::POST, OTHERS, "/events").json(&event),
        ),
        (
            "an account of nobody",
            call(&keys.bound, Method::GET, "bad-input-nobody", "/endpoints"),
        ),
    ];
    let mut cases = Vec::new();
    for (what, request) in forbidden {
        cases.push(case(what, request, 403, "SCOPE_INSUFFICIENT", ""));
    }
    for (what, request) in foreign {
        let what = format!("with another account's key: {what}");
        cases.push(case(what, request, 404, "ACCOUNT_NOT_FOUND", ""));
    }
    cases
}

//! JSON whose fields are not acceptable.

use reqwest::Method;
use serde_json::{Value, json};

use super::world::World;
use super::{Case, case};

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = urls(world);
    cases.extend(event_types(world));
    cases.extend(rate_limits(world));
    cases.extend(endpoints(world));
    cases.extend(events(world));
    cases.extend(requests_to_an_endpoint(world));
    cases.extend(keys_and_types(world));
    cases
}

/// Plain http is allowed here, and 127.0.0.0/8; nothing else is.
fn urls(world: &World) -> Vec<Case> {
    let long = format!("https://example.com/{}", "a".repeat(2_048));
    let label = format!("https://{}.example.com/", "a".repeat(64));
    let name = format!("https://{}com/", "abcdefgh.".repeat(30));
    let bad = [
        // No URL, or none of a web server's.
        "", "example.com/hook", "/hook", "//example.com/hook", "https:", "https://",
        "https:example.com", "https:///example.com", "ftp://example.com/", "file:///etc/passwd",
        "javascript:alert(1)", "gopher://example.com/", "wss://example.com/", "unix:/run/x.sock",
        // Private addresses, in all their spellings.
        "http://10.0.0.1/", "https://10.0.0.1/", "https://172.16.0.1/", "https://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/", "https://168.63.129.16/",
        "https://100.64.0.1/", "https://0.0.0.0/", "https://224.0.0.1/",
        "https://255.255.255.255/", "https://192.0.2.1/", "https://198.18.0.1/",
        "https://167772161/", "https://0xa.0.0.1/", "https://012.0.0.1/", "https://10.1/",
        "https://%31%30.0.0.1/", "https://１０.0.0.1/", "https://10。0。0。1/",
        "https://[fe80::1]/", "https://[fd00::1]/", "https://[::]/", "https://[ff02::1]/",
        "https://[::ffff:10.0.0.1]/", "https://[64:ff9b::a00:1]/", "https://[2002:a00:1::]/",
        "https://[2001:db8::1]/", "https://[fe80::1%25eth0]/",
        // Names that mean something inside only.
        "https://metadata.google.internal/", "https://printer.local/", "https://intranet/",
        "https://a.default.svc/", "https://a.default.svc.cluster.local./",
        // Somebody's password.
        "https://user@example.com/", "https://user:password@example.com/",
        "https://@example.com/", "https://:@example.com/", "https://example.com@1.1.1.1/",
        // Ports.
        "https://example.com:0/", "https://example.com:22/", "https://example.com:25/",
        "https://example.com:6000/", "https://example.com:10080/", "https://example.com:65536/",
        "https://example.com:-1/", "https://example.com:http/",
        // Host names.
        "https://example..com/", "https://.example.com/", "https://-a.example.com/",
        "https://a-.example.com/", "https://exa mple.com/", "https://exa*mple.com/",
        "https://example.com,1.1.1.1/", label.as_str(), name.as_str(),
        // What a parser may drop or turn round.
        "https://example.com\\@1.1.1.1/", "https:\\\\example.com\\", "https://exam\tple.com/",
        "https://example.com/\r\nx-injected: 1", "https://example.com/\u{0}", " https://example.com/",
        "https://example.com/ ", "https://example.com/\u{7f}", long.as_str(),
    ];
    let mut cases: Vec<Case> = bad
        .iter()
        .map(|url| {
            let what = format!("the URL {:.60?}", url);
            case(what, world.create_with("url", json!(url)), 422, "URL_INVALID", "url")
        })
        .collect();
    for value in [json!(null), json!(7), json!(["https://example.com/"]), json!({})] {
        let what = format!("the URL {value}");
        let request = world.create_with("url", value.clone());
        cases.push(case(what, request, 422, "FIELD_INVALID", "url"));
        let what = format!("a change of the URL to {value}");
        cases.push(case(what, world.change("url", value), 422, "FIELD_INVALID", "url"));
    }
    let change = world.change("url", json!("https://10.0.0.1/"));
    cases.push(case("a change to a private URL", change, 422, "URL_INVALID", "url"));
    cases
}

/// Names that mean something to the broker, or nothing to anybody.
fn bad_types() -> Vec<String> {
    let short = [
        "", "*", ">", ".", "message.*", "message.>", "*.report", "message.", ".report",
        "message..report", "message report", " message.report", "message.report ",
        "message\treport", "message.report\n", "message.report\u{0}", "message.report\u{7f}",
        "Message.Report", "message-report", "message/report", "message.réport", "$SYS.report",
        "message.report;", "../message.report",
    ];
    let mut types: Vec<String> = short.map(str::to_owned).into();
    types.push("x".repeat(129));
    types.push("message.".repeat(37) + "four");
    types
}

fn event_types(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    for name in bad_types() {
        let what = format!("publishing the type {name:.40?}");
        let request = world.publish_with("type", json!(name));
        cases.push(case(what, request, 422, "EVENT_TYPE_INVALID", "type"));
        let what = format!("subscribing to {name:.40?}");
        let request = world.create_with("event_types", json!(["message.report", name]));
        cases.push(case(what, request, 422, "EVENT_TYPE_INVALID", "event_types"));
    }
    for value in [json!(null), json!(7), json!(["message.report"]), json!({})] {
        let what = format!("publishing the type {value}");
        let request = world.publish_with("type", value);
        cases.push(case(what, request, 422, "FIELD_INVALID", "type"));
    }
    for value in [json!(null), json!("message.report"), json!([7]), json!([null]), json!({})] {
        let what = format!("subscribing to {value}");
        let request = world.create_with("event_types", value);
        cases.push(case(what, request, 422, "FIELD_INVALID", "event_types"));
    }
    let unknown = "message.lost";
    let many: Vec<String> = (0..257).map(|n| format!("type_{n}")).collect();
    cases.extend([
        case(
            "publishing an unknown type",
            world.publish_with("type", json!(unknown)),
            422,
            "EVENT_TYPE_UNKNOWN",
            "type",
        ),
        case(
            "publishing no type",
            world.post("/events", &json!({"object": {}})),
            422,
            "FIELD_INVALID",
            "type",
        ),
        case(
            "subscribing to an unknown type",
            world.create_with("event_types", json!(["message.report", unknown])),
            422,
            "EVENT_TYPE_UNKNOWN",
            "event_types",
        ),
        case(
            "subscribing to nothing",
            world.create_with("event_types", json!([])),
            422,
            "EVENT_TYPE_INVALID",
            "event_types",
        ),
        case(
            "subscribing to 257 types",
            world.create_with("event_types", json!(many)),
            422,
            "EVENT_TYPE_INVALID",
            "event_types",
        ),
        case(
            "a change to no type",
            world.change("event_types", json!([])),
            422,
            "EVENT_TYPE_INVALID",
            "event_types",
        ),
    ]);
    cases
}

fn rate_limits(world: &World) -> Vec<Case> {
    let bad = [
        "0", "-1", "-0", "10001", "1e99", "-1e99", "1e400", "1.5", "10.0", "1e1", "\"10\"", "\"\"",
        "true", "[]", "{}", "[10]", "9223372036854775808", "18446744073709551616",
        "100000000000000000000000000000000000000000",
    ];
    let mut cases = Vec::new();
    for number in bad {
        // As it is written: serde_json would not keep all of them.
        let create = world.good_endpoint("rate_limit", json!("here")).to_string();
        let create = create.replace("\"here\"", number);
        let request = world.post_raw("/endpoints", create);
        cases.push(case(format!("the rate limit {number}"), request, 422, "FIELD_INVALID", "rate_limit"));
        let path = format!("/endpoints/{}", world.endpoint);
        let change = world.call(Method::PATCH, &path).body(format!("{{\"rate_limit\":{number}}}"));
        let what = format!("a change of the rate limit to {number}");
        cases.push(case(what, change, 422, "FIELD_INVALID", "rate_limit"));
    }
    cases
}

fn endpoints(world: &World) -> Vec<Case> {
    let long = "x".repeat(257);
    let mut cases = Vec::new();
    for text in ["", "two\nlines", "a bell \u{7}", "a null \u{0}", &long] {
        let what = format!("the description {text:.20?}");
        let request = world.create_with("description", json!(text));
        cases.push(case(what, request, 422, "FIELD_INVALID", "description"));
    }
    let twice = r#"{"description":"a","description":"b"}"#;
    let surrogate = r#"{"description":"\ud800"}"#;
    let path = format!("/endpoints/{}", world.endpoint);
    let patch = |body: &'static str| world.call(Method::PATCH, &path).body(body);
    let all_wrong = json!({"url": "x", "description": "", "event_types": [], "rate_limit": 0});
    cases.extend([
        case(
            "an endpoint without a field",
            world.post("/endpoints", &json!({})),
            422,
            "FIELD_INVALID",
            "url",
        ),
        case(
            "a field that does not exist",
            world.create_with("colour", json!("red")),
            422,
            "FIELD_INVALID",
            "colour",
        ),
        case("a field twice", patch(twice), 422, "FIELD_INVALID", "description"),
        case("half a surrogate pair", patch(surrogate), 422, "FIELD_INVALID", "description"),
        case(
            "a change of what is no field",
            world.change("id", json!("ep_1")),
            422,
            "FIELD_INVALID",
            "id",
        ),
        case(
            "a change of the description to null",
            world.change("description", json!(null)),
            422,
            "FIELD_INVALID",
            "description",
        ),
        case(
            "every field wrong",
            world.post("/endpoints", &all_wrong),
            422,
            "URL_INVALID",
            "url description event_types rate_limit",
        ),
    ]);
    cases
}

fn events(world: &World) -> Vec<Case> {
    let long = "x".repeat(257);
    let tags: serde_json::Map<String, Value> =
        (0..17).map(|n| (n.to_string(), json!("v"))).collect();
    let bad: [(&str, Value); 24] = [
        ("id", json!("")),
        ("id", json!("order 1")),
        ("id", json!("order/1")),
        ("id", json!("order*")),
        ("id", json!("order>")),
        ("id", json!("order\n")),
        ("id", json!("é")),
        ("id", json!("x".repeat(129))),
        ("id", json!("x".repeat(300))),
        ("id", json!(7)),
        ("id", json!(null)),
        ("tags", json!(tags)),
        ("tags", json!({"": "v"})),
        ("tags", json!({"k": long})),
        ("tags", json!({long.clone(): "v"})),
        ("tags", json!({"k": "a\u{0}b"})),
        ("tags", json!({"k": 7})),
        ("tags", json!({"k": null})),
        ("tags", json!(["k"])),
        ("tags", json!(null)),
        ("live_mode", json!("yes")),
        ("live_mode", json!(1)),
        ("live_mode", json!(null)),
        ("colour", json!("red")),
    ];
    let mut cases: Vec<Case> = bad
        .into_iter()
        .map(|(field, value)| {
            let what = format!("an event with {field} {:.40}", value.to_string());
            case(what, world.publish_with(field, value), 422, "FIELD_INVALID", field)
        })
        .collect();
    for object in [json!(null), json!([]), json!([{}]), json!("{}"), json!(7), json!(true)] {
        let what = format!("the object {object}");
        let request = world.publish_with("object", object);
        cases.push(case(what, request, 422, "OBJECT_INVALID", "object"));
    }
    let good = json!({"type": "message.report", "object": {}, "id": "one"});
    let with_header = |key: &str| world.post("/events", &good).header("idempotency-key", key);
    let no_id = world.publish_with("live_mode", json!(true));
    cases.extend([
        case(
            "an event without an object",
            world.post("/events", &json!({"type": "message.report"})),
            422,
            "FIELD_INVALID",
            "object",
        ),
        case(
            "two ids",
            with_header("two"),
            422,
            "FIELD_INVALID",
            "idempotency-key",
        ),
        case(
            "an idempotency key with a space",
            no_id.header("idempotency-key", "a b"),
            422,
            "FIELD_INVALID",
            "idempotency-key",
        ),
    ]);
    for (what, body) in [
        ("a batch without events", json!({})),
        ("an empty batch", json!({"events": []})),
        ("a batch of a text", json!({"events": "many"})),
        ("a batch of null", json!({"events": null})),
    ] {
        let request = world.post("/events/batch", &body);
        cases.push(case(what, request, 422, "FIELD_INVALID", "events"));
    }
    cases
}

fn requests_to_an_endpoint(world: &World) -> Vec<Case> {
    let path = format!("/endpoints/{}", world.endpoint);
    let mut cases = Vec::new();
    let graces = [json!(-1), json!(1.5), json!("1h"), json!(604_801), json!(1e99), json!(true)];
    for grace in graces {
        let request = world.post(
            &format!("{path}/secret/regenerate"),
            &json!({"grace_period_seconds": grace}),
        );
        let field = "grace_period_seconds";
        cases.push(case(format!("a grace period of {grace}"), request, 422, "FIELD_INVALID", field));
    }
    let tests = [
        (json!({}), "FIELD_INVALID", "event_type"),
        (json!({"event_type": null}), "FIELD_INVALID", "event_type"),
        (json!({"event_type": "message.*"}), "EVENT_TYPE_INVALID", "event_type"),
        (json!({"event_type": "message.lost"}), "EVENT_TYPE_UNKNOWN", "event_type"),
        (json!({"event_type": "message.report", "object": []}), "OBJECT_INVALID", "object"),
        (json!({"event_type": "message.report", "object": null}), "OBJECT_INVALID", "object"),
        (json!({"event_type": "message.report", "colour": 1}), "FIELD_INVALID", "colour"),
    ];
    for (body, code, field) in tests {
        let request = world.post(&format!("{path}/test"), &body);
        cases.push(case(format!("the test event {body}"), request, 422, code, field));
    }
    let resend = format!("/events/{}/resend", world.event);
    for body in [json!({}), json!({"endpoint_id": null}), json!({"endpoint_id": 7})] {
        let request = world.post(&resend, &body);
        cases.push(case(format!("the resend {body}"), request, 422, "FIELD_INVALID", "endpoint_id"));
    }
    cases
}

fn keys_and_types(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    let keys = [
        ("description", json!("")),
        ("description", json!("x".repeat(257))),
        ("description", json!(null)),
        ("scope", json!("owner")),
        ("scope", json!("service")),
        ("scope", json!("")),
        ("scope", json!(null)),
        ("account", json!("a b")),
        ("account", json!("*")),
        ("account", json!("")),
        ("account", json!(7)),
        ("expires_at", json!("tomorrow")),
        ("expires_at", json!("2020-01-01T00:00:00Z")),
        ("expires_at", json!("2999-13-01T00:00:00Z")),
        ("expires_at", json!(1_900_000_000)),
        ("colour", json!("red")),
    ];
    for (field, value) in keys {
        let mut body = json!({"description": "bad input", "scope": "read", "account": "bad-input"});
        body[field] = value.clone();
        let request = world.api.request(Method::POST, "/v1/keys").json(&body);
        let what = format!("a key with {field} {:.40}", value.to_string());
        cases.push(case(what, request, 422, "FIELD_INVALID", field));
    }
    let kinds = [
        ("name", json!("bad_input.*"), 422, "EVENT_TYPE_INVALID"),
        ("name", json!("bad_input type"), 422, "EVENT_TYPE_INVALID"),
        ("name", json!("bad_input.".repeat(30) + "x"), 422, "EVENT_TYPE_INVALID"),
        ("name", json!("endpoint.disabled"), 422, "EVENT_TYPE_INVALID"),
        ("name", json!("message.report"), 409, "EVENT_TYPE_EXISTS"),
        ("name", json!(null), 422, "FIELD_INVALID"),
        ("description", json!(""), 422, "FIELD_INVALID"),
        ("schema", json!("text"), 422, "FIELD_INVALID"),
        ("schema", json!(null), 422, "FIELD_INVALID"),
        ("example", json!([]), 422, "FIELD_INVALID"),
    ];
    for (field, value, status, code) in kinds {
        let mut body = json!({"name": "bad_input.type", "description": "bad input", "schema": {},
            "example": {}});
        body[field] = value.clone();
        let request = world.api.request(Method::POST, "/v1/event-types").json(&body);
        let what = format!("an event type with {field} {:.40}", value.to_string());
        cases.push(case(what, request, status, code, field));
    }
    cases
}

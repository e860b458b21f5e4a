//! Policies that are not acceptable, of an endpoint to be and of one that is.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::world::World;
use super::super::{Case, case};

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut refuse = |field: &'static str, values: Vec<Value>| {
        for value in values {
            cases.extend(both(world, field, &value.to_string()));
        }
    };
    refuse("retry_schedule", schedules());
    refuse("timeout_seconds", numbers(&[0, -1, 31, i64::MAX]));
    refuse("max_concurrency", numbers(&[0, -1, 257, i64::MAX]));
    refuse("headers", headers());
    refuse(
        "send_traceparent",
        vec![json!("false"), json!(0), json!([]), json!({})],
    );
    for number in ["1e99", "1.5", "10.0", "100000000000000000000000"] {
        cases.extend(both(world, "timeout_seconds", number));
        cases.extend(both(world, "max_concurrency", number));
    }
    cases.extend(both(world, "headers", r#"{"X-A":"1","X-A":"2"}"#));
    cases
}

/// As it is written, in a creation and in a change.
fn both(world: &World, field: &'static str, value: &str) -> [Case; 2] {
    let create = world.good_endpoint(field, json!("here")).to_string();
    let create = world.post_raw("/endpoints", create.replace("\"here\"", value));
    let path = format!("/endpoints/{}", world.endpoint);
    let change = world
        .call(Method::PATCH, &path)
        .body(format!("{{\"{field}\":{value}}}"));
    [("an endpoint with", create), ("a change to", change)].map(|(what, request)| {
        let what = format!("{what} {field} {value:.60}");
        case(what, request, 422, "FIELD_INVALID", field)
    })
}

fn schedules() -> Vec<Value> {
    vec![
        json!("5s,30s"),
        json!([5]),
        json!([null]),
        json!({}),
        json!(["5"]),
        json!([""]),
        json!(["-5s"]),
        json!(["0s"]),
        json!(["999ms"]),
        json!(["25h"]),
        json!(["5s", "soon"]),
        json!(["5s\u{0}"]),
        json!(["x".repeat(1_000)]),
        json!(vec!["1s"; 21]),
        json!(vec!["24h"; 8]),
    ]
}

fn numbers(out_of_range: &[i64]) -> Vec<Value> {
    let other = [json!("10"), json!(true), json!([1]), json!({})];
    out_of_range.iter().map(|n| json!(n)).chain(other).collect()
}

fn headers() -> Vec<Value> {
    let refused = [
        "Host",
        "content-length",
        "Content-Type",
        "content-encoding",
        "Transfer-Encoding",
        "Connection",
        "keep-alive",
        "TE",
        "trailer",
        "Upgrade",
        "expect",
        "User-Agent",
        "Proxy-Authorization",
        "proxy-connection",
        "webhook-id",
        "Webhook-Secret",
        "X-Webhook-Signature",
        "Traceparent",
        "tracestate",
    ];
    let long_name = "n".repeat(65);
    let malformed = ["", " ", "a b", "a:", "a\r\nb", "\u{e9}", &long_name];
    let mut cases: Vec<Value> = refused
        .into_iter()
        .chain(malformed)
        .map(|name| json!({name: "v"}))
        .collect();
    let long_value = "v".repeat(1_025);
    let values = [
        "",
        " ",
        " v",
        "v ",
        "v\r\nhost: x",
        "\t",
        "\u{e9}",
        &long_value,
    ];
    cases.extend(values.map(|value| json!({"X-A": value})));
    let many = |count: usize, value: &str| -> Value {
        (0..count)
            .map(|n| (format!("X-{n:02}"), json!(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    cases.extend([
        many(17, "v"),
        many(5, &"v".repeat(1_000)),
        json!({"X-A": "1", "x-a": "2"}),
        json!({"X-A": 1}),
        json!({"X-A": null}),
        json!({"X-A": ["v"]}),
        json!([["X-A", "v"]]),
        json!("X-A: v"),
        json!(true),
    ]);
    cases
}

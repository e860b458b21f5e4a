//! Endpoints with fields that are not acceptable, and what is asked of them.

mod policy;

use reqwest::Method;
use serde_json::json;

use super::world::World;
use super::{Case, case};

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = rate_limits(world);
    cases.extend(endpoints(world));
    cases.extend(policy::cases(world));
    cases.extend(requests(world));
    cases
}

fn rate_limits(world: &World) -> Vec<Case> {
    let bad = [
        "0",
        "-1",
        "-0",
        "10001",
        "1e99",
        "-1e99",
        "1e400",
        "1.5",
        "10.0",
        "1e1",
        "\"10\"",
        "\"\"",
        "true",
        "[]",
        "{}",
        "[10]",
        "9223372036854775808",
        "18446744073709551616",
        "100000000000000000000000000000000000000000",
    ];
    let mut cases = Vec::new();
    for number in bad {
        // As it is written: serde_json would not keep all of them.
        let create = world.good_endpoint("rate_limit", json!("here")).to_string();
        let create = create.replace("\"here\"", number);
        let request = world.post_raw("/endpoints", create);
        cases.push(case(
            format!("the rate limit {number}"),
            request,
            422,
            "FIELD_INVALID",
            "rate_limit",
        ));
        let path = format!("/endpoints/{}", world.endpoint);
        let change = world
            .call(Method::PATCH, &path)
            .body(format!("{{\"rate_limit\":{number}}}"));
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
    let all_wrong = json!({"url": "x", "description": "", "event_types": [], "rate_limit": 0,
        "retry_schedule": ["0s"], "timeout_seconds": 0, "max_concurrency": 0,
        "headers": {"host": "x"}});
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
        case(
            "a field twice",
            patch(twice),
            422,
            "FIELD_INVALID",
            "description",
        ),
        case(
            "half a surrogate pair",
            patch(surrogate),
            422,
            "FIELD_INVALID",
            "description",
        ),
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
            "url description event_types rate_limit retry_schedule timeout_seconds \
             max_concurrency headers",
        ),
    ]);
    cases
}

fn requests(world: &World) -> Vec<Case> {
    let path = format!("/endpoints/{}", world.endpoint);
    let mut cases = Vec::new();
    let graces = [
        json!(-1),
        json!(1.5),
        json!("1h"),
        json!(604_801),
        json!(1e99),
        json!(true),
    ];
    for grace in graces {
        let request = world.post(
            &format!("{path}/secret/regenerate"),
            &json!({"grace_period_seconds": grace}),
        );
        let field = "grace_period_seconds";
        cases.push(case(
            format!("a grace period of {grace}"),
            request,
            422,
            "FIELD_INVALID",
            field,
        ));
    }
    let tests = [
        (json!({}), "FIELD_INVALID", "event_type"),
        (json!({"event_type": null}), "FIELD_INVALID", "event_type"),
        (
            json!({"event_type": "message.*"}),
            "EVENT_TYPE_INVALID",
            "event_type",
        ),
        (
            json!({"event_type": "message.lost"}),
            "EVENT_TYPE_UNKNOWN",
            "event_type",
        ),
        (
            json!({"event_type": "message.report", "object": []}),
            "OBJECT_INVALID",
            "object",
        ),
        (
            json!({"event_type": "message.report", "object": null}),
            "OBJECT_INVALID",
            "object",
        ),
        (
            json!({"event_type": "message.report", "colour": 1}),
            "FIELD_INVALID",
            "colour",
        ),
    ];
    for (body, code, field) in tests {
        let request = world.post(&format!("{path}/test"), &body);
        cases.push(case(
            format!("the test event {body}"),
            request,
            422,
            code,
            field,
        ));
    }
    let resend = format!("/events/{}/resend", world.event);
    for body in [
        json!({}),
        json!({"endpoint_id": null}),
        json!({"endpoint_id": 7}),
    ] {
        let request = world.post(&resend, &body);
        cases.push(case(
            format!("the resend {body}"),
            request,
            422,
            "FIELD_INVALID",
            "endpoint_id",
        ));
    }
    cases
}

//! Event types that cannot be, that nobody knows, or that are missing.

use serde_json::json;

use super::world::World;
use super::{Case, case};

/// Names that mean something to the broker, or nothing to anybody.
fn bad_types() -> Vec<String> {
    let short = [
        "",
        "*",
        ">",
        ".",
        "message.*",
        "message.>",
        "*.report",
        "message.",
        ".report",
        "message..report",
        "message report",
        " message.report",
        "message.report ",
        "message\treport",
        "message.report\n",
        "message.report\u{0}",
        "message.report\u{7f}",
        "Message.Report",
        "message-report",
        "message/report",
        "message.réport",
        "$SYS.report",
        "message.report;",
        "../message.report",
    ];
    let mut types: Vec<String> = short.map(str::to_owned).into();
    types.push("x".repeat(129));
    types.push("message.".repeat(37) + "four");
    types
}

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    for name in bad_types() {
        let what = format!("publishing the type {name:.40?}");
        let request = world.publish_with("type", json!(name));
        cases.push(case(what, request, 422, "EVENT_TYPE_INVALID", "type"));
        let what = format!("subscribing to {name:.40?}");
        let request = world.create_with("event_types", json!(["message.report", name]));
        cases.push(case(
            what,
            request,
            422,
            "EVENT_TYPE_INVALID",
            "event_types",
        ));
    }
    for name in ["endpoint.disabled", "delivery.exhausted", "delivery.lost"] {
        let what = format!("publishing the reserved type {name}");
        let request = world.publish_with("type", json!(name));
        cases.push(case(what, request, 422, "EVENT_TYPE_INVALID", "type"));
    }
    for value in [json!(null), json!(7), json!(["message.report"]), json!({})] {
        let what = format!("publishing the type {value}");
        let request = world.publish_with("type", value);
        cases.push(case(what, request, 422, "FIELD_INVALID", "type"));
    }
    for value in [
        json!(null),
        json!("message.report"),
        json!([7]),
        json!([null]),
        json!({}),
    ] {
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

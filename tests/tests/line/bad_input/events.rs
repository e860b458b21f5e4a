//! Events with fields that are not acceptable.

use serde_json::{Value, json};

use super::world::World;
use super::{Case, case};

pub(super) fn cases(world: &World) -> Vec<Case> {
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
            case(
                what,
                world.publish_with(field, value),
                422,
                "FIELD_INVALID",
                field,
            )
        })
        .collect();
    for object in [
        json!(null),
        json!([]),
        json!([{}]),
        json!("{}"),
        json!(7),
        json!(true),
    ] {
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

//! Keys and event types to be, with fields that are not acceptable.

use reqwest::Method;
use serde_json::json;

use super::world::World;
use super::{Case, case};

pub(super) fn cases(world: &World) -> Vec<Case> {
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
        (
            "name",
            json!("bad_input.".repeat(30) + "x"),
            422,
            "EVENT_TYPE_INVALID",
        ),
        (
            "name",
            json!("endpoint.disabled"),
            422,
            "EVENT_TYPE_INVALID",
        ),
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
        let request = world
            .api
            .request(Method::POST, "/v1/event-types")
            .json(&body);
        let what = format!("an event type with {field} {:.40}", value.to_string());
        cases.push(case(what, request, status, code, field));
    }
    cases
}

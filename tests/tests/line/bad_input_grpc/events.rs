//! Events that are not acceptable.

use std::collections::BTreeMap;

use domain::Reason;
use proto::v1::{PublishEventRequest, PublishEventsRequest};

use super::{Call, Case, World, event};

pub(super) fn cases(world: &World) -> Vec<Case> {
    let publish = |change: &dyn Fn(&mut PublishEventRequest)| {
        let mut request = event();
        change(&mut request);
        Call::Publish(request)
    };
    let long = "x".repeat(300);
    let mut cases = Vec::new();
    for account in [
        "",
        "*",
        ">",
        "a.b",
        "a b",
        "a\n",
        "a\u{0}",
        "é",
        long.as_str(),
    ] {
        let call = publish(&|event| event.account = account.to_owned());
        let what = format!("the account {account:.20?}");
        cases.push(world.invalid(what, call, Reason::AccountInvalid, "account"));
    }
    for name in [
        "",
        "*",
        "message.>",
        "message.",
        "a b",
        "a\t",
        "a\u{0}",
        "Message",
        "endpoint.recovered",
        "delivery.exhausted",
        long.as_str(),
    ] {
        let call = publish(&|event| event.r#type = name.to_owned());
        let what = format!("the type {name:.20?}");
        cases.push(world.invalid(what, call, Reason::EventTypeInvalid, "type"));
    }
    let call = publish(&|event| event.r#type = "message.lost".to_owned());
    cases.push(world.invalid("an unknown type", call, Reason::EventTypeUnknown, "type"));

    let deep = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let open = "[".repeat(10_000);
    let large = format!("{{\"t\":\"{}\"}}", "x".repeat(256 * 1_024));
    let objects: [(&str, &[u8], Reason); 10] = [
        ("nothing", b"", Reason::JsonMalformed),
        ("words", b"hello", Reason::JsonMalformed),
        ("half an object", b"{\"a\":", Reason::JsonMalformed),
        ("two objects", b"{}{}", Reason::JsonMalformed),
        (
            "a byte that is not UTF-8",
            b"{\"a\":\"\xff\"}",
            Reason::JsonMalformed,
        ),
        ("an array", b"[]", Reason::ObjectInvalid),
        ("null", b"null", Reason::ObjectInvalid),
        ("10,000 levels", deep.as_bytes(), Reason::ObjectInvalid),
        (
            "10,000 levels without an end",
            open.as_bytes(),
            Reason::ObjectInvalid,
        ),
        (
            "more than 256 KiB",
            large.as_bytes(),
            Reason::ObjectTooLarge,
        ),
    ];
    for (what, object, reason) in objects {
        let call = publish(&|event| event.object = object.to_vec().into());
        cases.push(world.invalid(format!("an object of {what}"), call, reason, "object"));
    }
    for id in ["a b", "a/b", "*", "a\n", "é", long.as_str()] {
        let call = publish(&|event| event.id = id.to_owned());
        cases.push(world.invalid(
            format!("the id {id:.20?}"),
            call,
            Reason::FieldInvalid,
            "id",
        ));
    }
    let many: BTreeMap<String, String> = (0..17).map(|n| (n.to_string(), String::new())).collect();
    let tag = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    for tags in [
        many,
        tag("", "v"),
        tag("k", &long),
        tag(&long, "v"),
        tag("k", "a\nb"),
    ] {
        let call = publish(&|event| event.tags = tags.clone());
        cases.push(world.invalid("bad tags", call, Reason::FieldInvalid, "tags"));
    }
    for count in [0, 1_001] {
        let call = Call::PublishMany(PublishEventsRequest {
            events: vec![event(); count],
        });
        let what = format!("a batch of {count}");
        cases.push(world.invalid(what, call, Reason::FieldInvalid, "events"));
    }
    cases
}

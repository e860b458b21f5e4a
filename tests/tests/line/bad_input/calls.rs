//! Calls that lead nowhere: accounts, ids, lists.

use reqwest::Method;
use serde_json::json;

use super::world::World;
use super::{Case, case};

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = accounts(world);
    cases.extend(addresses(world));
    cases.extend(ids(world));
    cases.extend(lists(world));
    cases
}

fn accounts(world: &World) -> Vec<Case> {
    let long = "a".repeat(300);
    let limit = "a".repeat(65);
    // As they stand in a path.
    let bad = [
        "%2A",
        "%3E",
        "*",
        "a.b",
        "a.*",
        "a.%3E",
        "a%20b",
        "%20a",
        "a+b",
        "a%00",
        "a%0Ab",
        "a%0D",
        "a%7F",
        "a%2Fb",
        "%2E%2E%2Fkeys",
        "%C3%A9",
        "a@b",
        "$G",
        limit.as_str(),
        long.as_str(),
    ];
    let publish = json!({"type": "message.report", "object": {}});
    let mut cases = Vec::new();
    for account in bad {
        let base = format!("/v1/accounts/{account}");
        let url = world.receiver.url("never");
        let create = json!({"url": url, "description": "bad", "event_types": ["message.report"]});
        for (path, body) in [("events", &publish), ("endpoints", &create)] {
            let request = world
                .api
                .request(Method::POST, &format!("{base}/{path}"))
                .json(body);
            let what = format!("{path} of the account {account:.20}");
            cases.push(case(what, request, 400, "ACCOUNT_INVALID", "account"));
        }
    }
    let request = world
        .api
        .request(Method::POST, "/v1/accounts/%FF/events")
        .json(&publish);
    cases.push(case(
        "an account that is not UTF-8",
        request,
        400,
        "REQUEST_MALFORMED",
        "",
    ));
    let request = world
        .api
        .request(Method::POST, "/v1/accounts//events")
        .json(&publish);
    cases.push(case(
        "no account",
        request,
        400,
        "ACCOUNT_INVALID",
        "account",
    ));
    cases
}

fn addresses(world: &World) -> Vec<Case> {
    vec![
        case(
            "an address that does not exist",
            world.call(Method::GET, "/endpoint"),
            404,
            "ROUTE_NOT_FOUND",
            "",
        ),
        case(
            "a method that is not allowed",
            world.call(Method::PUT, "/endpoints").json(&json!({})),
            405,
            "METHOD_NOT_ALLOWED",
            "",
        ),
        case(
            "events cannot be deleted",
            world.call(Method::DELETE, &format!("/events/{}", world.event)),
            405,
            "METHOD_NOT_ALLOWED",
            "",
        ),
    ]
}

/// Ids of nothing, of another kind, and of another account.
fn ids(world: &World) -> Vec<Case> {
    let nothing = "00000000-0000-4000-8000-000000000000";
    let mut cases = Vec::new();
    let kinds = [
        (
            "endpoints",
            "ep_",
            &world.theirs.endpoint,
            "ENDPOINT_NOT_FOUND",
        ),
        ("events", "evt_", &world.theirs.event, "EVENT_NOT_FOUND"),
        (
            "attempts",
            "att_",
            &world.theirs.attempt,
            "ATTEMPT_NOT_FOUND",
        ),
    ];
    for (list, prefix, theirs, code) in kinds {
        let ids = [
            format!("{prefix}{nothing}"),
            format!("{prefix}123"),
            theirs.to_uppercase(),
            nothing.to_owned(),
            format!("dlv_{nothing}"),
            "%2A".to_owned(),
            "x".repeat(300),
            theirs.clone(),
        ];
        for id in ids {
            let request = world.call(Method::GET, &format!("/{list}/{id}"));
            cases.push(case(format!("{list} {id:.50}"), request, 404, code, ""));
        }
    }
    let theirs = &world.theirs.endpoint;
    let their = |method, rest: &str| world.call(method, &format!("/endpoints/{theirs}{rest}"));
    let test = json!({"event_type": "message.report"});
    let calls = [
        (
            "changing",
            their(Method::PATCH, "").json(&json!({"description": "mine"})),
        ),
        ("deleting", their(Method::DELETE, "")),
        ("disabling", their(Method::POST, "/disable")),
        ("the secret of", their(Method::GET, "/secret")),
        (
            "a new secret for",
            their(Method::POST, "/secret/regenerate"),
        ),
        ("a test event to", their(Method::POST, "/test").json(&test)),
        ("the stats of", their(Method::GET, "/stats")),
        ("the attempts of", their(Method::GET, "/attempts")),
    ];
    for (what, request) in calls {
        let what = format!("{what} another account's endpoint");
        cases.push(case(what, request, 404, "ENDPOINT_NOT_FOUND", ""));
    }
    for (list, id) in [
        ("attempts", theirs.as_str()),
        ("attempts", "ep_1"),
        ("attempts/tail", theirs.as_str()),
        ("attempts/tail", "ep_1"),
    ] {
        let request = world.call(Method::GET, &format!("/{list}?endpoint_id={id}"));
        let what = format!("{list} of the endpoint {id:.20}");
        cases.push(case(what, request, 404, "ENDPOINT_NOT_FOUND", ""));
    }
    let resend = |event: &str, endpoint: &str| {
        world.post(
            &format!("/events/{event}/resend"),
            &json!({"endpoint_id": endpoint}),
        )
    };
    cases.extend([
        case(
            "resending another account's event",
            resend(&world.theirs.event, &world.endpoint),
            404,
            "EVENT_NOT_FOUND",
            "",
        ),
        case(
            "resending to another account's endpoint",
            resend(&world.event, theirs),
            404,
            "ENDPOINT_NOT_FOUND",
            "",
        ),
        case(
            "a key that does not exist",
            world
                .api
                .request(Method::DELETE, "/v1/keys/0123456789abcdef"),
            404,
            "KEY_NOT_FOUND",
            "",
        ),
    ]);
    cases
}

fn lists(world: &World) -> Vec<Case> {
    let tokens = &world.tokens;
    let good = tokens.endpoints.as_str();
    let attempts = format!("/endpoints/{}/attempts", world.endpoint);
    let cut = &good[..good.len() - 1];
    let half = &good[..good.len() / 2];
    let mut changed = good.to_owned();
    changed.replace_range(4..5, if &good[4..5] == "A" { "B" } else { "A" });
    let mut cases = Vec::new();
    let wrong_tokens = [
        ("/endpoints", cut, "cut short"),
        ("/endpoints", half, "cut in half"),
        ("/endpoints", changed.as_str(), "changed"),
        ("/endpoints", "AAAA", "made up"),
        ("/endpoints", "!!!", "of other characters"),
        ("/endpoints", "%00", "of a null byte"),
        ("/endpoints", "1", "like a page number"),
        (
            "/endpoints",
            tokens.their_endpoints.as_str(),
            "of another account",
        ),
        ("/endpoints", tokens.event_types.as_str(), "of another list"),
        ("/events", good, "of another list"),
        ("/events", cut, "cut short"),
        (attempts.as_str(), good, "of another list"),
        (attempts.as_str(), cut, "cut short"),
    ];
    for (list, token, what) in wrong_tokens {
        let request = world.call(Method::GET, &format!("{list}?page_token={token}"));
        let what = format!("GET {list:.20} with a token {what}");
        cases.push(case(what, request, 400, "PAGE_TOKEN_INVALID", "page_token"));
    }
    let request = world
        .api
        .request(Method::GET, &format!("/v1/keys?page_token={good}"));
    cases.push(case(
        "a foreign token for keys",
        request,
        400,
        "PAGE_TOKEN_INVALID",
        "page_token",
    ));
    let parameters = [
        ("/endpoints?page_size=ten", "page_size"),
        ("/endpoints?page_size=-1", "page_size"),
        ("/endpoints?page_size=1.5", "page_size"),
        ("/endpoints?page_size=1e2", "page_size"),
        ("/endpoints?page_size=99999999999999999999", "page_size"),
        ("/endpoints?page=2", "page"),
        ("/endpoints?page_size=1&page_size=2", "page_size"),
        ("/events?after=yesterday", "after"),
        ("/events?before=1747147674", "before"),
        ("/events?colour=red", "colour"),
        ("/events?tag=chat", "tag"),
        ("/events?tag_name=chat", "tag_value"),
        ("/events?tag=a%3Db&tag_name=a&tag_value=b", "tag"),
    ];
    for (path, field) in parameters {
        let request = world.call(Method::GET, path);
        cases.push(case(
            format!("GET {path}"),
            request,
            400,
            "REQUEST_MALFORMED",
            field,
        ));
    }
    let stats = format!("/endpoints/{}/stats", world.endpoint);
    for list in ["/events", "/attempts", &attempts, &stats, "/audit-log"] {
        for before in ["2026-05-13T12:00:00Z", "2026-05-13T11:59:59.999Z"] {
            let path = format!("{list}?after=2026-05-13T12:00:00Z&before={before}");
            let request = world.call(Method::GET, &path);
            let what = format!("GET {list:.20} before {before}");
            cases.push(case(what, request, 422, "FIELD_INVALID", "before"));
        }
    }
    for (query, field) in [
        ("status=lost", "status"),
        ("after=2026-02-30T00:00:00Z", "after"),
    ] {
        let request = world.call(Method::GET, &format!("{attempts}?{query}"));
        cases.push(case(
            format!("attempts by {query}"),
            request,
            400,
            "REQUEST_MALFORMED",
            field,
        ));
    }
    cases
}

//! Lists and ids that lead nowhere.

use domain::Reason;
use proto::v1::{
    DeleteEndpointRequest, GetAttemptRequest, GetEndpointRequest, GetEndpointSecretRequest,
    GetEndpointStatsRequest, GetEventRequest, ListAttemptsRequest, ListEndpointsRequest,
    ListEventsRequest, ResendEventRequest, StartReplayRequest, Tag, UpdateEndpointRequest,
};
use tonic::Code;

use super::{ACCOUNT, Call, Case, NOBODY, World};

const fn at(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}

pub(super) fn cases(world: &World) -> Vec<Case> {
    let account = ACCOUNT.to_owned();
    let token = &world.page_token;
    let mut cases = Vec::new();
    for page_token in [token.as_str(), &token[..token.len() - 1], "!", "AAAA"] {
        let (account, page_token) = (account.clone(), page_token.to_owned());
        let what = format!("the page token {page_token:?}");
        let endpoints = ListEndpointsRequest {
            account: account.clone(),
            page_token: page_token.clone(),
            ..Default::default()
        };
        let events = ListEventsRequest {
            account: account.clone(),
            page_token: page_token.clone(),
            ..Default::default()
        };
        let attempts = ListAttemptsRequest {
            account,
            page_token,
            ..Default::default()
        };
        for call in [
            Call::List(endpoints),
            Call::Events(events),
            Call::Attempts(attempts),
        ] {
            cases.push(world.invalid(what.clone(), call, Reason::PageTokenInvalid, "page_token"));
        }
    }
    let (after, before) = (Some(at(2)), Some(at(2)));
    let spans = [
        Call::Events(ListEventsRequest {
            account: account.clone(),
            after,
            before,
            ..Default::default()
        }),
        Call::Attempts(ListAttemptsRequest {
            account: account.clone(),
            after,
            before,
            ..Default::default()
        }),
        Call::Stats(GetEndpointStatsRequest {
            account: account.clone(),
            endpoint_id: world.endpoint.clone(),
            after: Some(at(2)),
            before: Some(at(1)),
        }),
    ];
    for call in spans {
        let what = "a span that ends before it begins";
        cases.push(world.invalid(what, call, Reason::FieldInvalid, "before"));
    }
    cases.extend(filters(world));
    cases.extend(replays(world));
    let theirs = world.their_endpoint.as_str();
    for id in ["", "ep_1", "*", NOBODY, theirs] {
        let (account, id) = (account.clone(), id.to_owned());
        let endpoint_id = id.clone();
        let calls = [
            Call::Get(GetEndpointRequest {
                account: account.clone(),
                id: id.clone(),
            }),
            Call::Delete(DeleteEndpointRequest {
                account: account.clone(),
                id: id.clone(),
            }),
            Call::Update(UpdateEndpointRequest {
                account: account.clone(),
                id: id.clone(),
                ..Default::default()
            }),
            Call::Secret(GetEndpointSecretRequest {
                account,
                endpoint_id,
            }),
        ];
        for call in calls {
            let what = format!("the endpoint {id:?}");
            cases.push(world.case(what, call, Code::NotFound, Reason::EndpointNotFound, ""));
        }
    }
    for id in ["", "evt_1", world.their_event.as_str()] {
        let request = GetEventRequest {
            account: account.clone(),
            id: id.into(),
        };
        let what = format!("the event {id:?}");
        let (code, reason) = (Code::NotFound, Reason::EventNotFound);
        cases.push(world.case(what, Call::Event(request), code, reason, ""));
    }
    for id in ["", "att_1", "att_00000000-0000-4000-8000-000000000000"] {
        let request = GetAttemptRequest {
            account: account.clone(),
            id: id.into(),
        };
        let what = format!("the attempt {id:?}");
        let (code, reason) = (Code::NotFound, Reason::AttemptNotFound);
        cases.push(world.case(what, Call::Attempt(request), code, reason, ""));
    }
    let resend = ResendEventRequest {
        account,
        event_id: world.their_event.clone(),
        endpoint_id: world.endpoint.clone(),
    };
    let what = "resending another account's event";
    cases.push(world.case(
        what,
        Call::Resend(resend),
        Code::NotFound,
        Reason::EventNotFound,
        "",
    ));
    cases
}

/// Filters that no event can pass.
fn filters(world: &World) -> Vec<Case> {
    let account = || ACCOUNT.to_owned();
    let mut cases = Vec::new();
    for event_type in ["Bad Type", "message.", "message.*"] {
        let event_type = event_type.to_owned();
        let attempts = ListAttemptsRequest {
            account: account(),
            event_type: event_type.clone(),
            ..Default::default()
        };
        let events = ListEventsRequest {
            account: account(),
            event_type: event_type.clone(),
            ..Default::default()
        };
        for call in [Call::Attempts(attempts), Call::Events(events)] {
            let what = format!("the event type {event_type:?}");
            cases.push(world.invalid(what, call, Reason::EventTypeInvalid, "event_type"));
        }
    }
    for (name, value) in [("", "4711"), ("person", "\n"), (&*"n".repeat(257), "4711")] {
        let tag = Tag {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let what = format!("the tag {tag:?}");
        let events = ListEventsRequest {
            account: account(),
            tag: Some(tag),
            ..Default::default()
        };
        cases.push(world.invalid(what, Call::Events(events), Reason::FieldInvalid, "tag"));
    }
    let both = ListEventsRequest {
        account: account(),
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        tag: Some(Tag {
            name: "person".to_owned(),
            value: "4711".to_owned(),
        }),
        ..Default::default()
    };
    let what = "a trace and a tag";
    cases.push(world.invalid(
        what,
        Call::Events(both),
        Reason::RequestMalformed,
        "trace_id",
    ));
    cases
}

/// Replays that could send nothing.
fn replays(world: &World) -> Vec<Case> {
    let future = at(4_000_000_000);
    let wrong = [
        (at(2), at(1), "", Reason::FieldInvalid, "before"),
        (future, at(5_000_000_000), "", Reason::FieldInvalid, "after"),
        (
            at(1),
            future,
            "message.lost",
            Reason::EventTypeUnknown,
            "event_types",
        ),
    ];
    let mut cases = Vec::new();
    for (after, before, event_type, reason, field) in wrong {
        for dry_run in [false, true] {
            let event_types = Some(event_type).filter(|name| !name.is_empty());
            let request = StartReplayRequest {
                account: ACCOUNT.to_owned(),
                endpoint_id: world.endpoint.clone(),
                after: Some(after),
                before: Some(before),
                status: "failed".to_owned(),
                event_types: event_types.map(str::to_owned).into_iter().collect(),
                dry_run,
            };
            let what = format!("{request:?}");
            cases.push(world.invalid(what, Call::Replay(request), reason, field));
        }
    }
    cases
}

//! Lists and ids that lead nowhere.

use domain::Reason;
use proto::v1::{
    DeleteEndpointRequest, GetAttemptRequest, GetEndpointRequest, GetEndpointSecretRequest,
    GetEndpointStatsRequest, GetEventRequest, ListAttemptsRequest, ListEndpointsRequest,
    ListEventsRequest, ResendEventRequest, UpdateEndpointRequest,
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

//! Keys that do not hold, or open other doors.

use domain::Reason;
use proto::v1::{
    DeleteEndpointRequest, GetEndpointRequest, ListAttemptsRequest, ListEndpointsRequest,
    ListEventsRequest, PublishEventRequest, PublishEventsRequest,
};
use tonic::Code;

use super::{ACCOUNT, Call, Case, OTHERS, World, event};

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    let unknown = domain::key::ApiKey::generate(domain::key::Scope::Admin, [8; 32]).1;
    let wrong = [
        ("no key", ""),
        ("a word", "key"),
        ("a key that nobody made", unknown.as_str()),
        ("a revoked key", world.revoked.as_str()),
        ("a key cut short", &world.reader[..30]),
    ];
    for (what, key) in wrong {
        let list = ListEndpointsRequest {
            account: ACCOUNT.into(),
            ..Default::default()
        };
        let attempts = ListAttemptsRequest {
            account: ACCOUNT.into(),
            ..Default::default()
        };
        let events = vec![event(); 3];
        let calls = [
            Call::Publish(event()),
            Call::PublishMany(PublishEventsRequest { events }),
            Call::List(list),
            Call::Attempts(attempts),
        ];
        for call in calls {
            let (code, reason) = (Code::Unauthenticated, Reason::KeyInvalid);
            let case = world.case(what, call, code, reason, "");
            cases.push(Case {
                key: key.to_owned(),
                ..case
            });
        }
    }
    let delete = DeleteEndpointRequest {
        account: ACCOUNT.into(),
        id: world.endpoint.clone(),
    };
    for call in [
        Call::Publish(event()),
        Call::Create(world.endpoint()),
        Call::Delete(delete),
    ] {
        let (code, reason) = (Code::PermissionDenied, Reason::ScopeInsufficient);
        let case = world.case("a reader's key", call, code, reason, "");
        cases.push(Case {
            key: world.reader.clone(),
            ..case
        });
    }
    let account = OTHERS.to_owned();
    let id = world.their_endpoint.clone();
    let calls = [
        Call::Publish(PublishEventRequest {
            account: account.clone(),
            ..event()
        }),
        Call::Get(GetEndpointRequest {
            account: account.clone(),
            id,
        }),
        Call::Events(ListEventsRequest {
            account,
            ..Default::default()
        }),
    ];
    for call in calls {
        let (code, reason) = (Code::NotFound, Reason::AccountNotFound);
        let case = world.case("another account's key", call, code, reason, "");
        cases.push(Case {
            key: world.bound.clone(),
            ..case
        });
    }
    cases
}

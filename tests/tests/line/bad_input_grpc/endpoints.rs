//! Endpoints that are not acceptable, and what is asked of them.

use domain::Reason;
use proto::v1::{
    CreateEndpointRequest, RegenerateEndpointSecretRequest, RetrySchedule, SendTestEventRequest,
    UpdateEndpointRequest,
};

use super::{ACCOUNT, Call, Case, World};

pub(super) fn cases(world: &World) -> Vec<Case> {
    let create = |change: &dyn Fn(&mut CreateEndpointRequest)| {
        let mut request = world.endpoint();
        change(&mut request);
        Call::Create(request)
    };
    let update = |change: &dyn Fn(&mut UpdateEndpointRequest)| {
        let mut request = world.change();
        change(&mut request);
        Call::Update(request)
    };
    let mut cases = Vec::new();
    let urls = [
        "",
        "example.com",
        "ftp://example.com/",
        "https://10.0.0.1/",
        "http://169.254.169.254/",
        "https://[fe80::1]/",
        "https://user:pw@example.com/",
        "https://example.com:22/",
        "https://example.com:0/",
        "https://a..example.com/",
        "https://intranet/",
        "https://metadata.google.internal/",
        "https://example.com\\@1.1.1.1/",
    ];
    for url in urls {
        let call = create(&|endpoint| endpoint.url = url.to_owned());
        cases.push(world.invalid(format!("the URL {url:?}"), call, Reason::UrlInvalid, "url"));
    }
    for limit in [0, 10_001, u32::MAX] {
        let call = create(&|endpoint| endpoint.rate_limit = Some(limit));
        let what = format!("the rate limit {limit}");
        cases.push(world.invalid(what, call, Reason::FieldInvalid, "rate_limit"));
    }
    for (what, field, policy) in policies() {
        let call = create(&|endpoint| {
            endpoint.retry_schedule.clone_from(&policy.retry_schedule);
            endpoint.timeout_seconds = policy.timeout_seconds;
            endpoint.max_concurrency = policy.max_concurrency;
            endpoint.headers.clone_from(&policy.headers);
        });
        cases.push(world.invalid(&what, call, Reason::FieldInvalid, field));
        let call = update(&|change| {
            *change = UpdateEndpointRequest {
                account: change.account.clone(),
                id: change.id.clone(),
                ..policy.clone()
            };
        });
        let what = format!("a change to {what}");
        cases.push(world.invalid(what, call, Reason::FieldInvalid, field));
    }
    let both_ways = [
        (
            "retry_schedule",
            UpdateEndpointRequest {
                retry_schedule: Some(RetrySchedule::default()),
                clear_retry_schedule: true,
                ..world.change()
            },
        ),
        (
            "timeout_seconds",
            UpdateEndpointRequest {
                timeout_seconds: Some(1),
                clear_timeout_seconds: true,
                ..world.change()
            },
        ),
        (
            "max_concurrency",
            UpdateEndpointRequest {
                max_concurrency: Some(1),
                clear_max_concurrency: true,
                ..world.change()
            },
        ),
        (
            "headers",
            UpdateEndpointRequest {
                headers: [("x-a".into(), "v".into())].into(),
                clear_headers: true,
                ..world.change()
            },
        ),
    ];
    for (field, change) in both_ways {
        let (what, call) = (format!("{field} set and cleared"), Call::Update(change));
        cases.push(world.invalid(what, call, Reason::FieldInvalid, field));
    }
    let (types, limit) = ("event_types", "rate_limit");
    let named = |name: &str| vec!["message.report".to_owned(), name.to_owned()];
    cases.extend([
        world.invalid(
            "no event type",
            create(&|endpoint| endpoint.event_types.clear()),
            Reason::EventTypeInvalid,
            types,
        ),
        world.invalid(
            "a wildcard for an event type",
            create(&|endpoint| endpoint.event_types = named("message.*")),
            Reason::EventTypeInvalid,
            types,
        ),
        world.invalid(
            "an unknown event type",
            create(&|endpoint| endpoint.event_types = named("message.lost")),
            Reason::EventTypeUnknown,
            types,
        ),
        world.invalid(
            "no description",
            create(&|endpoint| endpoint.description.clear()),
            Reason::FieldInvalid,
            "description",
        ),
        world.invalid(
            "an empty endpoint",
            create(&|endpoint| {
                *endpoint = CreateEndpointRequest {
                    account: ACCOUNT.into(),
                    ..Default::default()
                };
            }),
            Reason::UrlInvalid,
            "url description event_types",
        ),
        world.invalid(
            "an account with a dot",
            create(&|endpoint| endpoint.account = "a.b".into()),
            Reason::AccountInvalid,
            "account",
        ),
        world.invalid(
            "a change to a private URL",
            update(&|change| change.url = Some("https://192.168.0.1/".into())),
            Reason::UrlInvalid,
            "url",
        ),
        world.invalid(
            "a change of the rate limit to 0",
            update(&|change| change.rate_limit = Some(0)),
            Reason::FieldInvalid,
            limit,
        ),
        world.invalid(
            "a rate limit that is set and cleared",
            update(&|change| (change.rate_limit, change.clear_rate_limit) = (Some(1), true)),
            Reason::FieldInvalid,
            limit,
        ),
        world.invalid(
            "a grace period of more than a week",
            Call::Regenerate(RegenerateEndpointSecretRequest {
                account: ACCOUNT.into(),
                endpoint_id: world.endpoint.clone(),
                grace_period_seconds: 604_801,
            }),
            Reason::FieldInvalid,
            "grace_period_seconds",
        ),
    ]);
    let tests: [(&str, &[u8], Reason, &str); 3] = [
        ("message.lost", b"", Reason::EventTypeUnknown, "event_type"),
        ("message.>", b"", Reason::EventTypeInvalid, "event_type"),
        ("message.report", b"[]", Reason::ObjectInvalid, "object"),
    ];
    for (event_type, object, reason, field) in tests {
        let call = Call::Test(SendTestEventRequest {
            account: ACCOUNT.into(),
            endpoint_id: world.endpoint.clone(),
            event_type: event_type.into(),
            object: object.to_vec().into(),
        });
        cases.push(world.invalid(format!("a test of {event_type}"), call, reason, field));
    }
    cases
}

/// Changes of a policy that are not acceptable, and the field at fault.
fn policies() -> Vec<(String, &'static str, UpdateEndpointRequest)> {
    let mut policies = Vec::new();
    let mut add = |what: String, field, policy| policies.push((what, field, policy));
    let too_many = vec!["1s"; 21];
    let too_long = vec!["24h"; 8];
    for delays in [&["soon"][..], &["0s"], &["25h"], &too_many, &too_long] {
        let policy = UpdateEndpointRequest {
            retry_schedule: Some(RetrySchedule {
                delays: delays.iter().map(ToString::to_string).collect(),
            }),
            ..UpdateEndpointRequest::default()
        };
        add(format!("the delays {delays:.2?}"), "retry_schedule", policy);
    }
    for seconds in [0, 31, u32::MAX] {
        let policy = UpdateEndpointRequest {
            timeout_seconds: Some(seconds),
            ..UpdateEndpointRequest::default()
        };
        add(
            format!("a timeout of {seconds} s"),
            "timeout_seconds",
            policy,
        );
    }
    for count in [0, 257, u32::MAX] {
        let policy = UpdateEndpointRequest {
            max_concurrency: Some(count),
            ..UpdateEndpointRequest::default()
        };
        add(
            format!("{count} requests at once"),
            "max_concurrency",
            policy,
        );
    }
    for (name, value) in [
        ("Host", "v"),
        ("webhook-id", "v"),
        ("", "v"),
        ("a b", "v"),
        ("x-a", ""),
        ("x-a", "v\r\nhost: x"),
    ] {
        let policy = UpdateEndpointRequest {
            headers: [(name.to_owned(), value.to_owned())].into(),
            ..UpdateEndpointRequest::default()
        };
        add(format!("the header {name:?}: {value:?}"), "headers", policy);
    }
    policies
}

//! Which endpoints get an event. A pure rule: the same event and endpoints
//! make the same plan, so planning again after a crash changes nothing.

use std::sync::Arc;
use std::time::Duration;

use domain::{
    AcceptedEvent, Cause, DeliveryId, Endpoint, EndpointId, NotSentReason, Plan, PlannedDelivery,
    Timestamp,
};

/// An endpoint this much younger than the event still gets it: the clocks of
/// ingest and control may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// Decides for every endpoint of the event's account.
pub(crate) fn plan(event: &AcceptedEvent, endpoints: &[Arc<Endpoint>], now: Timestamp) -> Plan {
    let mut deliveries = Vec::new();
    let mut not_sent = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        match decide(event, endpoint) {
            Decision::Send(cause) => deliveries.push(PlannedDelivery {
                id: DeliveryId::planned(event.id, endpoint.id),
                endpoint_id: endpoint.id,
                cause,
                endpoint_generation: endpoint.generation,
            }),
            Decision::NotSent(reason) => not_sent.push((endpoint.id, reason)),
            Decision::NotConcerned => {}
        }
    }
    // The directory has no order of its own.
    deliveries.sort_unstable_by_key(|delivery| delivery.endpoint_id);
    not_sent.sort_unstable_by_key(|(endpoint, _)| *endpoint);
    Plan {
        event_id: event.id,
        account: event.account.clone(),
        event_type: event.event_type.clone(),
        accepted_at: event.accepted_at,
        planned_at: now,
        deliveries,
        not_sent: not_sent.into_iter().collect(),
    }
}

enum Decision {
    Send(Cause),
    NotSent(NotSentReason),
    /// A test event for another endpoint, or an operational event about this
    /// one.
    NotConcerned,
}

fn decide(event: &AcceptedEvent, endpoint: &Endpoint) -> Decision {
    if event
        .target
        .is_some_and(|target: EndpointId| target != endpoint.id)
    {
        return Decision::NotConcerned;
    }
    if event.excluded == Some(endpoint.id) {
        return Decision::NotConcerned;
    }
    if endpoint.disabled {
        return Decision::NotSent(NotSentReason::Disabled);
    }
    if event.target.is_some() {
        return match endpoint.awaits_verification() && !event.event_type.is_challenge() {
            true => Decision::NotSent(NotSentReason::Unverified),
            false => Decision::Send(Cause::Test),
        };
    }
    if endpoint.created_at > event.accepted_at.plus(CLOCK_SKEW) {
        return Decision::NotSent(NotSentReason::CreatedLater);
    }
    if !endpoint.subscribes(&event.event_type) {
        return Decision::NotSent(NotSentReason::NotSubscribed);
    }
    // Last: what it would get if it were verified.
    if endpoint.awaits_verification() {
        return Decision::NotSent(NotSentReason::Unverified);
    }
    Decision::Send(Cause::Event)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use domain::{AccountId, DeliveryPolicy, EventId, EventType, Tags, TraceContext, Verification};

    use super::*;

    fn event(target: Option<EndpointId>) -> AcceptedEvent {
        AcceptedEvent {
            id: EventId::new(),
            account: AccountId::parse("acme").unwrap(),
            event_type: EventType::parse("message.report").unwrap(),
            body: Bytes::new(),
            tags: Tags::default(),
            live_mode: true,
            accepted_at: Timestamp::from_unix_millis(100_000),
            trace: TraceContext::root([1; 24]),
            target,
            excluded: None,
        }
    }

    fn endpoint(event_type: &str, disabled: bool, created_at: i64) -> Arc<Endpoint> {
        Arc::new(Endpoint {
            id: EndpointId::new(),
            account: AccountId::parse("acme").unwrap(),
            version: 1,
            url: "https://example.com".to_owned(),
            event_types: vec![EventType::parse(event_type).unwrap()],
            disabled,
            disabled_reason: String::new(),
            generation: 3,
            verification: Verification::NotRequired,
            rate_limit: None,
            policy: DeliveryPolicy::default(),
            created_at: Timestamp::from_unix_millis(created_at),
            secrets: Vec::new(),
        })
    }

    #[test]
    fn each_endpoint_gets_a_delivery_or_a_reason() {
        let endpoints = [
            endpoint("message.report", false, 0),
            endpoint("message.incoming", false, 0),
            endpoint("message.report", true, 0),
            endpoint("message.report", false, 105_001),
            endpoint("message.report", false, 105_000),
        ];
        let event = event(None);
        let made = plan(&event, &endpoints, Timestamp::from_unix_millis(100_001));
        let sent: Vec<_> = made
            .deliveries
            .iter()
            .map(|delivery| delivery.endpoint_id)
            .collect();
        assert_eq!(sent, [endpoints[0].id, endpoints[4].id]);
        assert_eq!(made.deliveries[0].endpoint_generation, 3);
        assert_eq!(
            made.not_sent.iter().collect::<Vec<_>>(),
            [
                (endpoints[1].id, NotSentReason::NotSubscribed),
                (endpoints[2].id, NotSentReason::Disabled),
                (endpoints[3].id, NotSentReason::CreatedLater),
            ]
        );
        let again = plan(&event, &endpoints, Timestamp::from_unix_millis(100_002));
        assert_eq!(again.deliveries, made.deliveries);
    }

    #[test]
    fn a_test_event_goes_to_its_endpoint_only() {
        let target = endpoint("message.incoming", false, 0);
        let endpoints = [endpoint("message.report", false, 0), Arc::clone(&target)];
        let made = plan(
            &event(Some(target.id)),
            &endpoints,
            Timestamp::from_unix_millis(0),
        );
        assert_eq!(made.deliveries.len(), 1);
        assert_eq!(made.deliveries[0].endpoint_id, target.id);
        assert_eq!(made.deliveries[0].cause, Cause::Test);
        assert!(made.not_sent.is_empty());
        let disabled = endpoint("message.report", true, 0);
        let made = plan(
            &event(Some(disabled.id)),
            &[Arc::clone(&disabled)],
            Timestamp::from_unix_millis(0),
        );
        let not_sent: Vec<_> = made.not_sent.iter().collect();
        assert_eq!(not_sent, [(disabled.id, NotSentReason::Disabled)]);
    }

    #[test]
    fn an_unverified_endpoint_gets_nothing_but_a_challenge() {
        let pending = |event_type| {
            let endpoint = endpoint(event_type, false, 0);
            let verification = Verification::Pending;
            Arc::new(Endpoint {
                verification,
                ..Arc::unwrap_or_clone(endpoint)
            })
        };
        let now = Timestamp::from_unix_millis(100_001);
        let (one, other) = (pending("message.report"), pending("message.incoming"));
        let endpoints = [Arc::clone(&one), Arc::clone(&other)];
        let made = plan(&event(None), &endpoints, now);
        assert!(made.deliveries.is_empty());
        let mut expected = [
            (one.id, NotSentReason::Unverified),
            (other.id, NotSentReason::NotSubscribed),
        ];
        expected.sort_by_key(|(id, _)| *id);
        let not_sent: Vec<_> = made.not_sent.iter().collect();
        assert_eq!(not_sent, expected);

        let test = event(Some(one.id));
        let made = plan(&test, &endpoints, now);
        assert!(made.deliveries.is_empty());
        let not_sent: Vec<_> = made.not_sent.iter().collect();
        assert_eq!(not_sent, [(one.id, NotSentReason::Unverified)]);

        let challenge = AcceptedEvent {
            event_type: EventType::parse("endpoint.verification").unwrap(),
            ..test
        };
        let made = plan(&challenge, &endpoints, now);
        assert_eq!(made.deliveries.len(), 1);
        assert_eq!(made.deliveries[0].endpoint_id, one.id);
    }

    #[test]
    fn an_operational_event_does_not_go_to_the_endpoint_it_is_about() {
        let about = endpoint("message.report", true, 0);
        let other = endpoint("message.report", false, 0);
        let event = AcceptedEvent {
            excluded: Some(about.id),
            ..event(None)
        };
        let now = Timestamp::from_unix_millis(0);
        let made = plan(&event, &[about, Arc::clone(&other)], now);
        assert_eq!(made.deliveries.len(), 1);
        assert_eq!(made.deliveries[0].endpoint_id, other.id);
        assert!(made.not_sent.is_empty());
    }
}

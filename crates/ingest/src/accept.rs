//! One event, from the caller's words to a stored message.

use std::time::{Duration, Instant, SystemTime};

use broker::Publication;
use bytes::Bytes;
use domain::key::{Identity, Need, Scope, invalid_key};
use domain::{
    AcceptedEvent, AccountId, EndpointId, EventId, EventType, JsonObject, NewEvent, Problem,
    PublisherId, Reason, Tags, Timestamp, TraceContext, envelope,
};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use proto::v1::{PublishEventRequest, PublishEventResponse};
use telemetry::metric;
use telemetry::trace;
use tonic::metadata::MetadataMap;
use uuid::Uuid;

use crate::Deps;
use crate::limits::{Limits, Rates};
use crate::origin::Origin;

/// All tries of storing one event.
const BUDGET: Duration = Duration::from_secs(5);
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Takes events.
#[derive(Debug)]
pub(crate) struct Acceptor {
    deps: Deps,
    limits: Limits,
    events: Counter<u64>,
    duration: Histogram<f64>,
}

/// Which endpoints an event is for, besides what they subscribe to.
#[derive(Debug, Default)]
struct Audience {
    /// This one only.
    target: Option<EndpointId>,
    /// All but this one.
    excluded: Option<EndpointId>,
}

/// What an event is called if it is stored now.
#[derive(Debug, Clone, Copy)]
struct Named {
    id: EventId,
    /// The same on every repeat.
    key: Uuid,
    at: Timestamp,
}

impl Named {
    /// Its id is the same on every repeat.
    fn by(id: EventId) -> Self {
        Self {
            id,
            key: id.uuid(),
            at: now(),
        }
    }
}

/// Who calls and in which trace. Read once per call; the token is judged again
/// for each event, so that a revoked key ends a stream.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    token: Option<String>,
    /// The id of the key of whoever asked another role to call; believed of
    /// roles only.
    on_behalf_of: Option<String>,
    trace: TraceContext,
}

impl Caller {
    pub(crate) fn new(metadata: &MetadataMap) -> Self {
        Self {
            token: proto::metadata::bearer(metadata).map(str::to_owned),
            on_behalf_of: metadata
                .get(proto::metadata::ON_BEHALF_OF)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            trace: trace::current().unwrap_or_else(|| trace::entered(None)),
        }
    }
}

impl Acceptor {
    pub(crate) fn new(deps: Deps, rates: Rates) -> Self {
        Self {
            deps,
            limits: Limits::new(rates),
            events: metric::INGEST_EVENTS.counter(),
            duration: metric::INGEST_DURATION.histogram(),
        }
    }

    /// Who shows the token.
    pub(crate) async fn authenticate(&self, caller: &Caller) -> Result<Identity, Problem> {
        let token = caller.token.as_deref().ok_or_else(invalid_key)?;
        self.deps.keys.authenticate(token, now()).await
    }

    /// Accepts an event: it is durable when this returns.
    pub(crate) async fn accept(
        &self,
        caller: &Caller,
        request: PublishEventRequest,
    ) -> Result<PublishEventResponse, Problem> {
        let begun = Instant::now();
        let accepted = self.try_accept(caller, request).await;
        self.count(&accepted, begun.elapsed());
        accepted
    }

    fn count(&self, accepted: &Result<PublishEventResponse, Problem>, duration: Duration) {
        let result = match accepted {
            Ok(PublishEventResponse {
                duplicate: false, ..
            }) => "accepted",
            Ok(_) => "duplicate",
            Err(problem) if problem.reason.http_status() < 500 => "refused",
            Err(_) => "failed",
        };
        let result = KeyValue::new("result", result);
        self.duration
            .record(duration.as_secs_f64(), std::slice::from_ref(&result));
        match accepted {
            Ok(_) => self.events.add(1, &[result]),
            Err(problem) => {
                let reason = KeyValue::new("reason", problem.reason.code());
                self.events.add(1, &[result, reason]);
            }
        }
    }

    async fn try_accept(
        &self,
        caller: &Caller,
        request: PublishEventRequest,
    ) -> Result<PublishEventResponse, Problem> {
        let identity = self.authenticate(caller).await?;
        let origin = Origin::of(&caller.trace, &request.traceparent);
        let event = parse(request, &identity)?;
        let payer = match &caller.on_behalf_of {
            Some(key_id) if identity.scope == Scope::Service => key_id,
            _ => &identity.key_id,
        };
        self.limits.take(payer, &event.account, Instant::now())?;
        self.check_registered(&event.event_type).await?;
        let at = now();
        let id = event.id(at);
        let key = event.key().unwrap_or(id.uuid());
        let new = Named { id, key, at };
        let everyone = Audience::default();
        let (id, duplicate) = self.store(new, &event, &origin, everyone).await?;
        Ok(PublishEventResponse {
            id: id.to_string(),
            duplicate,
        })
    }

    /// Stores a test event, or a challenge, for one endpoint.
    pub(crate) async fn accept_test(
        &self,
        caller: &Caller,
        event: NewEvent,
        target: EndpointId,
    ) -> Result<EventId, Problem> {
        if !event.event_type.is_challenge() {
            self.check_registered(&event.event_type).await?;
        }
        let audience = Audience {
            target: Some(target),
            ..Audience::default()
        };
        let new = Named::by(EventId::new());
        let (id, _) = self
            .store(new, &event, &Origin::of(&caller.trace, ""), audience)
            .await?;
        Ok(id)
    }

    /// Stores an operational event for every endpoint but the one it is about.
    /// The event's id comes of `id`, so a repeat stores nothing.
    pub(crate) async fn accept_raised(
        &self,
        caller: &Caller,
        id: Uuid,
        event: NewEvent,
        about: EndpointId,
    ) -> Result<EventId, Problem> {
        self.check_registered(&event.event_type).await?;
        let id = EventId::for_raised(&event.account, id);
        let audience = Audience {
            excluded: Some(about),
            ..Audience::default()
        };
        let origin = Origin::of(&caller.trace, "");
        match self.store(Named::by(id), &event, &origin, audience).await {
            Ok(_) => Ok(id),
            // Raised again in other words: the first ones hold.
            Err(problem) if problem.reason == Reason::IdempotencyConflict => Ok(id),
            Err(problem) => Err(problem),
        }
    }

    async fn store(
        &self,
        named: Named,
        event: &NewEvent,
        origin: &Origin,
        audience: Audience,
    ) -> Result<(EventId, bool), Problem> {
        let Named { id, key, at } = named;
        let accepted = AcceptedEvent {
            id,
            account: event.account.clone(),
            event_type: event.event_type.clone(),
            body: envelope::build(id, &event.event_type, at, event.live_mode, &event.object),
            tags: event.tags.clone(),
            live_mode: event.live_mode,
            accepted_at: at,
            trace: origin.enter(),
            target: audience.target,
            excluded: audience.excluded,
        };
        let begun = SystemTime::now();
        let fingerprint = event.fingerprint();
        let publish = self
            .deps
            .broker
            .publish_event(&accepted, key, &fingerprint, BUDGET);
        let published = publish.await;
        origin.sent(&accepted, begun, published.as_ref().err());
        match published.map_err(|error| unavailable(&error))? {
            Publication::New => Ok((id, false)),
            Publication::Duplicate(first) => Ok((first, true)),
            Publication::Conflict => Err(Problem::of_field(
                Reason::IdempotencyConflict,
                "id",
                "another event was published under this id; use a new id for a new event, and the \
                 same payload for a repeat",
            )),
            Publication::Gone => Err(Problem::of_field(
                Reason::IdempotencyConflict,
                "id",
                "the event that was published under this id is no longer kept; use a new id for \
                 a new event",
            )),
        }
    }

    async fn check_registered(&self, event_type: &EventType) -> Result<(), Problem> {
        let known = self.deps.event_types.contains(event_type).await;
        if known.map_err(|error| unavailable(&error))? {
            return Ok(());
        }
        Err(Problem::of_field(
            Reason::EventTypeUnknown,
            "type",
            format!(
                "{event_type} is not registered; GET /v1/event-types lists the types, and an \
                 admin key can register another"
            ),
        ))
    }
}

fn unavailable(error: &broker::Error) -> Problem {
    match error {
        broker::Error::Refused(_) => {
            tracing::error!(%error, "an event was refused");
            Problem::new(
                Reason::Internal,
                "the event cannot be stored; report it if it stays",
            )
        }
        _ => {
            tracing::warn!(%error, "an event cannot be stored now");
            Problem::new(
                Reason::BrokerUnavailable,
                "the event may not be stored; repeat the call with the same id, waiting longer \
                 each time",
            )
            .retry_after(RETRY_AFTER)
        }
    }
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Checks every part of a request, and that the caller may publish there.
fn parse(request: PublishEventRequest, identity: &Identity) -> Result<NewEvent, Problem> {
    let account = AccountId::parse(&request.account)?;
    identity.authorise(&account, Need::Publish)?;
    let event_type = EventType::parse(&request.r#type)?;
    event_type.refuse_reserved("type")?;
    Ok(NewEvent {
        event_type,
        object: JsonObject::parse(request.object)?,
        publisher_id: match request.id.as_str() {
            "" => None,
            id => Some(PublisherId::parse(id)?),
        },
        tags: Tags::parse(request.tags)?,
        live_mode: request.live_mode.unwrap_or(true),
        account,
    })
}

/// The parts of an event that no publisher publishes.
pub(crate) fn own_event(
    account: AccountId,
    event_type: &str,
    object: Bytes,
    live_mode: bool,
) -> Result<NewEvent, Problem> {
    Ok(NewEvent {
        account,
        event_type: EventType::parse(event_type)?,
        object: JsonObject::parse(object)?,
        publisher_id: None,
        tags: Tags::default(),
        live_mode,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn identity(scope: Scope) -> Identity {
        Identity {
            key_id: "k".to_owned(),
            scope,
            account: None,
            origin: domain::audit::Origin::default(),
        }
    }

    fn request() -> PublishEventRequest {
        PublishEventRequest {
            account: "acme".to_owned(),
            r#type: "message.report".to_owned(),
            object: Bytes::from_static(b"{}"),
            ..PublishEventRequest::default()
        }
    }

    #[test]
    fn an_event_is_live_unless_its_publisher_says_otherwise() {
        let event = parse(request(), &identity(Scope::Publish)).unwrap();
        assert!(event.live_mode);
        assert_eq!(event.publisher_id, None);
        let sample = PublishEventRequest {
            live_mode: Some(false),
            ..request()
        };
        assert!(!parse(sample, &identity(Scope::Publish)).unwrap().live_mode);
    }

    #[test]
    fn the_scope_is_judged_before_the_payload() {
        let bad = PublishEventRequest {
            object: Bytes::from_static(b"["),
            ..request()
        };
        let reason = |scope| parse(bad.clone(), &identity(scope)).unwrap_err().reason;
        assert_eq!(reason(Scope::Read), Reason::ScopeInsufficient);
        assert_eq!(reason(Scope::Publish), Reason::JsonMalformed);
    }

    #[test]
    fn operational_types_are_not_for_publishers() {
        let request = PublishEventRequest {
            r#type: "endpoint.disabled".to_owned(),
            ..request()
        };
        let problem = parse(request, &identity(Scope::Admin)).unwrap_err();
        assert_eq!(problem.reason, Reason::EventTypeInvalid);
        assert_eq!(problem.fields[0].field, "type");
    }
}

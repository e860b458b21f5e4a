use bytes::Bytes;
use domain::audit::Action;
use domain::key::{Identity, Need};
use domain::{AccountId, EndpointId, EventType, JsonObject, Problem, Reason};
use proto::pipeline::PublishTestEventRequest;
use proto::status::to_problem;

use super::super::{Control, database};

/// What was sent.
#[derive(Debug)]
pub(crate) struct TestEvent {
    pub(crate) event_id: String,
    pub(crate) delivery_id: String,
}

impl Control {
    /// Sends a sample to this endpoint only: the object given, or the
    /// catalogue's example.
    pub(crate) async fn send_test_event(
        &self,
        identity: &Identity,
        account: &AccountId,
        id: EndpointId,
        event_type: &str,
        object: Option<Bytes>,
    ) -> Result<TestEvent, Problem> {
        identity.authorise(account, Need::Admin)?;
        let row = self.find(account, id).await?;
        let event_type = EventType::parse_field("event_type", event_type)?;
        let definition = self.0.deps.registry.event_type(&event_type).await;
        let definition = definition
            .map_err(|error| database(&error))?
            .ok_or_else(|| {
                let message =
                    format!("{event_type} is not registered; GET /v1/event-types lists the types");
                Problem::of_field(Reason::EventTypeUnknown, "event_type", message)
            })?;
        let object = match object {
            Some(object) => object,
            None => Bytes::from(definition.example),
        };
        JsonObject::parse(object.clone())?;
        if row.endpoint.disabled {
            let detail = "the endpoint is disabled; enable it and send the test event again";
            return Err(Problem::new(Reason::EndpointDisabled, detail));
        }
        if row.endpoint.awaits_verification() {
            let detail = "the endpoint is not verified yet; have it echo its challenge first";
            return Err(Problem::new(Reason::EndpointUnverified, detail));
        }
        let request = PublishTestEventRequest {
            account: account.to_string(),
            endpoint_id: id.to_string(),
            r#type: event_type.to_string(),
            object,
        };
        let sent = self
            .0
            .upstream
            .own_events
            .clone()
            .publish_test_event(request)
            .await;
        let sent = sent.map_err(|status| to_problem(&status, Reason::IngestUnavailable))?;
        let sent = sent.into_inner();
        let (action, target) = (Action::EndpointTested, id.to_string());
        self.note(identity, Some(account), action, &target).await;
        Ok(TestEvent {
            event_id: sent.event_id,
            delivery_id: sent.delivery_id,
        })
    }
}

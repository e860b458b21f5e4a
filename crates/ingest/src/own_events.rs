//! `OwnEventService`: control's way to send test events and operational events.

use std::sync::Arc;

use domain::key::Need;
use domain::{AccountId, DeliveryId, EndpointId, EventType, Problem, Reason};
use proto::pipeline::own_event_service_server::OwnEventService;
use proto::pipeline::{
    PublishTestEventRequest, PublishTestEventResponse, RaiseEventRequest, RaiseEventResponse,
};
use proto::status::from_problem;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::accept::{Acceptor, Caller, own_event};

#[derive(Debug)]
pub(crate) struct OwnEvents(pub(crate) Arc<Acceptor>);

impl OwnEvents {
    async fn publish_test(
        &self,
        caller: &Caller,
        request: PublishTestEventRequest,
    ) -> Result<PublishTestEventResponse, Problem> {
        let account = self.authorise(caller, &request.account).await?;
        let endpoint: EndpointId = request.endpoint_id.parse().map_err(|_| {
            Problem::of_field(
                Reason::IdMalformed,
                "endpoint_id",
                "send an id like ep_<uuid>",
            )
        })?;
        let event = own_event(account, &request.r#type, request.object, false)?;
        let id = self.0.accept_test(caller, event, endpoint).await?;
        Ok(PublishTestEventResponse {
            event_id: id.to_string(),
            delivery_id: DeliveryId::planned(id, endpoint).to_string(),
        })
    }

    async fn raise(
        &self,
        caller: &Caller,
        request: RaiseEventRequest,
    ) -> Result<RaiseEventResponse, Problem> {
        let event = request.event.unwrap_or_default();
        let account = self.authorise(caller, &event.account).await?;
        let malformed =
            |field| Problem::of_field(Reason::IdMalformed, field, "send the 16 bytes of a UUID");
        let id = Uuid::from_slice(&event.id).map_err(|_| malformed("id"))?;
        let about = EndpointId::from_slice(&event.about_endpoint_id)
            .map_err(|_| malformed("about_endpoint_id"))?;
        if !EventType::parse(&event.r#type)?.is_reserved() {
            let message = "only operational events are raised; publish the others";
            return Err(Problem::of_field(Reason::EventTypeInvalid, "type", message));
        }
        let event = own_event(account, &event.r#type, event.object, true)?;
        let id = self.0.accept_raised(caller, id, event, about).await?;
        Ok(RaiseEventResponse {
            event_id: id.to_string(),
        })
    }

    /// Only the roles call here.
    async fn authorise(&self, caller: &Caller, account: &str) -> Result<AccountId, Problem> {
        let identity = self.0.authenticate(caller).await?;
        identity.authorise_scope(Need::Service)?;
        AccountId::parse(account)
    }
}

fn answer<T>(result: Result<T, Problem>) -> Result<Response<T>, Status> {
    result
        .map(Response::new)
        .map_err(|problem| from_problem(&problem))
}

#[tonic::async_trait]
impl OwnEventService for OwnEvents {
    async fn publish_test_event(
        &self,
        request: Request<PublishTestEventRequest>,
    ) -> Result<Response<PublishTestEventResponse>, Status> {
        let caller = Caller::new(request.metadata());
        answer(self.publish_test(&caller, request.into_inner()).await)
    }

    async fn raise_event(
        &self,
        request: Request<RaiseEventRequest>,
    ) -> Result<Response<RaiseEventResponse>, Status> {
        let caller = Caller::new(request.metadata());
        answer(self.raise(&caller, request.into_inner()).await)
    }
}

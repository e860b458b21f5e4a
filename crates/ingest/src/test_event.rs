//! `TestEventService`: control's way to send a test event.

use std::sync::Arc;

use domain::key::Need;
use domain::{AccountId, DeliveryId, EndpointId, Problem, Reason};
use proto::pipeline::test_event_service_server::TestEventService;
use proto::pipeline::{PublishTestEventRequest, PublishTestEventResponse};
use proto::status::from_problem;
use tonic::{Request, Response, Status};

use crate::accept::{Acceptor, Caller, test_event};

#[derive(Debug)]
pub(crate) struct TestEvents(pub(crate) Arc<Acceptor>);

impl TestEvents {
    async fn publish(
        &self,
        caller: &Caller,
        request: PublishTestEventRequest,
    ) -> Result<PublishTestEventResponse, Problem> {
        let identity = self.0.authenticate(caller).await?;
        let account = AccountId::parse(&request.account)?;
        identity.authorise(&account, Need::Service)?;
        let endpoint: EndpointId = request.endpoint_id.parse().map_err(|_| {
            Problem::of_field(
                Reason::IdMalformed,
                "endpoint_id",
                "send an id like ep_<uuid>",
            )
        })?;
        let event = test_event(account, &request.r#type, request.object)?;
        let id = self.0.accept_test(caller, event, endpoint).await?;
        Ok(PublishTestEventResponse {
            event_id: id.to_string(),
            delivery_id: DeliveryId::planned(id, endpoint).to_string(),
        })
    }
}

#[tonic::async_trait]
impl TestEventService for TestEvents {
    async fn publish_test_event(
        &self,
        request: Request<PublishTestEventRequest>,
    ) -> Result<Response<PublishTestEventResponse>, Status> {
        let caller = Caller::new(request.metadata());
        let published = self.publish(&caller, request.into_inner()).await;
        published
            .map(Response::new)
            .map_err(|problem| from_problem(&problem))
    }
}

//! `EndpointService`.

mod audit;
mod policy;

use std::time::Duration;

use domain::audit::Via;
use domain::key::Identity;
use domain::{AccountId, EndpointId, Problem};
use proto::status::from_problem;
use proto::time::to_proto;
use proto::v1::endpoint_service_server::EndpointService;
use proto::v1::{
    CreateEndpointRequest, DeleteEndpointRequest, DisableEndpointRequest, EnableEndpointRequest,
    Endpoint, EndpointHealth, EndpointSecret, GetEndpointRequest, GetEndpointSecretRequest,
    ListEndpointsRequest, ListEndpointsResponse, RegenerateEndpointSecretRequest, RetrySchedule,
    SendTestEventRequest, SendTestEventResponse, UpdateEndpointRequest, VerifyEndpointRequest,
};
use tonic::{Request, Response, Status};

use crate::core::{Control, EndpointChange, EndpointView, NewEndpoint, endpoint_not_found};

#[derive(Debug, Clone)]
pub(crate) struct Service(pub(crate) Control);

/// Who calls, for which account, with what.
struct Call<T> {
    identity: Identity,
    account: AccountId,
    message: T,
}

impl Service {
    async fn open<T>(
        &self,
        request: Request<T>,
        account: impl Fn(&T) -> &str,
    ) -> Result<Call<T>, Problem> {
        let token = proto::metadata::bearer(request.metadata()).map(str::to_owned);
        let identity = self.0.authenticate(token.as_deref()).await?;
        let origin = proto::metadata::origin(Via::Grpc, request.extensions());
        let identity = identity.coming_from(origin);
        let message = request.into_inner();
        let account = AccountId::parse(account(&message))?;
        Ok(Call {
            identity,
            account,
            message,
        })
    }
}

/// An id that is no id belongs to nothing.
fn endpoint_id(text: &str) -> Result<EndpointId, Problem> {
    text.parse().map_err(|_| endpoint_not_found())
}

fn answer<T>(result: Result<T, Problem>) -> Result<Response<T>, Status> {
    result
        .map(Response::new)
        .map_err(|problem| from_problem(&problem))
}

impl From<EndpointView> for Endpoint {
    fn from(view: EndpointView) -> Self {
        let status = if view.disabled { "disabled" } else { "active" };
        Self {
            id: view.id.to_string(),
            account: view.account.to_string(),
            url: view.url,
            description: view.description,
            event_types: view.event_types,
            rate_limit: view.rate_limit,
            status: status.to_owned(),
            disabled_reason: view.disabled_reason,
            health: Some(EndpointHealth {
                state: view.health.state,
                message: view.health.message,
                failing_since: view.health.failing_since.map(to_proto),
            }),
            created_at: Some(to_proto(view.created_at)),
            updated_at: Some(to_proto(view.updated_at)),
            retry_schedule: view
                .policy
                .retry_schedule
                .map(|delays| RetrySchedule { delays }),
            timeout_seconds: view.policy.timeout_seconds,
            max_concurrency: view.policy.max_concurrency,
            headers: view.policy.headers,
            send_traceparent: view.policy.send_traceparent,
            verification: view.verification.as_str().to_owned(),
        }
    }
}

fn change(mut message: UpdateEndpointRequest) -> Result<EndpointChange, Problem> {
    let policy = policy::change(&mut message)?;
    let rate_limit = policy::set_or_clear(
        "rate_limit",
        message.rate_limit.map(i64::from),
        message.clear_rate_limit,
    )?;
    let event_types = (!message.event_types.is_empty()).then_some(message.event_types);
    Ok(EndpointChange {
        url: message.url,
        description: message.description,
        event_types,
        rate_limit,
        policy,
    })
}

impl Service {
    async fn create(&self, request: Request<CreateEndpointRequest>) -> Result<Endpoint, Problem> {
        let Call {
            identity,
            account,
            mut message,
        } = self.open(request, |message| &message.account).await?;
        let policy = policy::of_new(&mut message);
        let new = NewEndpoint {
            url: message.url,
            description: message.description,
            event_types: message.event_types,
            rate_limit: message.rate_limit.map(i64::from),
            policy,
        };
        self.0
            .create_endpoint(&identity, &account, new)
            .await
            .map(Into::into)
    }

    async fn get(&self, request: Request<GetEndpointRequest>) -> Result<Endpoint, Problem> {
        let call = self.open(request, |message| &message.account).await?;
        let id = endpoint_id(&call.message.id)?;
        self.0
            .get_endpoint(&call.identity, &call.account, id)
            .await
            .map(Into::into)
    }

    async fn list(
        &self,
        request: Request<ListEndpointsRequest>,
    ) -> Result<ListEndpointsResponse, Problem> {
        let Call {
            identity,
            account,
            message,
        } = self.open(request, |message| &message.account).await?;
        let size = Some(message.page_size);
        let page = self
            .0
            .list_endpoints(&identity, &account, size, &message.page_token)
            .await?;
        Ok(ListEndpointsResponse {
            endpoints: page.items.into_iter().map(Into::into).collect(),
            next_page_token: page.next_page_token,
            prev_page_token: page.prev_page_token,
        })
    }

    async fn update(&self, request: Request<UpdateEndpointRequest>) -> Result<Endpoint, Problem> {
        let Call {
            identity,
            account,
            message,
        } = self.open(request, |message| &message.account).await?;
        let id = endpoint_id(&message.id)?;
        let change = change(message)?;
        self.0
            .update_endpoint(&identity, &account, id, change)
            .await
            .map(Into::into)
    }

    async fn delete(&self, request: Request<DeleteEndpointRequest>) -> Result<(), Problem> {
        let call = self.open(request, |message| &message.account).await?;
        let id = endpoint_id(&call.message.id)?;
        self.0
            .delete_endpoint(&call.identity, &call.account, id)
            .await
    }

    async fn enable(&self, request: Request<EnableEndpointRequest>) -> Result<Endpoint, Problem> {
        let call = self.open(request, |message| &message.account).await?;
        let id = endpoint_id(&call.message.id)?;
        self.0
            .set_enabled(&call.identity, &call.account, id, true)
            .await
            .map(Into::into)
    }

    async fn verify(&self, request: Request<VerifyEndpointRequest>) -> Result<Endpoint, Problem> {
        let call = self.open(request, |message| &message.account).await?;
        let id = endpoint_id(&call.message.id)?;
        self.0
            .verify_endpoint(&call.identity, &call.account, id)
            .await
            .map(Into::into)
    }

    async fn disable(&self, request: Request<DisableEndpointRequest>) -> Result<Endpoint, Problem> {
        let call = self.open(request, |message| &message.account).await?;
        let id = endpoint_id(&call.message.id)?;
        self.0
            .set_enabled(&call.identity, &call.account, id, false)
            .await
            .map(Into::into)
    }

    async fn secret(
        &self,
        request: Request<GetEndpointSecretRequest>,
    ) -> Result<EndpointSecret, Problem> {
        let call = self.open(request, |message| &message.account).await?;
        let id = endpoint_id(&call.message.endpoint_id)?;
        let secret = self.0.secret(&call.identity, &call.account, id).await?;
        Ok(EndpointSecret { secret })
    }

    async fn regenerate(
        &self,
        request: Request<RegenerateEndpointSecretRequest>,
    ) -> Result<EndpointSecret, Problem> {
        let call = self.open(request, |message| &message.account).await?;
        let id = endpoint_id(&call.message.endpoint_id)?;
        let grace = Duration::from_secs(call.message.grace_period_seconds.into());
        let secret = self
            .0
            .regenerate_secret(&call.identity, &call.account, id, grace)
            .await?;
        Ok(EndpointSecret { secret })
    }

    async fn test(
        &self,
        request: Request<SendTestEventRequest>,
    ) -> Result<SendTestEventResponse, Problem> {
        let Call {
            identity,
            account,
            message,
        } = self.open(request, |message| &message.account).await?;
        let id = endpoint_id(&message.endpoint_id)?;
        let object = (!message.object.is_empty()).then_some(message.object);
        let sent = self
            .0
            .send_test_event(&identity, &account, id, &message.event_type, object)
            .await?;
        Ok(SendTestEventResponse {
            event_id: sent.event_id,
            delivery_id: sent.delivery_id,
        })
    }
}

#[tonic::async_trait]
impl EndpointService for Service {
    async fn create_endpoint(
        &self,
        request: Request<CreateEndpointRequest>,
    ) -> Result<Response<Endpoint>, Status> {
        answer(self.create(request).await)
    }

    async fn get_endpoint(
        &self,
        request: Request<GetEndpointRequest>,
    ) -> Result<Response<Endpoint>, Status> {
        answer(self.get(request).await)
    }

    async fn list_endpoints(
        &self,
        request: Request<ListEndpointsRequest>,
    ) -> Result<Response<ListEndpointsResponse>, Status> {
        answer(self.list(request).await)
    }

    async fn update_endpoint(
        &self,
        request: Request<UpdateEndpointRequest>,
    ) -> Result<Response<Endpoint>, Status> {
        answer(self.update(request).await)
    }

    async fn delete_endpoint(
        &self,
        request: Request<DeleteEndpointRequest>,
    ) -> Result<Response<()>, Status> {
        answer(self.delete(request).await)
    }

    async fn enable_endpoint(
        &self,
        request: Request<EnableEndpointRequest>,
    ) -> Result<Response<Endpoint>, Status> {
        answer(self.enable(request).await)
    }

    async fn disable_endpoint(
        &self,
        request: Request<DisableEndpointRequest>,
    ) -> Result<Response<Endpoint>, Status> {
        answer(self.disable(request).await)
    }

    async fn verify_endpoint(
        &self,
        request: Request<VerifyEndpointRequest>,
    ) -> Result<Response<Endpoint>, Status> {
        answer(self.verify(request).await)
    }

    async fn get_endpoint_secret(
        &self,
        request: Request<GetEndpointSecretRequest>,
    ) -> Result<Response<EndpointSecret>, Status> {
        answer(self.secret(request).await)
    }

    async fn regenerate_endpoint_secret(
        &self,
        request: Request<RegenerateEndpointSecretRequest>,
    ) -> Result<Response<EndpointSecret>, Status> {
        answer(self.regenerate(request).await)
    }

    async fn send_test_event(
        &self,
        request: Request<SendTestEventRequest>,
    ) -> Result<Response<SendTestEventResponse>, Status> {
        answer(self.test(request).await)
    }
}

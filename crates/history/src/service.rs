//! `HistoryService`.

mod audit;
mod erase;
mod fleet;
mod large;
mod repair;
mod retention;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use domain::audit::{Action, Via};
use domain::key::{Identity, Need, invalid_key};
use domain::page::{Page, PageToken, page_size};
use domain::{AccountId, Endpoint, EndpointId, Problem, Reason};
use proto::status::from_problem;
use proto::v1::history_service_server::HistoryService;
use proto::v1::{
    AttemptDetail, BatchGetEndpointActivityRequest, BatchGetEndpointActivityResponse,
    BatchGetEndpointHealthRequest, BatchGetEndpointHealthResponse, CancelReplayRequest,
    DeliveryDetail, EndpointStats, Erasure, Event, GetAttemptRequest, GetDeliveryRequest,
    GetEndpointStatsRequest, GetErasureRequest, GetEventRequest, GetReplayRequest,
    GetRetentionRequest, ListAttemptsRequest, ListAttemptsResponse, ListEventsRequest,
    ListEventsResponse, ListTroubledEndpointsRequest, ListTroubledEndpointsResponse, Replay,
    ResendEventRequest, ResendEventResponse, Retention, StartErasureRequest, StartReplayRequest,
    TailAttemptsRequest, UpdateRetentionRequest,
};
use store::{AttemptSummary, EventRow};
use tonic::{Request, Response, Status};
use tracing::{error, warn};
use uuid::Uuid;

use crate::jobs::now;
use crate::{Shared, convert, filters, health, tail};

/// An answer waits this long for the directory, so that what was deleted
/// before the question is not shown.
pub(crate) const CATCH_UP: Duration = Duration::from_millis(500);
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Endpoints that health is asked for at once.
const MAX_HEALTH: usize = 100;

pub(crate) struct Service(pub(crate) Arc<Shared>);

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Service")
    }
}

pub(crate) fn database(error: &store::Error) -> Problem {
    if error.is_outage() {
        warn!(%error, "the database does not answer");
        let detail = "the history's database does not answer now; repeat the call in a moment";
        return Problem::new(Reason::DatabaseUnavailable, detail).retry_after(RETRY_AFTER);
    }
    error!(%error, "the database refused a question");
    Problem::new(
        Reason::Internal,
        "the history cannot be read; report it if it stays",
    )
}

pub(crate) fn broker_down() -> Problem {
    let detail = "nats-server cannot take it now; repeat the call in a moment";
    Problem::new(Reason::BrokerUnavailable, detail).retry_after(RETRY_AFTER)
}

pub(crate) fn event_not_found() -> Problem {
    let detail = "this account has no event with this id; one that was accepted a moment ago may \
                  not be recorded yet";
    Problem::new(Reason::EventNotFound, detail)
}

fn attempt_not_found() -> Problem {
    let detail = "this account has no attempt with this id; list the attempts of an endpoint";
    Problem::new(Reason::AttemptNotFound, detail)
}

pub(crate) fn endpoint_not_found() -> Problem {
    let detail = "this account has no endpoint with this id; GET its list of endpoints";
    Problem::new(Reason::EndpointNotFound, detail)
}

impl Service {
    /// Who calls, and may they.
    async fn open<T>(
        &self,
        request: &Request<T>,
        account: &str,
        need: Need,
    ) -> Result<(Identity, AccountId), Problem> {
        let token = proto::metadata::bearer(request.metadata()).ok_or_else(invalid_key)?;
        let now = SystemTime::now().into();
        let identity = self.0.deps.keys.authenticate(token, now).await?;
        let origin = proto::metadata::origin(Via::Grpc, request.extensions());
        let identity = identity.coming_from(origin);
        let account = AccountId::parse(account)?;
        identity.authorise(&account, need)?;
        Ok((identity, account))
    }

    /// Sees every change of endpoints that was answered before now, if
    /// nats-server answers in time.
    async fn see_endpoints(&self) {
        let seen = self
            .0
            .deps
            .endpoints
            .catch_up(&self.0.deps.broker, CATCH_UP)
            .await;
        if let Err(error) = seen {
            warn!(%error, "answering by what was known last");
        }
    }

    /// An endpoint of the account that is not deleted.
    fn endpoint(&self, account: &AccountId, id: EndpointId) -> Result<Arc<Endpoint>, Problem> {
        let found = self.0.deps.endpoints.get(id);
        found
            .filter(|endpoint| endpoint.account == *account)
            .ok_or_else(endpoint_not_found)
    }

    /// Before the directory is loaded nothing can be told to be deleted.
    fn is_visible(&self, endpoint: Uuid) -> bool {
        let directory = &self.0.deps.endpoints;
        !directory.is_current() || directory.get(EndpointId::from_uuid(endpoint)).is_some()
    }

    async fn attempts(
        &self,
        request: Request<ListAttemptsRequest>,
    ) -> Result<ListAttemptsResponse, Problem> {
        let (_, account) = self
            .open(&request, &request.get_ref().account, Need::Read)
            .await?;
        let message = request.into_inner();
        let filter = filters::attempts(&message)?;
        self.see_endpoints().await;
        if let Some(endpoint) = filter.endpoint {
            self.endpoint(&account, endpoint)?;
        }
        let context = filters::attempts_context(&account, &message);
        let cursor = PageToken::decode_or_first(&message.page_token, &context)?;
        let size = page_size(Some(message.page_size));
        let store = &self.0.deps.store;
        let found = store
            .attempts(&account, &filter, cursor.as_ref(), size + 1)
            .await;
        let found = found.map_err(|error| database(&error))?;
        let place = |row: &AttemptSummary| (row.started_at, row.id);
        let page = Page::assemble(found.rows, size, cursor.as_ref(), &context, place);
        let page = page.ended_at(found.ended_at, cursor.as_ref(), &context);
        let visible = page
            .items
            .into_iter()
            .filter(|row| self.is_visible(row.endpoint_id));
        Ok(ListAttemptsResponse {
            attempts: visible.map(convert::attempt).collect(),
            next_page_token: page.next_page_token,
            prev_page_token: page.prev_page_token,
        })
    }

    async fn attempt(&self, request: Request<GetAttemptRequest>) -> Result<AttemptDetail, Problem> {
        let (_, account) = self
            .open(&request, &request.get_ref().account, Need::Read)
            .await?;
        let id = request
            .get_ref()
            .id
            .parse()
            .map_err(|_| attempt_not_found())?;
        self.see_endpoints().await;
        let found = self.0.deps.store.attempt(&account, id).await;
        let row = found
            .map_err(|error| database(&error))?
            .ok_or_else(attempt_not_found)?;
        if !self.is_visible(row.summary.endpoint_id) {
            return Err(attempt_not_found());
        }
        Ok(convert::attempt_detail(row, now()))
    }

    async fn events(
        &self,
        request: Request<ListEventsRequest>,
    ) -> Result<ListEventsResponse, Problem> {
        let (_, account) = self
            .open(&request, &request.get_ref().account, Need::Read)
            .await?;
        let message = request.into_inner();
        let filter = filters::events(&message)?;
        let context = filters::events_context(&account, &message);
        let cursor = PageToken::decode_or_first(&message.page_token, &context)?;
        let size = page_size(Some(message.page_size));
        self.see_endpoints().await;
        let store = &self.0.deps.store;
        let found = store
            .events(&account, &filter, cursor.as_ref(), size + 1)
            .await;
        let found = found.map_err(|error| database(&error))?;
        let place = |row: &EventRow| (row.accepted_at.unix_millis(), row.id);
        let bodies = found.rows.iter().map(|row| row.body.len());
        let fitting = large::fitting(bodies).min(size);
        // Where the page itself ends, it goes on from there.
        let is_cut = usize::try_from(fitting).is_ok_and(|fitting| fitting < found.rows.len());
        let ended_at = found.ended_at.filter(|_| !is_cut);
        let page = Page::assemble(found.rows, fitting, cursor.as_ref(), &context, place);
        let page = page.ended_at(ended_at, cursor.as_ref(), &context);
        let events = page.items.into_iter().map(|row| self.show(&account, row));
        Ok(ListEventsResponse {
            events: events.collect(),
            next_page_token: page.next_page_token,
            prev_page_token: page.prev_page_token,
        })
    }

    async fn event(&self, request: Request<GetEventRequest>) -> Result<Event, Problem> {
        let (_, account) = self
            .open(&request, &request.get_ref().account, Need::Read)
            .await?;
        let id = request
            .get_ref()
            .id
            .parse()
            .map_err(|_| event_not_found())?;
        self.see_endpoints().await;
        let found = self.0.deps.store.event(&account, id).await;
        let row = found
            .map_err(|error| database(&error))?
            .ok_or_else(event_not_found)?;
        Ok(self.show(&account, row))
    }

    /// Hides what belongs to deleted endpoints, and names those that came
    /// later.
    fn show(&self, account: &AccountId, mut row: EventRow) -> Event {
        row.deliveries
            .retain(|delivery| self.is_visible(delivery.endpoint_id));
        row.not_sent
            .retain(|(endpoint, _)| self.is_visible(*endpoint));
        if row.planned && !row.test {
            let told: HashSet<Uuid> = row
                .deliveries
                .iter()
                .map(|delivery| delivery.endpoint_id)
                .chain(row.not_sent.iter().map(|(endpoint, _)| *endpoint))
                .collect();
            for endpoint in self.0.deps.endpoints.of_account(account) {
                let later = endpoint.created_at > row.accepted_at;
                if later && !told.contains(&endpoint.id.uuid()) {
                    row.not_sent
                        .push((endpoint.id.uuid(), "created_later".to_owned()));
                }
            }
        }
        convert::event(row, now())
    }

    async fn stats(
        &self,
        request: Request<GetEndpointStatsRequest>,
    ) -> Result<EndpointStats, Problem> {
        let (_, account) = self
            .open(&request, &request.get_ref().account, Need::Read)
            .await?;
        let message = request.into_inner();
        let id = message
            .endpoint_id
            .parse()
            .map_err(|_| endpoint_not_found())?;
        let (after, before) = filters::span(message.after.as_ref(), message.before.as_ref())?;
        self.see_endpoints().await;
        self.endpoint(&account, id)?;
        let stats = self.0.deps.store.stats(id, after, before).await;
        stats.map(convert::stats).map_err(|error| database(&error))
    }

    async fn health(
        &self,
        request: Request<BatchGetEndpointHealthRequest>,
    ) -> Result<BatchGetEndpointHealthResponse, Problem> {
        let (_, account) = self
            .open(&request, &request.get_ref().account, Need::Read)
            .await?;
        let message = request.into_inner();
        if message.endpoint_ids.len() > MAX_HEALTH {
            let what = "name at most 100 endpoints";
            return Err(Problem::of_field(
                Reason::FieldInvalid,
                "endpoint_ids",
                what,
            ));
        }
        self.see_endpoints().await;
        let endpoints: Vec<Arc<Endpoint>> = message
            .endpoint_ids
            .iter()
            .filter_map(|text| text.parse().ok())
            .filter_map(|id| self.endpoint(&account, id).ok())
            .collect();
        let ids: Vec<EndpointId> = endpoints.iter().map(|endpoint| endpoint.id).collect();
        let rows = self
            .0
            .deps
            .store
            .health(&ids)
            .await
            .map_err(|error| database(&error))?;
        let now = SystemTime::now().into();
        let told = endpoints.into_iter().map(|endpoint| {
            let row = rows.iter().find(|row| row.id == endpoint.id.uuid());
            let health = health::health(row, Some(&endpoint), now);
            (endpoint.id.to_string(), health)
        });
        Ok(BatchGetEndpointHealthResponse {
            health: told.collect(),
        })
    }

    async fn resend(
        &self,
        request: Request<ResendEventRequest>,
    ) -> Result<ResendEventResponse, Problem> {
        let (identity, account) = self
            .open(&request, &request.get_ref().account, Need::Admin)
            .await?;
        let message = request.into_inner();
        let event = message.event_id.parse().map_err(|_| event_not_found())?;
        let id = message
            .endpoint_id
            .parse()
            .map_err(|_| endpoint_not_found())?;
        self.see_endpoints().await;
        let endpoint = self.endpoint(&account, id)?;
        let resent = self.0.resend(&account, event, &endpoint).await?;
        let delivery_id = resent.id.to_string();
        self.note(&identity, &account, Action::EventResent, &delivery_id)
            .await;
        Ok(ResendEventResponse {
            delivery_id,
            outcome: resent.outcome.as_str().to_owned(),
            reason: resent.outcome.reason().to_owned(),
        })
    }
}

fn answer<T>(result: Result<T, Problem>) -> Result<Response<T>, Status> {
    result
        .map(Response::new)
        .map_err(|problem| from_problem(&problem))
}

#[tonic::async_trait]
impl HistoryService for Service {
    async fn list_attempts(
        &self,
        request: Request<ListAttemptsRequest>,
    ) -> Result<Response<ListAttemptsResponse>, Status> {
        answer(self.attempts(request).await)
    }

    async fn get_attempt(
        &self,
        request: Request<GetAttemptRequest>,
    ) -> Result<Response<AttemptDetail>, Status> {
        answer(self.attempt(request).await)
    }

    async fn list_events(
        &self,
        request: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        answer(self.events(request).await)
    }

    async fn get_event(
        &self,
        request: Request<GetEventRequest>,
    ) -> Result<Response<Event>, Status> {
        answer(self.event(request).await)
    }

    async fn get_endpoint_stats(
        &self,
        request: Request<GetEndpointStatsRequest>,
    ) -> Result<Response<EndpointStats>, Status> {
        answer(self.stats(request).await)
    }

    async fn batch_get_endpoint_health(
        &self,
        request: Request<BatchGetEndpointHealthRequest>,
    ) -> Result<Response<BatchGetEndpointHealthResponse>, Status> {
        answer(self.health(request).await)
    }

    async fn batch_get_endpoint_activity(
        &self,
        request: Request<BatchGetEndpointActivityRequest>,
    ) -> Result<Response<BatchGetEndpointActivityResponse>, Status> {
        answer(self.activity(request).await)
    }

    async fn list_troubled_endpoints(
        &self,
        request: Request<ListTroubledEndpointsRequest>,
    ) -> Result<Response<ListTroubledEndpointsResponse>, Status> {
        answer(self.troubled(request).await)
    }

    async fn resend_event(
        &self,
        request: Request<ResendEventRequest>,
    ) -> Result<Response<ResendEventResponse>, Status> {
        answer(self.resend(request).await)
    }

    async fn get_delivery(
        &self,
        request: Request<GetDeliveryRequest>,
    ) -> Result<Response<DeliveryDetail>, Status> {
        answer(self.delivery(request).await)
    }

    type TailAttemptsStream = tail::Tail;

    async fn tail_attempts(
        &self,
        request: Request<TailAttemptsRequest>,
    ) -> Result<Response<tail::Tail>, Status> {
        answer(self.tail(request).await)
    }

    async fn start_replay(
        &self,
        request: Request<StartReplayRequest>,
    ) -> Result<Response<Replay>, Status> {
        answer(self.begin_replay(request).await)
    }

    async fn get_replay(
        &self,
        request: Request<GetReplayRequest>,
    ) -> Result<Response<Replay>, Status> {
        answer(self.replay(request).await)
    }

    async fn cancel_replay(
        &self,
        request: Request<CancelReplayRequest>,
    ) -> Result<Response<Replay>, Status> {
        answer(self.stop_replay(request).await)
    }

    async fn start_erasure(
        &self,
        request: Request<StartErasureRequest>,
    ) -> Result<Response<Erasure>, Status> {
        answer(self.begin_erasure(request).await)
    }

    async fn get_erasure(
        &self,
        request: Request<GetErasureRequest>,
    ) -> Result<Response<Erasure>, Status> {
        answer(self.erasure(request).await)
    }

    async fn get_retention(
        &self,
        request: Request<GetRetentionRequest>,
    ) -> Result<Response<Retention>, Status> {
        answer(self.retention(request).await)
    }

    async fn update_retention(
        &self,
        request: Request<UpdateRetentionRequest>,
    ) -> Result<Response<Retention>, Status> {
        answer(self.set_retention(request).await)
    }
}

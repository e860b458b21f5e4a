//! `IngestService`.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use domain::key::Need;
use domain::{Problem, Reason};
use futures::{Stream, StreamExt as _, stream};
use proto::status::{from_problem, unread};
use proto::v1::ingest_service_server::IngestService;
use proto::v1::{
    PublishError, PublishEventRequest, PublishEventResponse, PublishEventsRequest,
    PublishEventsResponse, StreamEventsRequest, StreamEventsResponse,
};
use telemetry::trace::{self, attribute};
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

use crate::accept::{Acceptor, Caller};
use crate::batch;

/// Tells a caller how many events of its stream are in work at once.
const WINDOW_HEADER: &str = "postrider-stream-window";

#[derive(Debug)]
pub(crate) struct Service {
    acceptor: Arc<Acceptor>,
    window: usize,
    stop: CancellationToken,
}

impl Service {
    pub(crate) fn new(acceptor: Arc<Acceptor>, window: usize, stop: CancellationToken) -> Self {
        Self {
            acceptor,
            window: window.max(1),
            stop,
        }
    }

    /// A caller that may publish nothing gets one error, not a thousand. For
    /// which accounts it may is looked at for each event.
    async fn admit(&self, caller: &Caller) -> Result<(), Status> {
        let admitted = self.acceptor.authenticate(caller).await;
        admitted
            .and_then(|identity| identity.authorise_scope(Need::Publish))
            .map_err(|problem| from_problem(&problem))
    }
}

#[tonic::async_trait]
impl IngestService for Service {
    async fn publish_event(
        &self,
        request: Request<PublishEventRequest>,
    ) -> Result<Response<PublishEventResponse>, Status> {
        let caller = Caller::new(request.metadata());
        let request = request.into_inner();
        let account = request.account.clone();
        let accepted = self.acceptor.accept(&caller, request).await;
        if let Ok(accepted) = &accepted {
            trace::note(attribute::ACCOUNT, || account);
            trace::note(attribute::EVENT, || accepted.id.clone());
        }
        accepted
            .map(Response::new)
            .map_err(|problem| from_problem(&problem))
    }

    async fn publish_events(
        &self,
        request: Request<PublishEventsRequest>,
    ) -> Result<Response<PublishEventsResponse>, Status> {
        let caller = Caller::new(request.metadata());
        self.admit(&caller).await?;
        let events = request.into_inner().events;
        let results = batch::accept(&self.acceptor, &caller, events, self.window)
            .await
            .map_err(|problem| from_problem(&problem))?;
        Ok(Response::new(PublishEventsResponse { results }))
    }

    type StreamEventsStream =
        Pin<Box<dyn Stream<Item = Result<StreamEventsResponse, Status>> + Send>>;

    async fn stream_events(
        &self,
        request: Request<Streaming<StreamEventsRequest>>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        let caller = Caller::new(request.metadata());
        self.admit(&caller).await?;
        let acceptor = Arc::clone(&self.acceptor);
        let broken = Arc::new(OnceLock::new());
        let noted = Arc::clone(&broken);
        let acks = request
            .into_inner()
            .take_until(self.stop.clone().cancelled_owned())
            // What came before it is acked first.
            .scan((), move |(), event| {
                std::future::ready(event.map_err(|status| noted.set(status)).ok())
            })
            .map(move |event| ack(Arc::clone(&acceptor), caller.clone(), event))
            .buffer_unordered(self.window)
            .map(Ok)
            .chain(stream::once(async move { end(&broken) }).filter_map(std::future::ready));
        let mut response = Response::new(Box::pin(acks) as Self::StreamEventsStream);
        let window = MetadataValue::from(u64::try_from(self.window).unwrap_or(u64::MAX));
        response.metadata_mut().insert(WINDOW_HEADER, window);
        Ok(response)
    }
}

/// How a stream ends whose caller has sent what cannot be read; `None` if the
/// caller has ended it.
fn end(broken: &OnceLock<Status>) -> Option<Result<StreamEventsResponse, Status>> {
    let status = broken.get()?;
    Some(Err(unread(status).unwrap_or_else(|| status.clone())))
}

async fn ack(
    acceptor: Arc<Acceptor>,
    caller: Caller,
    request: StreamEventsRequest,
) -> StreamEventsResponse {
    let sequence = request.sequence;
    let accepted = match request.event {
        Some(event) => acceptor.accept(&caller, event).await,
        None => Err(Problem::of_field(
            Reason::FieldInvalid,
            "event",
            "send an event",
        )),
    };
    match accepted {
        Ok(PublishEventResponse { id, duplicate }) => StreamEventsResponse {
            sequence,
            id,
            duplicate,
            error: None,
        },
        Err(problem) => StreamEventsResponse {
            sequence,
            error: Some(PublishError::from(&problem)),
            ..StreamEventsResponse::default()
        },
    }
}

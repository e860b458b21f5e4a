//! The other roles' services, called as one of the roles.

use std::sync::Arc;

use domain::key::ApiKey;
use domain::vault::Vault;
use proto::pipeline::own_event_service_client::OwnEventServiceClient;
use proto::v1::history_service_client::HistoryServiceClient;
use proto::v1::ingest_service_client::IngestServiceClient;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Status};

use super::traced::Traced;
use crate::Deps;

/// A page of events with their bodies is large.
const MAX_ANSWER_BYTES: usize = 64 * 1_024 * 1_024;

type Authorised = InterceptedService<Traced, Bearer>;
pub(crate) type HistoryClient = HistoryServiceClient<Authorised>;
pub(crate) type IngestClient = IngestServiceClient<Authorised>;
pub(super) type OwnEventClient = OwnEventServiceClient<Authorised>;

/// Shows the roles' own key, of the master key that seals now.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(Arc<Vault>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let (_, token) = ApiKey::service(&self.0.sealing());
        let mut value = AsciiMetadataValue::try_from(format!("Bearer {token}"))
            .expect("a key is printable ASCII");
        value.set_sensitive(true);
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) history: HistoryClient,
    pub(super) ingest: IngestClient,
    pub(super) own_events: OwnEventClient,
}

impl Upstream {
    pub(super) fn new(deps: &Deps) -> Self {
        let bearer = Bearer(Arc::clone(&deps.vault));
        let (ingest, history) = (Traced(deps.ingest.clone()), Traced(deps.history.clone()));
        Self {
            history: HistoryServiceClient::with_interceptor(history, bearer.clone())
                .max_decoding_message_size(MAX_ANSWER_BYTES),
            ingest: IngestServiceClient::with_interceptor(ingest.clone(), bearer.clone())
                .max_encoding_message_size(MAX_ANSWER_BYTES),
            own_events: OwnEventServiceClient::with_interceptor(ingest, bearer),
        }
    }
}

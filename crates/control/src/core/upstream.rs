//! The other roles' services, called as one of the roles.

use std::time::Duration;

use domain::key::ApiKey;
use domain::vault::MasterKey;
use proto::pipeline::own_event_service_client::OwnEventServiceClient;
use proto::v1::history_service_client::HistoryServiceClient;
use proto::v1::ingest_service_client::IngestServiceClient;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Endpoint;
use tonic::{Request, Status};

use super::traced::Traced;
use crate::{Config, Error};

const CONNECT: Duration = Duration::from_secs(2);
/// Longer than ingest tries to store an event.
const CALL: Duration = Duration::from_secs(8);
const KEEPALIVE: Duration = Duration::from_secs(10);
/// A page of events with their bodies is large.
const MAX_ANSWER_BYTES: usize = 64 * 1_024 * 1_024;

type Authorised = InterceptedService<Traced, Bearer>;
pub(crate) type HistoryClient = HistoryServiceClient<Authorised>;
pub(crate) type IngestClient = IngestServiceClient<Authorised>;
pub(super) type OwnEventClient = OwnEventServiceClient<Authorised>;

/// Shows the roles' own key.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(AsciiMetadataValue);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
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
    pub(super) fn new(config: &Config, master_key: &MasterKey) -> Result<Self, Error> {
        let mut value =
            AsciiMetadataValue::try_from(format!("Bearer {}", ApiKey::service(master_key)))
                .expect("a key is printable ASCII");
        value.set_sensitive(true);
        let bearer = Bearer(value);
        let history = channel(&config.history_url, "the history URL")?;
        let ingest = channel(&config.ingest_url, "the ingest URL")?;
        Ok(Self {
            history: HistoryServiceClient::with_interceptor(history, bearer.clone())
                .max_decoding_message_size(MAX_ANSWER_BYTES),
            ingest: IngestServiceClient::with_interceptor(ingest.clone(), bearer.clone())
                .max_encoding_message_size(MAX_ANSWER_BYTES),
            own_events: OwnEventServiceClient::with_interceptor(ingest, bearer),
        })
    }
}

fn channel(url: &str, name: &'static str) -> Result<Traced, Error> {
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_| Error::Url { name })?;
    let channel = endpoint
        .connect_timeout(CONNECT)
        .timeout(CALL)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_while_idle(true)
        .connect_lazy();
    Ok(Traced(channel))
}

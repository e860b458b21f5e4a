//! Clients of the public API.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::v1;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

use crate::secrecy::{plant, plant_call};

/// A REST client with one key.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    key: String,
    client: reqwest::Client,
}

impl Api {
    /// A client of `base` (no slash at its end).
    ///
    /// # Panics
    ///
    /// When the HTTP client cannot be made.
    #[must_use]
    pub fn new(base: String, key: String) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a plain client can be built");
        plant("a key", &key);
        Self { base, key, client }
    }

    /// The same, over another HTTP client.
    #[must_use]
    pub fn over(&self, client: reqwest::Client) -> Self {
        Self {
            client,
            ..self.clone()
        }
    }

    /// The same with another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        plant("a key", key);
        Self {
            key: key.to_owned(),
            ..self.clone()
        }
    }

    /// The key it uses.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// A request to `path`, authorised.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.key)
    }

    /// Calls and returns status and JSON (null if there is no body).
    ///
    /// # Errors
    ///
    /// When there is no answer or it is not JSON.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value)> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        let value = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).with_context(|| format!("{status}: {text}"))?
        };
        plant_call(path, body, &value);
        Ok((status, value))
    }

    /// Calls and insists on `expected`.
    ///
    /// # Errors
    ///
    /// When the status is another one.
    pub async fn expect(
        &self,
        expected: u16,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let (status, value) = self.call(method.clone(), path, body).await?;
        ensure!(
            status == expected,
            "{method} {path}: {status}, not {expected}: {value}"
        );
        Ok(value)
    }

    /// GET with 200.
    ///
    /// # Errors
    ///
    /// On any other status.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.expect(200, Method::GET, path, None).await
    }

    /// POST with `expected`.
    ///
    /// # Errors
    ///
    /// On any other status.
    pub async fn post(&self, expected: u16, path: &str, body: &Value) -> Result<Value> {
        self.expect(expected, Method::POST, path, Some(body)).await
    }

    /// Creates an endpoint and returns its id.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub async fn endpoint(&self, account: &str, url: &str, event_types: &[&str]) -> Result<String> {
        let body = json!({"url": url, "description": "a test", "event_types": event_types});
        let path = format!("/v1/accounts/{account}/endpoints");
        let endpoint = self.post(201, &path, &body).await?;
        Ok(endpoint["id"]
            .as_str()
            .context("an endpoint has an id")?
            .to_owned())
    }

    /// The signing secret of an endpoint.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub async fn secret(&self, account: &str, endpoint: &str) -> Result<String> {
        let path = format!("/v1/accounts/{account}/endpoints/{endpoint}/secret");
        Ok(self.get(&path).await?["secret"]
            .as_str()
            .context("a secret")?
            .to_owned())
    }

    /// Publishes over REST and returns the event id.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub async fn publish(&self, account: &str, event_type: &str, object: &Value) -> Result<String> {
        let body = json!({"type": event_type, "object": object});
        let path = format!("/v1/accounts/{account}/events");
        let answer = self.post(202, &path, &body).await?;
        Ok(answer["id"].as_str().context("an event id")?.to_owned())
    }

    /// The attempts of an endpoint, newest first, one page of 100.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub async fn attempts(&self, account: &str, endpoint: &str) -> Result<Vec<Value>> {
        let path = format!("/v1/accounts/{account}/endpoints/{endpoint}/attempts?page_size=100");
        let page = self.get(&path).await?;
        Ok(page["attempts"].as_array().context("attempts")?.clone())
    }
}

/// Attaches a key to every gRPC request.
#[derive(Debug, Clone)]
pub struct Bearer(MetadataValue<tonic::metadata::Ascii>);

impl tonic::service::Interceptor for Bearer {
    fn call(
        &mut self,
        mut request: tonic::Request<()>,
    ) -> Result<tonic::Request<()>, tonic::Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A gRPC channel with a key.
pub type Authorised = tonic::service::interceptor::InterceptedService<Channel, Bearer>;

async fn channel(url: &str) -> Result<Channel> {
    let endpoint = Channel::from_shared(url.to_owned())?.connect_timeout(Duration::from_secs(5));
    Ok(endpoint.timeout(Duration::from_secs(20)).connect_lazy())
}

fn bearer(key: &str) -> Result<Bearer> {
    plant("a key", key);
    Ok(Bearer(format!("Bearer {key}").parse()?))
}

/// A client of IngestService.
///
/// # Errors
///
/// When the address or the key cannot be one.
pub async fn ingest(
    url: &str,
    key: &str,
) -> Result<v1::ingest_service_client::IngestServiceClient<Authorised>> {
    let channel = channel(url).await?;
    Ok(v1::ingest_service_client::IngestServiceClient::with_interceptor(channel, bearer(key)?))
}

/// A client of HistoryService.
///
/// # Errors
///
/// When the address or the key cannot be one.
pub async fn history(
    url: &str,
    key: &str,
) -> Result<v1::history_service_client::HistoryServiceClient<Authorised>> {
    let channel = channel(url).await?;
    Ok(v1::history_service_client::HistoryServiceClient::with_interceptor(channel, bearer(key)?))
}

/// A client of EndpointService.
///
/// # Errors
///
/// When the address or the key cannot be one.
pub async fn endpoints(
    url: &str,
    key: &str,
) -> Result<v1::endpoint_service_client::EndpointServiceClient<Authorised>> {
    let channel = channel(url).await?;
    Ok(v1::endpoint_service_client::EndpointServiceClient::with_interceptor(channel, bearer(key)?))
}

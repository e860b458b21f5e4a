//! One call of the REST API.

use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use super::{Connection, Misuse};

/// For a whole call; a stream has no limit.
const LIMIT: Duration = Duration::from_secs(60);

/// A call that came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing came back, or not all of it.
    #[error("{0}")]
    NoAnswer(String),
    /// The answer was no.
    #[error("{words}")]
    Refused { status: StatusCode, words: String },
}

impl Error {
    /// The status of a refusal.
    pub(crate) fn status(error: &anyhow::Error) -> Option<StatusCode> {
        match error.downcast_ref() {
            Some(Self::Refused { status, .. }) => Some(*status),
            _ => None,
        }
    }

    /// Whether the same call may succeed in a moment: the server is being
    /// restarted, or has too much to do.
    pub(crate) fn may_pass(error: &anyhow::Error) -> bool {
        match error.downcast_ref() {
            Some(Self::NoAnswer(_)) => true,
            Some(Self::Refused { status, .. }) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            None => false,
        }
    }
}

/// A caller of the REST API with one key.
#[derive(Clone)]
pub(crate) struct Api {
    client: reqwest::Client,
    base: Url,
    key: String,
}

// The key stays out of it.
impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

impl Api {
    /// For a client command.
    ///
    /// # Errors
    ///
    /// When no key is given and none can be read.
    pub(crate) fn open(connection: &Connection) -> Result<Self> {
        let key = match &connection.key {
            Some(key) => key.clone(),
            None => {
                let path = &connection.key_file;
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Misuse::new(format!(
                        "no key: set POSTRIDER_KEY, or POSTRIDER_KEY_FILE ({}: {error})",
                        path.display()
                    ))
                })?;
                text.trim().to_owned()
            }
        };
        Self::new(connection.url.clone(), key)
    }

    /// A caller of `url` with `key`.
    ///
    /// # Errors
    ///
    /// When the system has no certificates.
    pub(crate) fn new(url: Url, key: String) -> Result<Self> {
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(LIMIT)
            .user_agent(concat!("postrider-cli/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("cannot make an HTTP client (are the CA certificates installed?)")?;
        Ok(Self {
            client,
            base: url,
            key,
        })
    }

    /// Reads `path`, whose query is `query` without what is absent.
    ///
    /// # Errors
    ///
    /// When there is no answer, or it is not a success.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, Option<String>)]) -> Result<Value> {
        self.send(self.client.get(self.url(path, query))).await
    }

    /// Sends `body` to `path`.
    ///
    /// # Errors
    ///
    /// As [`Api::get`].
    pub(crate) async fn send_json(
        &self,
        method: Method,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<Value> {
        // Written here rather than by the HTTP client, so that raw JSON inside
        // stays as it is.
        let request = self
            .client
            .request(method, self.url(path, &[]))
            .header("content-type", "application/json")
            .body(serde_json::to_vec(body)?);
        self.send(request).await
    }

    /// Calls `path` without a body.
    ///
    /// # Errors
    ///
    /// As [`Api::get`].
    pub(crate) async fn call(&self, method: Method, path: &str) -> Result<Value> {
        self.send(self.client.request(method, self.url(path, &[])))
            .await
    }

    /// Begins to read server-sent events from `path`. Nothing bounds how long it
    /// goes on: whoever reads bounds how long nothing comes.
    ///
    /// # Errors
    ///
    /// As [`Api::get`].
    pub(crate) async fn stream(
        &self,
        path: &str,
        query: &[(&str, Option<String>)],
    ) -> Result<reqwest::Response> {
        let request = self.client.get(self.url(path, query));
        let response = self.answer(request.timeout(Duration::MAX)).await?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        Ok(response)
    }

    fn url(&self, path: &str, query: &[(&str, Option<String>)]) -> Url {
        beneath(&self.base, path, query)
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        let sent = request.bearer_auth(&self.key).send().await;
        Ok(sent.map_err(|error| self.no_answer(&error))?)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let response = self.answer(request).await?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let text = response.text().await;
        let text = text.map_err(|error| self.no_answer(&error))?;
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text)
            .with_context(|| format!("{} answered with something else than JSON", self.base))
    }

    fn no_answer(&self, error: &reqwest::Error) -> Error {
        let base = &self.base;
        Error::NoAnswer(if error.is_connect() {
            format!(
                "cannot connect to {base} ({}); --url or POSTRIDER_URL names another place",
                innermost(error)
            )
        } else if error.is_timeout() {
            format!("no answer from {base} within {} s", LIMIT.as_secs())
        } else {
            format!("no answer from {base}: {}", innermost(error))
        })
    }

    async fn refused(&self, response: reqwest::Response) -> anyhow::Error {
        let status = response.status();
        match response.text().await {
            Ok(text) => {
                let words = refusal(status, &text);
                Error::Refused { status, words }.into()
            }
            Err(error) => self.no_answer(&error).into(),
        }
    }
}

/// `path` behind the one of `base`.
fn beneath(base: &Url, path: &str, query: &[(&str, Option<String>)]) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    for (name, value) in query {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    url
}

/// What the operating system said, without its number, or the HTTP library.
fn innermost(error: &reqwest::Error) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

/// A problem document in words.
fn refusal(status: StatusCode, text: &str) -> String {
    let problem: Value = serde_json::from_str(text).unwrap_or_default();
    let Some(detail) = problem["detail"]
        .as_str()
        .or_else(|| problem["title"].as_str())
    else {
        return format!("refused with {status}");
    };
    let code = problem["code"].as_str().unwrap_or_default();
    let mut words = format!("{detail} ({} {code})", status.as_u16());
    for error in problem["errors"].as_array().into_iter().flatten() {
        let field = error["field"].as_str().unwrap_or_default();
        let message = error["message"].as_str().unwrap_or_default();
        let words_of_field = format!("{field}: {message}");
        if words_of_field != detail {
            words.push_str(&format!("\n  {words_of_field}"));
        }
    }
    words
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_behind_that_of_the_server() {
        for (base, expected) in [
            ("http://a.example", "http://a.example/v1/keys/a%2Fb?x=1"),
            ("http://a.example/", "http://a.example/v1/keys/a%2Fb?x=1"),
            (
                "https://b.example/c/",
                "https://b.example/c/v1/keys/a%2Fb?x=1",
            ),
        ] {
            let query = [("x", Some("1".to_owned())), ("y", None)];
            let url = beneath(&base.parse().unwrap(), "/v1/keys/a%2Fb", &query);
            assert_eq!(url.as_str(), expected);
        }
    }

    #[test]
    fn a_refusal_names_the_fields() {
        let text = r#"{"title":"t","detail":"two fields are wrong","code":"FIELD_INVALID",
            "errors":[{"field":"url","message":"must be https"}]}"#;
        assert_eq!(
            refusal(StatusCode::UNPROCESSABLE_ENTITY, text),
            "two fields are wrong (422 FIELD_INVALID)\n  url: must be https"
        );
        let text = r#"{"detail":"status: use failed or all","code":"FIELD_INVALID",
            "errors":[{"field":"status","message":"use failed or all"}]}"#;
        assert_eq!(
            refusal(StatusCode::UNPROCESSABLE_ENTITY, text),
            "status: use failed or all (422 FIELD_INVALID)"
        );
        assert_eq!(
            refusal(StatusCode::BAD_GATEWAY, "<html>"),
            "refused with 502 Bad Gateway"
        );
    }
}

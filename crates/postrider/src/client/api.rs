//! One call of the REST API.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::Connection;

/// A caller of the REST API with one key.
#[derive(Clone)]
pub(crate) struct Api {
    client: reqwest::Client,
    base: String,
    key: String,
}

// The key stays out of it.
impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api")
            .field("base", &self.base)
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
                let text = std::fs::read_to_string(path).with_context(|| {
                    format!(
                        "no key: set POSTRIDER_KEY, or POSTRIDER_KEY_FILE ({})",
                        path.display()
                    )
                })?;
                text.trim().to_owned()
            }
        };
        Self::new(&connection.url, key)
    }

    /// A caller of `url` with `key`.
    ///
    /// # Errors
    ///
    /// When the system has no certificates.
    pub(crate) fn new(url: &str, key: String) -> Result<Self> {
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(60))
            .user_agent(concat!("postrider-cli/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("cannot make an HTTP client (are the CA certificates installed?)")?;
        Ok(Self {
            client,
            base: url.trim_end_matches('/').to_owned(),
            key,
        })
    }

    /// Reads `path`, whose query is `query` without what is absent.
    ///
    /// # Errors
    ///
    /// When there is no answer, or it is not a success.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, Option<String>)]) -> Result<Value> {
        self.send(self.client.get(self.url(path, query)?)).await
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
            .request(method, format!("{}{path}", self.base))
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
        self.send(self.client.request(method, format!("{}{path}", self.base)))
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
        let request = self.client.get(self.url(path, query)?);
        let response = self.answer(request.timeout(Duration::MAX)).await?;
        let status = response.status();
        if !status.is_success() {
            let text = response.text().await.context("the answer broke off")?;
            bail!("{}", refusal(status, &text));
        }
        Ok(response)
    }

    fn url(&self, path: &str, query: &[(&str, Option<String>)]) -> Result<url::Url> {
        let mut url = url::Url::parse(&format!("{}{path}", self.base))
            .with_context(|| format!("{} is not a URL", self.base))?;
        for (name, value) in query {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        Ok(url)
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        let sent = request.bearer_auth(&self.key).send().await;
        sent.with_context(|| format!("no answer from {}", self.base))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let response = self.answer(request).await?;
        let status = response.status();
        let text = response.text().await.context("the answer broke off")?;
        if !status.is_success() {
            bail!("{}", refusal(status, &text));
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text)
            .with_context(|| format!("{} answered with something else than JSON", self.base))
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
        words.push_str(&format!("\n  {field}: {message}"));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_fields() {
        let text = r#"{"title":"t","detail":"two fields are wrong","code":"FIELD_INVALID",
            "errors":[{"field":"url","message":"must be https"}]}"#;
        assert_eq!(
            refusal(StatusCode::UNPROCESSABLE_ENTITY, text),
            "two fields are wrong (422 FIELD_INVALID)\n  url: must be https"
        );
        assert_eq!(
            refusal(StatusCode::BAD_GATEWAY, "<html>"),
            "refused with 502 Bad Gateway"
        );
    }
}

//! How an endpoint's deliveries are made, as `endpoint create` and `endpoint
//! update` take it. The server checks it.

use serde_json::{Map, Value, json};

/// Goes back to the deployment's.
const DEFAULT: &str = "default";

/// Options that `create` and `update` share.
#[derive(Debug, clap::Args)]
pub(crate) struct Policy {
    /// Delays between attempts, e.g. 5s,30s; `none` for no retries, `default`
    /// for the deployment's
    #[arg(long, value_name = "DELAYS")]
    retry_schedule: Option<String>,
    /// For one attempt, 1 to 30; `default` for the deployment's
    #[arg(long, value_name = "SECONDS", value_parser = number)]
    timeout_seconds: Option<Value>,
    /// Requests at once, 1 to 256; `default` for the deployment's limit
    #[arg(long, value_name = "COUNT", value_parser = number)]
    max_concurrency: Option<Value>,
    /// A header on every request, as name=value; repeat for several, which
    /// replace all that are there
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, HeaderValue)>,
    /// Send no headers of your own
    #[arg(long, conflicts_with = "headers")]
    no_headers: bool,
    /// Whether requests carry a W3C traceparent
    #[arg(long, value_name = "BOOL")]
    send_traceparent: Option<bool>,
}

/// May be a credential, so `Debug` does not show it.
#[derive(Clone)]
struct HeaderValue(String);

impl std::fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Policy {
    /// The fields that were given.
    pub(super) fn fields(&self) -> Vec<(&'static str, Value)> {
        let mut fields = Vec::new();
        if let Some(schedule) = &self.retry_schedule {
            let delays = match schedule.trim() {
                DEFAULT => Value::Null,
                "none" => json!([]),
                delays => delays.split(',').map(str::trim).collect(),
            };
            fields.push(("retry_schedule", delays));
        }
        let numbers = [
            ("timeout_seconds", &self.timeout_seconds),
            ("max_concurrency", &self.max_concurrency),
        ];
        for (name, number) in numbers {
            fields.extend(number.clone().map(|number| (name, number)));
        }
        if self.no_headers {
            fields.push(("headers", json!({})));
        } else if !self.headers.is_empty() {
            let headers = self
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), Value::from(value.0.clone())));
            fields.push(("headers", Map::from_iter(headers).into()));
        }
        if let Some(send) = self.send_traceparent {
            fields.push(("send_traceparent", send.into()));
        }
        fields
    }
}

fn number(text: &str) -> Result<Value, String> {
    if text == DEFAULT {
        return Ok(Value::Null);
    }
    text.parse::<u32>()
        .map(Value::from)
        .map_err(|_| format!("write a whole number, e.g. 10, or {DEFAULT}"))
}

fn header(text: &str) -> Result<(String, HeaderValue), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), HeaderValue(value.to_owned())))
        .ok_or_else(|| "write name=value, e.g. x-api-key=secret".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        policy: Policy,
    }

    fn fields(arguments: &[&str]) -> Value {
        let all = std::iter::once("test").chain(arguments.iter().copied());
        let fields = Cli::try_parse_from(all).unwrap().policy.fields();
        let named = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        Map::from_iter(named).into()
    }

    #[test]
    fn what_is_given_is_sent_and_nothing_else() {
        assert_eq!(fields(&[]), json!({}));
        let set = [
            "--retry-schedule=5s, 30s",
            "--timeout-seconds=3",
            "--max-concurrency=4",
            "--header=X-Api-Key=a=b",
            "--send-traceparent=false",
        ];
        assert_eq!(
            fields(&set),
            json!({"retry_schedule": ["5s", "30s"], "timeout_seconds": 3, "max_concurrency": 4,
                "headers": {"X-Api-Key": "a=b"}, "send_traceparent": false})
        );
        let cleared = [
            "--retry-schedule=default",
            "--timeout-seconds=default",
            "--max-concurrency=default",
            "--no-headers",
        ];
        assert_eq!(
            fields(&cleared),
            json!({"retry_schedule": null, "timeout_seconds": null, "max_concurrency": null,
                "headers": {}})
        );
        assert_eq!(
            fields(&["--retry-schedule=none"])["retry_schedule"],
            json!([])
        );
    }
}

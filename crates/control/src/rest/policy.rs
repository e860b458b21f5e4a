//! The fields of an endpoint that say how its deliveries are made.

use domain::Problem;
use serde_json::Value;

use super::fields::{Fields, invalid};
use crate::core::{CallersHeaders, PolicyChange};

const RETRY_SCHEDULE: &str = "a list of delays like \"30s\" or \"2min\", or null";
const TIMEOUT_SECONDS: &str = "a whole number of seconds from 1 to 30, or null";
const MAX_CONCURRENCY: &str = "a whole number from 1 to 256, or null";
const HEADERS: &str = "an object of names and texts like {\"X-Api-Key\": \"...\"}, or null";
const SEND_TRACEPARENT: &str = "true or false";

/// Takes all of them; null clears, absent is left as it is.
pub(super) fn take(fields: &mut Fields) -> Result<PolicyChange, Problem> {
    Ok(PolicyChange {
        retry_schedule: fields.nullable("retry_schedule", RETRY_SCHEDULE)?,
        timeout_seconds: whole(fields, "timeout_seconds", TIMEOUT_SECONDS)?,
        max_concurrency: whole(fields, "max_concurrency", MAX_CONCURRENCY)?,
        headers: fields
            .texts("headers", HEADERS)?
            .map(|pairs| CallersHeaders(pairs.unwrap_or_default())),
        send_traceparent: fields
            .nullable("send_traceparent", SEND_TRACEPARENT)?
            .map(|send| send.unwrap_or(true)),
    })
}

/// A number of any form: what is not whole or too large is refused by name.
pub(super) fn whole(
    fields: &mut Fields,
    name: &str,
    kind: &str,
) -> Result<Option<Option<i64>>, Problem> {
    let number = |value: Value| {
        value
            .as_i64()
            .ok_or_else(|| invalid(name, format!("send {kind}")))
    };
    fields
        .nullable::<Value>(name, kind)?
        .map(|value| value.map(number).transpose())
        .transpose()
}

//! How an endpoint's deliveries are made, as messages say it.

use domain::{Problem, Reason};
use proto::v1::{CreateEndpointRequest, RetrySchedule, UpdateEndpointRequest};

use crate::core::{CallersHeaders, PolicyChange};

/// Takes the policy of an endpoint to be.
pub(super) fn of_new(message: &mut CreateEndpointRequest) -> PolicyChange {
    PolicyChange {
        retry_schedule: Some(delays(message.retry_schedule.take())),
        timeout_seconds: Some(message.timeout_seconds.map(i64::from)),
        max_concurrency: Some(message.max_concurrency.map(i64::from)),
        headers: Some(headers(&mut message.headers)),
        send_traceparent: message.send_traceparent,
    }
}

/// Takes what is to change of the policy.
pub(super) fn change(message: &mut UpdateEndpointRequest) -> Result<PolicyChange, Problem> {
    let given = (!message.headers.is_empty()).then(|| headers(&mut message.headers));
    Ok(PolicyChange {
        retry_schedule: set_or_clear(
            "retry_schedule",
            delays(message.retry_schedule.take()),
            message.clear_retry_schedule,
        )?,
        timeout_seconds: set_or_clear(
            "timeout_seconds",
            message.timeout_seconds.map(i64::from),
            message.clear_timeout_seconds,
        )?,
        max_concurrency: set_or_clear(
            "max_concurrency",
            message.max_concurrency.map(i64::from),
            message.clear_max_concurrency,
        )?,
        headers: set_or_clear("headers", given, message.clear_headers)?
            .map(Option::unwrap_or_default),
        send_traceparent: message.send_traceparent,
    })
}

/// A field that its own flag clears.
pub(super) fn set_or_clear<T>(
    field: &str,
    value: Option<T>,
    clear: bool,
) -> Result<Option<Option<T>>, Problem> {
    match (value, clear) {
        (Some(_), true) => Err(Problem::of_field(
            Reason::FieldInvalid,
            field,
            format!("send either {field} or clear_{field}, not both"),
        )),
        (None, true) => Ok(Some(None)),
        (Some(value), false) => Ok(Some(Some(value))),
        (None, false) => Ok(None),
    }
}

fn delays(schedule: Option<RetrySchedule>) -> Option<Vec<String>> {
    schedule.map(|schedule| schedule.delays)
}

fn headers(map: &mut std::collections::BTreeMap<String, String>) -> CallersHeaders {
    CallersHeaders(std::mem::take(map).into_iter().collect())
}

//! The shapes of answers.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Timestamp;
use proto::v1;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::audit::AuditEntry;
use crate::core::{EndpointView, EventTypeView, KeyView, Page};

/// A customer's URL that receives events.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Endpoint {
    id: String,
    url: String,
    description: String,
    event_types: Vec<String>,
    /// Deliveries a second; null: no limit.
    rate_limit: Option<u32>,
    /// The delays between attempts; none: no retries; null: the deployment's.
    retry_schedule: Option<Vec<String>>,
    /// For one attempt, the whole exchange; null: the deployment's.
    timeout_seconds: Option<u32>,
    /// Requests at once; null: the deployment's limit.
    max_concurrency: Option<u32>,
    /// On every request; a key of scope `read` sees `***` for each value.
    headers: BTreeMap<String, String>,
    /// Whether requests carry a W3C `traceparent`.
    send_traceparent: bool,
    /// `active` or `disabled`.
    status: &'static str,
    /// Null while active.
    disabled_reason: Option<String>,
    /// `not_required`, `pending` (it must echo a challenge before it gets
    /// events) or `verified`.
    verification: &'static str,
    health: Health,
    created_at: String,
    updated_at: String,
}

/// How an endpoint is doing.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `healthy`, `failing`, `throttled` or `unknown`.
    state: String,
    message: String,
    /// The first of the failures since the last success; null unless failing.
    failing_since: Option<String>,
}

impl From<EndpointView> for Endpoint {
    fn from(view: EndpointView) -> Self {
        Self {
            id: view.id.to_string(),
            url: view.url,
            description: view.description,
            event_types: view.event_types,
            rate_limit: view.rate_limit,
            retry_schedule: view.policy.retry_schedule,
            timeout_seconds: view.policy.timeout_seconds,
            max_concurrency: view.policy.max_concurrency,
            headers: view.policy.headers,
            send_traceparent: view.policy.send_traceparent,
            status: if view.disabled { "disabled" } else { "active" },
            disabled_reason: view.disabled.then_some(view.disabled_reason),
            verification: view.verification.as_str(),
            health: Health {
                state: view.health.state,
                message: view.health.message,
                failing_since: view.health.failing_since.map(|at| at.rfc3339()),
            },
            created_at: view.created_at.rfc3339(),
            updated_at: view.updated_at.rfc3339(),
        }
    }
}

/// One POST of a delivery.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Attempt {
    id: String,
    /// From 1.
    number: u32,
    event_id: String,
    event_type: String,
    delivery_id: String,
    endpoint_id: String,
    /// `succeeded` or `failed`.
    status: String,
    /// Null if there was no answer.
    response_status: Option<u32>,
    /// `dns`, `connect`, `tls`, `timeout`, `egress_denied`, `http_status`,
    /// `response_invalid`; null on success.
    failure_class: Option<String>,
    started_at: Option<String>,
    duration_ms: u32,
}

impl From<v1::Attempt> for Attempt {
    fn from(attempt: v1::Attempt) -> Self {
        Self {
            id: attempt.id,
            number: attempt.number,
            event_id: attempt.event_id,
            event_type: attempt.event_type,
            delivery_id: attempt.delivery_id,
            endpoint_id: attempt.endpoint_id,
            status: attempt.status,
            response_status: attempt.response_status,
            failure_class: filled(attempt.failure_class),
            started_at: instant(attempt.started_at),
            duration_ms: attempt.duration_ms,
        }
    }
}

/// All that was sent and answered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AttemptDetail {
    #[serde(flatten)]
    row: Attempt,
    tags: BTreeMap<String, String>,
    url: String,
    /// By lower-case name.
    request_headers: BTreeMap<String, String>,
    /// The body as POSTed; empty if it is no longer kept.
    request_body: String,
    /// `base64` if the body is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_body_encoding: Option<&'static str>,
    response_headers: BTreeMap<String, String>,
    /// At most 64 KiB.
    response_body: String,
    /// `base64` if the body is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    response_body_encoding: Option<&'static str>,
    response_truncated: bool,
    /// Null on success.
    failure_message: Option<String>,
    /// Null if the delivery is not tried again, or nobody knows when.
    next_attempt_at: Option<String>,
    /// `pending`, `succeeded`, `failed` or `cancelled`.
    delivery_state: String,
    trace_id: String,
    /// Of the POST, as its `traceparent` named it.
    span_id: String,
}

impl From<v1::AttemptDetail> for AttemptDetail {
    fn from(detail: v1::AttemptDetail) -> Self {
        let (request_body, request_body_encoding) = text_of(&detail.request_body);
        let (response_body, response_body_encoding) = text_of(&detail.response_body);
        Self {
            row: Attempt {
                id: detail.id,
                number: detail.number,
                event_id: detail.event_id,
                event_type: detail.event_type,
                delivery_id: detail.delivery_id,
                endpoint_id: detail.endpoint_id,
                status: detail.status,
                response_status: detail.response_status,
                failure_class: filled(detail.failure_class),
                started_at: instant(detail.started_at),
                duration_ms: detail.duration_ms,
            },
            tags: detail.tags,
            url: detail.url,
            request_headers: detail.request_headers,
            request_body,
            request_body_encoding,
            response_headers: detail.response_headers,
            response_body,
            response_body_encoding,
            response_truncated: detail.response_truncated,
            failure_message: filled(detail.failure_message),
            next_attempt_at: instant(detail.next_attempt_at),
            delivery_state: detail.delivery_state,
            trace_id: detail.trace_id,
            span_id: detail.span_id,
        }
    }
}

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Event {
    id: String,
    r#type: String,
    /// Empty if the event was erased.
    tags: BTreeMap<String, String>,
    live_mode: bool,
    created_at: Option<String>,
    /// Whether somebody had it erased: body, tags and attempts are gone, and it cannot
    /// be sent again. What became of its deliveries is kept, and how many attempts
    /// each had.
    erased: bool,
    /// The body as POSTed; empty if the event was erased, and only then.
    body: String,
    /// `base64` if the body is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_encoding: Option<&'static str>,
    trace_id: String,
    deliveries: Vec<Delivery>,
    not_sent: Vec<NotSent>,
}

/// One event on its way to one endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Delivery {
    id: String,
    endpoint_id: String,
    /// `event`, `test`, `resend` or `replay`.
    cause: String,
    /// `pending`, `succeeded`, `failed` or `cancelled`.
    state: String,
    /// Why it waits, failed or was cancelled; null otherwise.
    reason: Option<String>,
    /// Attempts made.
    attempts: u32,
    /// Of what is throttled or paused an estimate, and null where it waits longer
    /// than that.
    next_attempt_at: Option<String>,
}

/// An endpoint that did not get the event.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NotSent {
    endpoint_id: String,
    /// `not_subscribed`, `disabled`, `created_later` or `unverified`.
    reason: String,
}

impl From<v1::Event> for Event {
    fn from(event: v1::Event) -> Self {
        let (body, body_encoding) = text_of(&event.body);
        let deliveries = event.deliveries.into_iter().map(Into::into);
        let not_sent = event.not_sent.into_iter().map(|item| NotSent {
            endpoint_id: item.endpoint_id,
            reason: item.reason,
        });
        Self {
            deliveries: deliveries.collect(),
            not_sent: not_sent.collect(),
            id: event.id,
            r#type: event.r#type,
            tags: event.tags,
            live_mode: event.live_mode,
            created_at: instant(event.created_at),
            erased: event.erased,
            body,
            body_encoding,
            trace_id: event.trace_id,
        }
    }
}

impl From<v1::Delivery> for Delivery {
    fn from(delivery: v1::Delivery) -> Self {
        Self {
            id: delivery.id,
            endpoint_id: delivery.endpoint_id,
            cause: delivery.cause,
            state: delivery.state,
            reason: filled(delivery.reason),
            attempts: delivery.attempts,
            next_attempt_at: instant(delivery.next_attempt_at),
        }
    }
}

/// Deliveries counted, tests left out.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stats {
    total_messages: u64,
    successful: u64,
    failed: u64,
    /// Pending with a failed attempt; part of `pending`.
    retrying: u64,
    pending: u64,
    cancelled: u64,
    /// successful / (successful + failed), 0 to 1; null if there is neither.
    success_rate: Option<f64>,
}

impl From<v1::EndpointStats> for Stats {
    fn from(stats: v1::EndpointStats) -> Self {
        Self {
            total_messages: stats.total_messages,
            successful: stats.successful,
            failed: stats.failed,
            retrying: stats.retrying,
            pending: stats.pending,
            cancelled: stats.cancelled,
            success_rate: stats.success_rate,
        }
    }
}

/// A kind of event.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventType {
    name: String,
    description: String,
    /// JSON Schema of `data.object`.
    #[schema(value_type = Object)]
    schema: Box<RawValue>,
    /// A lifelike `data.object`.
    #[schema(value_type = Object)]
    example: Box<RawValue>,
    /// Published by Postrider itself, about other endpoints; nobody else
    /// publishes it.
    operational: bool,
    created_at: String,
}

impl From<EventTypeView> for EventType {
    fn from(view: EventTypeView) -> Self {
        // Checked when they were registered.
        let raw = |text: String| RawValue::from_string(text).unwrap_or_default();
        Self {
            name: view.name,
            description: view.description,
            schema: raw(view.schema),
            example: raw(view.example),
            operational: view.operational,
            created_at: view.created_at.rfc3339(),
        }
    }
}

/// A key, without the key.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Key {
    id: String,
    description: String,
    /// `admin`, `publish` or `read`.
    scope: &'static str,
    /// Null: all accounts.
    account: Option<String>,
    created_at: String,
    /// Null: never.
    expires_at: Option<String>,
    /// To about a minute; null: not yet.
    last_used_at: Option<String>,
}

impl From<KeyView> for Key {
    fn from(view: KeyView) -> Self {
        Self {
            id: view.id,
            description: view.description,
            scope: view.scope,
            account: view.account,
            created_at: view.created_at.rfc3339(),
            expires_at: view.expires_at.map(Timestamp::rfc3339),
            last_used_at: view.last_used_at.map(Timestamp::rfc3339),
        }
    }
}

/// Makes the shape of a list.
macro_rules! lists {
    ($($name:ident $field:ident $item:ident;)+) => {$(
        /// A page, newest first. Tokens are empty at the ends.
        #[derive(Debug, Serialize, ToSchema)]
        pub(super) struct $name {
            pub(super) $field: Vec<$item>,
            pub(super) next_page_token: String,
            pub(super) prev_page_token: String,
        }

        impl<T: Into<$item>> From<Page<T>> for $name {
            fn from(page: Page<T>) -> Self {
                Self {
                    $field: page.items.into_iter().map(Into::into).collect(),
                    next_page_token: page.next_page_token,
                    prev_page_token: page.prev_page_token,
                }
            }
        }
    )+};
}

lists! {
    Endpoints endpoints Endpoint;
    Attempts attempts Attempt;
    Events events Event;
    Keys keys Key;
    AuditEntries audit_entries AuditEntry;
    EventTypes event_types EventType;
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

pub(super) fn instant(at: Option<prost_types::Timestamp>) -> Option<String> {
    at.as_ref()
        .and_then(proto::time::from_proto)
        .map(Timestamp::rfc3339)
}

/// A body as text, or as base64 and saying so.
fn text_of(body: &[u8]) -> (String, Option<&'static str>) {
    match std::str::from_utf8(body) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (STANDARD.encode(body), Some("base64")),
    }
}

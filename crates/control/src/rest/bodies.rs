//! What requests carry, as the API's description shows it. Bodies and queries
//! are read field by field, so that every complaint names its field; these
//! types are only described.
#![allow(dead_code, reason = "described, not made")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// An endpoint to be.
#[derive(Debug, ToSchema)]
pub(super) struct CreateEndpoint {
    /// https, a public host, at most 2,048 characters.
    url: String,
    #[schema(min_length = 1, max_length = 256)]
    description: String,
    #[schema(min_items = 1)]
    event_types: Vec<String>,
    /// Deliveries a second; null or absent: no limit.
    #[schema(minimum = 1, maximum = 10_000)]
    rate_limit: Option<u32>,
    /// Delays between attempts: at most 20, each 1 s to 24 h, together at most
    /// 7 days. An empty list: no retries. Null or absent: the
    /// deployment's.
    #[schema(max_items = 20, example = json!(["5s", "2min"]))]
    retry_schedule: Option<Vec<String>>,
    /// For one attempt, the whole exchange. Null or absent: the
    /// deployment's.
    #[schema(minimum = 1, maximum = 30)]
    timeout_seconds: Option<u32>,
    /// Requests at once. Null or absent: the
    /// deployment's.
    #[schema(minimum = 1, maximum = 256)]
    max_concurrency: Option<u32>,
    /// On every request: at most 16 and 4 KiB, none that Postrider or HTTP
    /// itself sets; names of up to 64 characters, values of up to 1,024 visible
    /// ASCII characters. Null or absent: none.
    headers: Option<BTreeMap<String, String>>,
    /// Whether requests carry a W3C `traceparent`. Null or absent: true.
    #[schema(default = true)]
    send_traceparent: Option<bool>,
}

/// What is to change; absent is left as it is.
#[derive(Debug, ToSchema)]
pub(super) struct UpdateEndpoint {
    #[schema(nullable = false)]
    url: Option<String>,
    #[schema(nullable = false)]
    description: Option<String>,
    #[schema(nullable = false)]
    event_types: Option<Vec<String>>,
    /// Null removes the limit.
    #[schema(minimum = 1, maximum = 10_000)]
    rate_limit: Option<u32>,
    /// Delays between attempts: at most 20, each 1 s to 24 h, together at most
    /// 7 days. An empty list: no retries. Null: the deployment's.
    #[schema(max_items = 20, example = json!(["5s", "2min"]))]
    retry_schedule: Option<Vec<String>>,
    /// For one attempt, the whole exchange. Null: the deployment's.
    #[schema(minimum = 1, maximum = 30)]
    timeout_seconds: Option<u32>,
    /// Requests at once. Null: the deployment's.
    #[schema(minimum = 1, maximum = 256)]
    max_concurrency: Option<u32>,
    /// On every request: at most 16 and 4 KiB, none that Postrider or HTTP
    /// itself sets; names of up to 64 characters, values of up to 1,024 visible
    /// ASCII characters. Replaces all of them; null
    /// removes them.
    headers: Option<BTreeMap<String, String>>,
    /// Whether requests carry a W3C `traceparent`. Null: true.
    send_traceparent: Option<bool>,
}

/// How the old secret goes.
#[derive(Debug, ToSchema)]
pub(super) struct RegenerateSecret {
    /// For this long the header webhook-signature carries the old secret's
    /// signature too; X-Webhook-Signature uses the new one at once.
    #[schema(minimum = 0, maximum = 604_800, default = 0)]
    grace_period_seconds: Option<u32>,
}

/// What to send.
#[derive(Debug, ToSchema)]
pub(super) struct SendTestEvent {
    event_type: String,
    /// The catalogue's example unless given.
    #[schema(value_type = Option<Object>, nullable = false)]
    object: Option<Value>,
}

/// An event to be published.
#[derive(Debug, ToSchema)]
pub(super) struct PublishEvent {
    /// A registered event type.
    r#type: String,
    /// Travels byte for byte; at most 256 KiB and 128 levels.
    #[schema(value_type = Object)]
    object: Value,
    /// Makes a repeat safe; so does the header `Idempotency-Key`.
    #[schema(pattern = "^[A-Za-z0-9_.:-]{1,128}$", nullable = false)]
    id: Option<String>,
    /// At most 16.
    #[schema(nullable = false)]
    tags: Option<BTreeMap<String, String>>,
    /// False marks a sample.
    #[schema(default = true, nullable = false)]
    live_mode: Option<bool>,
    /// The event's own W3C context, where it is not the call's: for events of a
    /// batch that come of different traces. What is not valid is ignored.
    #[schema(nullable = false)]
    traceparent: Option<String>,
}

/// Events to be published.
#[derive(Debug, ToSchema)]
pub(super) struct PublishEvents {
    #[schema(min_items = 1, max_items = 1_000)]
    events: Vec<PublishEvent>,
}

/// Which events.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    event_type: Option<String>,
    /// 32 hex digits; not together with `tag`.
    trace_id: Option<String>,
    /// `name=value`: those with this tag. The first `=` ends the name.
    tag: Option<String>,
    /// The tag's name, together with `tag_value` and instead of `tag`: for a name
    /// that holds `=`.
    tag_name: Option<String>,
    /// The tag's value, together with `tag_name`.
    tag_value: Option<String>,
}

/// Where to send it again.
#[derive(Debug, ToSchema)]
pub(super) struct ResendEvent {
    endpoint_id: String,
}

/// An event type to be.
#[derive(Debug, ToSchema)]
pub(super) struct CreateEventType {
    /// Parts of a-z, 0-9 and _ joined by dots.
    name: String,
    #[schema(min_length = 1, max_length = 256)]
    description: String,
    /// JSON Schema of `data.object`; it documents and is not enforced.
    #[schema(value_type = Object)]
    schema: Value,
    /// A lifelike `data.object`, sent by test events.
    #[schema(value_type = Object)]
    example: Value,
}

/// A key to be.
#[derive(Debug, ToSchema)]
pub(super) struct CreateKey {
    #[schema(min_length = 1, max_length = 256)]
    description: String,
    /// `admin`, `publish` or `read`.
    scope: String,
    /// Null or absent: all accounts.
    account: Option<String>,
    /// RFC 3339; null or absent: never.
    expires_at: Option<String>,
}

/// Which attempts.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AttemptQuery {
    /// `succeeded` or `failed`.
    status: Option<String>,
    event_type: Option<String>,
    event_id: Option<String>,
    delivery_id: Option<String>,
    /// 32 hex digits.
    trace_id: Option<String>,
    /// The HTTP status of the answer.
    #[param(minimum = 100, maximum = 999)]
    response_status: Option<u32>,
    /// `dns`, `connect`, `tls`, `timeout`, `egress_denied`, `http_status` or
    /// `response_invalid`.
    failure_class: Option<String>,
}

/// Whose attempts.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EndpointQuery {
    /// Absent: of all.
    endpoint_id: Option<String>,
}

/// A span of time.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SpanQuery {
    /// At or after this instant (RFC 3339).
    pub(super) after: Option<String>,
    /// Before this instant (RFC 3339), which is later than `after`.
    pub(super) before: Option<String>,
}

/// Which entries of the audit log.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Only what was done with this key.
    key_id: Option<String>,
    /// Only what came by this way.
    via: Option<String>,
    /// Only this.
    action: Option<String>,
    /// Only what was done to this id or name.
    target: Option<String>,
    /// Done at or after this instant (RFC 3339).
    after: Option<String>,
    /// Done before this instant (RFC 3339), which is later than `after`.
    before: Option<String>,
}

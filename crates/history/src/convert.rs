//! Rows as the API shows them.

use domain::{
    Attempt, AttemptId, DeferralReason, DeliveryId, EndpointId, EventId, Record, Timestamp,
};
use proto::time::to_proto;
use proto::v1;
use store::{AttemptRow, AttemptSummary, DeliveryRow, EventRow, Stats};

fn at(millis: i64) -> prost_types::Timestamp {
    to_proto(Timestamp::from_unix_millis(millis))
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn small(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

const fn status(succeeded: bool) -> &'static str {
    if succeeded { "succeeded" } else { "failed" }
}

pub(crate) fn attempt(row: AttemptSummary) -> v1::Attempt {
    v1::Attempt {
        id: AttemptId::from_uuid(row.id).to_string(),
        number: small(row.number),
        event_id: EventId::from_uuid(row.event_id).to_string(),
        event_type: row.event_type,
        delivery_id: DeliveryId::from_uuid(row.delivery_id).to_string(),
        endpoint_id: EndpointId::from_uuid(row.endpoint_id).to_string(),
        status: status(row.succeeded).to_owned(),
        response_status: row.response_status.map(small),
        failure_class: row.failure_class,
        started_at: Some(at(row.started_at)),
        duration_ms: small(row.duration_ms),
    }
}

/// When a delivery is tried next, if anybody knows. One that is due and waits for a
/// limit, or for its endpoint to work again, was told about until when; once that
/// has passed it only waits.
fn next_attempt(reason: &str, told: Option<i64>, now: Timestamp) -> Option<prost_types::Timestamp> {
    let waits = reason.parse::<DeferralReason>().is_ok();
    let told = told.filter(|told| !waits || *told > now.unix_millis());
    told.map(at)
}

pub(crate) fn attempt_detail(row: AttemptRow, now: Timestamp) -> v1::AttemptDetail {
    let summary = attempt(row.summary);
    let next = row.next_attempt_at.map(Timestamp::unix_millis);
    v1::AttemptDetail {
        id: summary.id,
        number: summary.number,
        event_id: summary.event_id,
        event_type: summary.event_type,
        delivery_id: summary.delivery_id,
        endpoint_id: summary.endpoint_id,
        status: summary.status,
        response_status: summary.response_status,
        failure_class: summary.failure_class,
        started_at: summary.started_at,
        duration_ms: summary.duration_ms,
        tags: row.tags,
        url: row.url,
        request_headers: row.request_headers,
        request_body: row.request_body.unwrap_or_default().into(),
        response_headers: row.response_headers,
        response_body: row.response_body.into(),
        response_truncated: row.response_truncated,
        failure_message: row.failure_message,
        next_attempt_at: next_attempt(&row.delivery_reason, next, now),
        delivery_state: row.delivery_state,
        trace_id: row.trace_id,
        span_id: row.span_id,
    }
}

fn delivery(row: DeliveryRow, now: Timestamp) -> v1::Delivery {
    v1::Delivery {
        next_attempt_at: next_attempt(&row.reason, row.next_attempt_at, now),
        id: DeliveryId::from_uuid(row.id).to_string(),
        endpoint_id: EndpointId::from_uuid(row.endpoint_id).to_string(),
        cause: row.cause,
        state: row.state,
        reason: row.reason,
        attempts: small(row.attempts),
    }
}

/// A delivery with its event.
pub(crate) fn delivery_detail(
    event_type: String,
    row: DeliveryRow,
    now: Timestamp,
) -> v1::DeliveryDetail {
    v1::DeliveryDetail {
        event_id: EventId::from_uuid(row.event_id).to_string(),
        event_type,
        delivery: Some(delivery(row, now)),
    }
}

/// An attempt as it is recorded, before it is a row.
pub(crate) fn recorded_attempt(record: &Record, attempt: &Attempt) -> v1::Attempt {
    let class = attempt.failure.as_ref().map(|failure| failure.class);
    v1::Attempt {
        id: attempt.id.to_string(),
        number: record.attempt_number,
        event_id: record.event_id.to_string(),
        event_type: record.event_type.to_string(),
        delivery_id: record.delivery_id.to_string(),
        endpoint_id: record.endpoint_id.to_string(),
        status: status(attempt.failure.is_none()).to_owned(),
        response_status: attempt.response_status.map(u32::from),
        failure_class: class.map(|class| class.to_string()).unwrap_or_default(),
        started_at: Some(to_proto(attempt.started_at)),
        duration_ms: u32::try_from(attempt.duration.as_millis()).unwrap_or(u32::MAX),
    }
}

pub(crate) fn event(row: EventRow, now: Timestamp) -> v1::Event {
    let erased = row.is_erased();
    let not_sent = row
        .not_sent
        .into_iter()
        .map(|(endpoint, reason)| v1::NotSent {
            endpoint_id: EndpointId::from_uuid(endpoint).to_string(),
            reason,
        });
    v1::Event {
        id: EventId::from_uuid(row.id).to_string(),
        r#type: row.event_type,
        tags: row.tags,
        live_mode: row.live_mode,
        created_at: Some(to_proto(row.accepted_at)),
        body: row.body.into(),
        trace_id: row.trace_id,
        erased,
        not_sent: not_sent.collect(),
        deliveries: row
            .deliveries
            .into_iter()
            .map(|row| delivery(row, now))
            .collect(),
    }
}

pub(crate) fn stats(stats: Stats) -> v1::EndpointStats {
    let ended = stats.succeeded + stats.failed;
    #[allow(clippy::cast_precision_loss, reason = "a rate")]
    let rate = (ended > 0).then(|| stats.succeeded as f64 / ended as f64);
    v1::EndpointStats {
        total_messages: unsigned(stats.total),
        successful: unsigned(stats.succeeded),
        failed: unsigned(stats.failed),
        retrying: unsigned(stats.retrying),
        pending: unsigned(stats.pending),
        cancelled: unsigned(stats.cancelled),
        success_rate: rate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_longer_than_it_was_told_has_no_next_attempt() {
        let now = Timestamp::from_unix_millis(1_000);
        let (past, future) = (Some(999), Some(1_001));
        for reason in ["paused", "throttled"] {
            assert_eq!(next_attempt(reason, past, now), None, "{reason}");
            assert_eq!(next_attempt(reason, future, now), future.map(at));
        }
        // It is due.
        assert_eq!(next_attempt("retrying", past, now), past.map(at));
        assert_eq!(next_attempt("", None, now), None);
    }

    #[test]
    fn a_rate_needs_something_that_ended() {
        let pending = Stats {
            total: 1,
            pending: 1,
            ..Stats::default()
        };
        assert_eq!(stats(pending).success_rate, None);
        let mixed = Stats {
            total: 4,
            succeeded: 3,
            failed: 1,
            ..Stats::default()
        };
        assert_eq!(stats(mixed).success_rate, Some(0.75));
    }
}

//! Sending a span of events to an endpoint again, without crowding out what is
//! sent anyway.

use crate::Endpoint;

crate::delivery::words! {
    /// Which events of the span.
    ReplayStatus {
        /// Those with a failed or cancelled delivery and none that succeeded.
        Failed "failed",
        /// Whatever became of them.
        All "all",
    }

    /// Where a replay stands.
    ReplayState {
        /// It only counted.
        DryRun "dry_run",
        /// There is something to send, or on its way.
        Running "running",
        /// All that was sent has ended.
        Done "done",
        /// Somebody stopped it, or its endpoint is gone.
        Cancelled "cancelled",
    }
}

/// Deliveries of a replay that wait for their first attempt, at most.
const MAX_UNTRIED: usize = 32;
/// Deliveries of a replay that have not ended, those that wait for a retry
/// included: so much is looked at again and again.
const MAX_UNFINISHED: usize = 512;

/// How many deliveries a replay may begin now, when `untried` of its `unfinished`
/// deliveries wait for their first attempt.
///
/// An endpoint's lane serves in turn, so what stands before a live delivery is
/// at most what a replay has in it: half of the requests that the endpoint takes
/// at once, and what it takes within a quarter of a second. The lane keeps to the
/// rate limit; the busier it is with live deliveries, the longer the replay's
/// own take, and the fewer it begins.
#[must_use]
pub fn allowance(endpoint: &Endpoint, untried: usize, unfinished: usize) -> usize {
    let quarter_second = endpoint.rate_limit.map_or(u32::MAX, |rate| rate / 4);
    let half_at_once = endpoint
        .policy
        .max_concurrency
        .map_or(u32::MAX, |max| max / 2);
    let untried_limit = usize::try_from(quarter_second.min(half_at_once))
        .unwrap_or(usize::MAX)
        .clamp(1, MAX_UNTRIED);
    untried_limit
        .saturating_sub(untried)
        .min(MAX_UNFINISHED.saturating_sub(unfinished))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{AccountId, DeliveryPolicy, EndpointId, Timestamp};

    fn endpoint(rate_limit: Option<u32>, max_concurrency: Option<u32>) -> Endpoint {
        Endpoint {
            id: EndpointId::new(),
            account: AccountId::parse("acme").unwrap(),
            version: 1,
            url: "https://example.com/hook".to_owned(),
            event_types: Vec::new(),
            disabled: false,
            disabled_reason: String::new(),
            generation: 0,
            verification: crate::Verification::NotRequired,
            rate_limit,
            policy: DeliveryPolicy {
                max_concurrency,
                ..DeliveryPolicy::default()
            },
            created_at: Timestamp::from_unix_millis(0),
            secrets: Vec::new(),
        }
    }

    #[test]
    fn a_replay_leaves_room_for_live_deliveries() {
        assert_eq!(allowance(&endpoint(None, None), 0, 0), MAX_UNTRIED);
        assert_eq!(allowance(&endpoint(Some(40), None), 0, 0), 10);
        assert_eq!(allowance(&endpoint(Some(40), Some(4)), 0, 0), 2);
        assert_eq!(allowance(&endpoint(Some(40), None), 8, 8), 2);
        assert_eq!(allowance(&endpoint(Some(40), None), 12, 12), 0);
    }

    #[test]
    fn the_slowest_endpoint_gets_on_one_by_one() {
        assert_eq!(allowance(&endpoint(Some(1), Some(1)), 0, 0), 1);
        assert_eq!(allowance(&endpoint(Some(1), Some(1)), 1, 1), 0);
    }

    #[test]
    fn what_waits_for_a_retry_stops_a_replay_only_in_masses() {
        let endpoint = endpoint(None, None);
        assert_eq!(allowance(&endpoint, 0, 100), MAX_UNTRIED);
        assert_eq!(allowance(&endpoint, 0, MAX_UNFINISHED), 0);
    }
}

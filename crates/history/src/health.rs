//! How an endpoint is doing, in words.

use domain::{Endpoint, Timestamp};
use proto::time::to_proto;
use proto::v1::EndpointHealth;

/// The health that the last attempt and what waits tell; tests are left out. It is
/// `failing` if and only if it says since when.
/// `endpoint` is as the directory has it, which may know of a disable that the row
/// does not tell yet.
pub(crate) fn health(
    row: Option<&store::EndpointHealth>,
    endpoint: Option<&Endpoint>,
    now: Timestamp,
) -> EndpointHealth {
    let row = row.map(|row| match endpoint {
        Some(endpoint) => since_disabled(row, endpoint),
        None => row.clone(),
    });
    let rate_limit = endpoint.and_then(|endpoint| endpoint.rate_limit);
    let (state, message) = match &row {
        None => ("unknown", "No deliveries yet".to_owned()),
        Some(row) => told(row, rate_limit, now),
    };
    let since = row.filter(|row| row.last_failure.is_some());
    let since = since.and_then(|row| row.failing_since);
    EndpointHealth {
        state: state.to_owned(),
        message,
        failing_since: since.map(|at| to_proto(Timestamp::from_unix_millis(at))),
    }
}

/// What holds of a row: a disable has ended its period of failure and cancelled what
/// waited, and an endpoint that is enabled again begins anew.
fn since_disabled(row: &store::EndpointHealth, endpoint: &Endpoint) -> store::EndpointHealth {
    let mut row = row.clone();
    let is_told = u64::try_from(row.generation).is_ok_and(|told| told >= endpoint.generation);
    if !is_told {
        row.failing_since = None;
    }
    if !is_told || endpoint.disabled {
        (row.throttled, row.paused) = (0, 0);
    }
    row
}

fn told(
    row: &store::EndpointHealth,
    rate_limit: Option<u32>,
    now: Timestamp,
) -> (&'static str, String) {
    let pause = (row.paused > 0).then(|| paused(row.paused_until, now));
    // Of a failure whose period has ended nothing holds any more.
    let failure = row.last_failure.as_ref();
    match (failure.filter(|_| row.failing_since.is_some()), pause) {
        (Some(failure), None) => ("failing", format!("The last delivery failed: {failure}")),
        (Some(failure), Some(pause)) => (
            "failing",
            format!("The last delivery failed: {failure}. {pause}"),
        ),
        (None, Some(pause)) => ("throttled", pause),
        (None, None) if row.throttled > 0 => ("throttled", throttled(rate_limit)),
        (None, None) if row.last_attempt_at.is_none() => {
            ("unknown", "No deliveries yet".to_owned())
        }
        (None, None) if failure.is_some() => {
            ("unknown", "No deliveries since it was disabled".to_owned())
        }
        (None, None) => ("healthy", "No recent delivery errors".to_owned()),
    }
}

fn paused(until: Option<i64>, now: Timestamp) -> String {
    let until = until.map(Timestamp::from_unix_millis);
    match until.filter(|until| *until > now) {
        Some(until) => format!(
            "Paused after repeated failures; next try at {}",
            until.rfc3339()
        ),
        None => "Paused after repeated failures".to_owned(),
    }
}

fn throttled(rate_limit: Option<u32>) -> String {
    match rate_limit {
        Some(per_second) => {
            format!("Deliveries wait for the rate limit of {per_second} per second")
        }
        None => "Deliveries wait for the limit on requests at once".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use domain::{AccountId, DeliveryPolicy, EndpointId, Verification};
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_747_147_674_000);

    fn endpoint(disabled: bool, generation: u64) -> Endpoint {
        Endpoint {
            id: EndpointId::new(),
            account: AccountId::parse("acme").unwrap(),
            version: 1,
            url: "https://example.com/hook".to_owned(),
            event_types: Vec::new(),
            disabled,
            disabled_reason: String::new(),
            generation,
            verification: Verification::NotRequired,
            rate_limit: Some(10),
            policy: DeliveryPolicy::default(),
            created_at: NOW,
            secrets: Vec::new(),
        }
    }

    fn row(failure: Option<&str>) -> store::EndpointHealth {
        store::EndpointHealth {
            id: Uuid::nil(),
            generation: 0,
            last_attempt_at: Some(1),
            last_failure: failure.map(str::to_owned),
            failing_since: failure.map(|_| NOW.unix_millis()),
            throttled: 0,
            paused: 0,
            paused_until: None,
        }
    }

    fn told_of(row: &store::EndpointHealth, endpoint: &Endpoint) -> (String, String) {
        let told = health(Some(row), Some(endpoint), NOW);
        let is_failing = told.state == "failing";
        assert_eq!(told.failing_since.is_some(), is_failing, "{told:?}");
        (told.state, told.message)
    }

    fn told(row: &store::EndpointHealth) -> (String, String) {
        told_of(row, &endpoint(false, 0))
    }

    #[test]
    fn the_last_attempt_tells() {
        assert_eq!(health(None, None, NOW).message, "No deliveries yet");
        let (state, message) = told(&row(None));
        assert_eq!(
            (&*state, &*message),
            ("healthy", "No recent delivery errors")
        );
        let failing = row(Some("it answered 500"));
        assert_eq!(told(&failing).0, "failing");
        let since = health(Some(&failing), None, NOW).failing_since;
        assert_eq!(since, Some(to_proto(NOW)));
    }

    #[test]
    fn a_disable_ends_what_failed_and_what_waited() {
        let before = store::EndpointHealth {
            throttled: 1,
            paused: 1,
            paused_until: Some(NOW.unix_millis() + 1_000),
            ..row(Some("it answered 500"))
        };
        let after = store::EndpointHealth {
            generation: 1,
            failing_since: None,
            throttled: 0,
            paused: 0,
            ..before.clone()
        };
        let begins_anew = (
            "unknown".to_owned(),
            "No deliveries since it was disabled".to_owned(),
        );
        // Before the row tells of it, too, and while it is half done.
        let half_done = store::EndpointHealth {
            paused: 1,
            ..after.clone()
        };
        for row in [&before, &half_done, &after] {
            assert_eq!(told_of(row, &endpoint(true, 1)), begins_anew);
        }
        for row in [&before, &after] {
            assert_eq!(told_of(row, &endpoint(false, 1)), begins_anew);
        }
        let failed_again = store::EndpointHealth {
            failing_since: Some(1),
            ..after
        };
        assert_eq!(told_of(&failed_again, &endpoint(false, 1)).0, "failing");
    }

    #[test]
    fn what_waits_is_told_unless_the_last_attempt_failed() {
        let waiting = |failure| store::EndpointHealth {
            throttled: 3,
            ..row(failure)
        };
        let (state, message) = told(&waiting(None));
        assert_eq!(
            (&*state, &*message),
            (
                "throttled",
                "Deliveries wait for the rate limit of 10 per second"
            )
        );
        assert_eq!(told(&waiting(Some("it answered 500"))).0, "failing");
        let not_yet_tried = store::EndpointHealth {
            last_attempt_at: None,
            ..waiting(None)
        };
        assert_eq!(told(&not_yet_tried).0, "throttled");
    }

    #[test]
    fn a_pause_tells_the_next_try_while_it_is_ahead() {
        let paused = |until| store::EndpointHealth {
            paused: 1,
            paused_until: Some(until),
            ..row(None)
        };
        assert_eq!(
            told(&paused(1_747_147_704_000)).1,
            "Paused after repeated failures; next try at 2025-05-13T14:48:24.000Z"
        );
        assert_eq!(told(&paused(1)).1, "Paused after repeated failures");
    }
}

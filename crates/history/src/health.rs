//! How an endpoint is doing, in words.

use domain::Timestamp;
use proto::time::to_proto;
use proto::v1::EndpointHealth;

/// The health that the last attempt and what waits tell; tests are left out.
/// `rate_limit` is the endpoint's, in deliveries per second.
pub(crate) fn health(
    row: Option<&store::EndpointHealth>,
    rate_limit: Option<u32>,
    now: Timestamp,
) -> EndpointHealth {
    let (state, message) = match row {
        None => ("unknown", "No deliveries yet".to_owned()),
        Some(row) => told(row, rate_limit, now),
    };
    let since = row
        .filter(|row| row.last_failure.is_some())
        .and_then(|row| row.failing_since);
    EndpointHealth {
        state: state.to_owned(),
        message,
        failing_since: since.map(|at| to_proto(Timestamp::from_unix_millis(at))),
    }
}

fn told(
    row: &store::EndpointHealth,
    rate_limit: Option<u32>,
    now: Timestamp,
) -> (&'static str, String) {
    let pause = (row.paused > 0).then(|| paused(row.paused_until, now));
    match (&row.last_failure, pause) {
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
mod tests {
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_747_147_674_000);

    fn row(failure: Option<&str>) -> store::EndpointHealth {
        store::EndpointHealth {
            id: Uuid::nil(),
            last_attempt_at: Some(1),
            last_failure: failure.map(str::to_owned),
            failing_since: None,
            throttled: 0,
            paused: 0,
            paused_until: None,
        }
    }

    fn told(row: &store::EndpointHealth) -> (String, String) {
        let told = health(Some(row), Some(10), NOW);
        (told.state, told.message)
    }

    #[test]
    fn the_last_attempt_tells() {
        assert_eq!(health(None, None, NOW).message, "No deliveries yet");
        let (state, message) = told(&row(None));
        assert_eq!(
            (&*state, &*message),
            ("healthy", "No recent delivery errors")
        );
        let failing = store::EndpointHealth {
            failing_since: Some(NOW.unix_millis()),
            ..row(Some("it answered 500"))
        };
        assert_eq!(told(&failing).0, "failing");
        let since = health(Some(&failing), None, NOW).failing_since;
        assert_eq!(since, Some(to_proto(NOW)));
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

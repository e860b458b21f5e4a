//! How an endpoint is doing, in words.

use proto::v1::EndpointHealth;

/// The health that the last attempt tells; tests are left out.
pub(crate) fn health(row: Option<&store::EndpointHealth>) -> EndpointHealth {
    let (state, message) = match row.filter(|row| row.last_attempt_at.is_some()) {
        None => ("unknown", "No deliveries yet".to_owned()),
        Some(row) => match &row.last_failure {
            None => ("healthy", "No recent delivery errors".to_owned()),
            Some(failure) => ("failing", format!("The last delivery failed: {failure}")),
        },
    };
    EndpointHealth {
        state: state.to_owned(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_last_attempt_tells() {
        let row = |failure: Option<&str>| store::EndpointHealth {
            id: Uuid::nil(),
            last_attempt_at: Some(1),
            last_failure: failure.map(str::to_owned),
            failing_since: None,
        };
        assert_eq!(health(None).state, "unknown");
        assert_eq!(
            health(Some(&row(None))).message,
            "No recent delivery errors"
        );
        assert_eq!(health(Some(&row(Some("it answered 500")))).state, "failing");
    }
}

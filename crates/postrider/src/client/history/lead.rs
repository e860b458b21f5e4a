//! Ids that lead to an event.

use std::fmt::Display;
use std::str::FromStr;

use domain::{AttemptId, DeliveryId, EventId};

use crate::client::arguments;

/// What leads to an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Lead {
    Event(EventId),
    Delivery(DeliveryId),
    Attempt(AttemptId),
    /// In lower case.
    Trace(String),
}

impl FromStr for Lead {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('_').map(|(kind, _)| kind) {
            Some("evt") => id(text).map(Self::Event),
            Some("dlv") => id(text).map(Self::Delivery),
            Some("att") => id(text).map(Self::Attempt),
            Some("ep") => Err(format!(
                "an endpoint is shown by `postrider endpoint get {text}`, and what it was sent \
                 by `postrider history list --endpoint {text}`; here goes the id of an event \
                 (evt_…), a delivery (dlv_…), an attempt (att_…) or a trace (32 hex digits)"
            )),
            _ => arguments::trace_id(text).map(Self::Trace).map_err(|_| {
                "write the id of an event (evt_…), a delivery (dlv_…), an attempt (att_…) or a \
                 trace (32 hex digits)"
                    .to_owned()
            }),
        }
    }
}

fn id<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn any_id_is_a_lead_and_nothing_else() {
        let uuid = "6f1cbb3e-3a54-4d1c-8a0e-0c9b1f0f2a11";
        for kind in ["evt", "dlv", "att"] {
            assert!(format!("{kind}_{uuid}").parse::<Lead>().is_ok(), "{kind}");
        }
        let trace = "4BF92F3577B34DA6A3CE929D0E0E4736";
        assert_eq!(trace.parse(), Ok(Lead::Trace(trace.to_ascii_lowercase())));
        for (wrong, right) in [
            ("evt_1", "looks like evt_"),
            ("ep_1", "evt_…"),
            ("ep_1", "postrider endpoint get ep_1"),
            ("zz000000000000000000000000000000", "32 hex digits"),
            ("", "evt_…"),
        ] {
            let error = wrong.parse::<Lead>().unwrap_err();
            assert!(error.contains(right), "{wrong}: {error}");
        }
    }
}

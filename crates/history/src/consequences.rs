//! What follows from what was recorded: operational events, and the end of an
//! endpoint that has failed for too long.
//!
//! It is told to control before the messages it was found in are acked, so a
//! crash finds and tells it again; ids are derived, so that it is the same.

use broker::Error;
use domain::EventId;
use futures::stream::{self, StreamExt as _};
use proto::pipeline::{DisableEndpoint, RaiseEvent};
use serde_json::json;
use store::{Exhausted, Failing, Findings, Recovered};
use tracing::{error, info};

use crate::Shared;

const EXHAUSTED: &str = "delivery.exhausted";
const RECOVERED: &str = "endpoint.recovered";

/// Publishes under way at once.
const AT_ONCE: usize = 64;

/// A message to control.
enum Command {
    Raise(RaiseEvent),
    Disable(DisableEndpoint),
}

/// Tells control what was found, for as long as it takes.
pub(crate) async fn tell(shared: &Shared, findings: Findings) {
    let raised = findings
        .exhausted
        .iter()
        .map(exhausted)
        .chain(findings.recovered.iter().map(recovered))
        .map(Command::Raise);
    let disabled = findings
        .failing
        .iter()
        .filter_map(|failing| disable(shared, failing))
        .map(Command::Disable);
    let commands: Vec<Command> = raised.chain(disabled).collect();
    stream::iter(commands)
        .for_each_concurrent(AT_ONCE, |command| async move {
            if let Err(error) = send(shared, command).await {
                error!(%error, "control cannot be told");
            }
        })
        .await;
}

async fn send(shared: &Shared, command: Command) -> Result<(), Error> {
    let broker = &shared.deps.broker;
    match command {
        Command::Raise(event) => broker.send_raise_event(event).await,
        Command::Disable(command) => broker.send_disable(command).await,
    }
}

fn exhausted(found: &Exhausted) -> RaiseEvent {
    let object = json!({
        "endpoint_id": found.endpoint.to_string(),
        "event_id": found.event.to_string(),
        "event_type": found.event_type.as_str(),
        "delivery_id": found.delivery.to_string(),
        "attempts": found.attempts,
        "last_failure": found.last_failure,
    });
    let id = EventId::operational(EXHAUSTED, found.delivery.as_bytes());
    RaiseEvent {
        id: id.as_bytes().to_vec().into(),
        account: found.account.to_string(),
        r#type: EXHAUSTED.to_owned(),
        object: object.to_string().into(),
        about_endpoint_id: found.endpoint.as_bytes().to_vec().into(),
    }
}

fn recovered(found: &Recovered) -> RaiseEvent {
    let object = json!({
        "endpoint_id": found.endpoint.to_string(),
        "failing_since": found.failing_since.rfc3339(),
        "recovered_at": found.recovered_at.rfc3339(),
    });
    let mut about = found.endpoint.as_bytes().to_vec();
    about.extend(found.failing_since.unix_millis().to_be_bytes());
    RaiseEvent {
        id: EventId::operational(RECOVERED, &about)
            .as_bytes()
            .to_vec()
            .into(),
        account: found.account.to_string(),
        r#type: RECOVERED.to_owned(),
        object: object.to_string().into(),
        about_endpoint_id: found.endpoint.as_bytes().to_vec().into(),
    }
}

/// The end of an endpoint that has had nothing but failure for too long. It is
/// asked for with each further failure, until it is done.
fn disable(shared: &Shared, found: &Failing) -> Option<DisableEndpoint> {
    let limit = shared.config.disable_after?;
    if found.last_failed_at.since(found.failing_since) < limit {
        return None;
    }
    let endpoint = shared.deps.endpoints.get(found.endpoint)?;
    // What is known here is of before: the failures of then do not count.
    if endpoint.disabled || endpoint.generation > found.generation {
        return None;
    }
    let since = found.failing_since.rfc3339();
    info!(
        endpoint = %endpoint.id,
        since,
        "endpoint {} is to be disabled after nothing but failure",
        endpoint.id
    );
    Some(DisableEndpoint {
        endpoint_id: endpoint.id.as_bytes().to_vec().into(),
        account: endpoint.account.to_string(),
        version: endpoint.version,
        reason: format!("every delivery has failed since {since}"),
        operational: false,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use domain::{AccountId, DeliveryId, EndpointId, EventType, Timestamp};

    use super::*;

    #[test]
    fn what_is_found_again_is_the_same_event() {
        let found = Exhausted {
            account: AccountId::parse("acme").unwrap(),
            endpoint: EndpointId::new(),
            event: EventId::new(),
            event_type: EventType::parse("message.report").unwrap(),
            delivery: DeliveryId::new(),
            attempts: 10,
            last_failure: "the endpoint answered 500".to_owned(),
        };
        assert_eq!(exhausted(&found), exhausted(&found));
        let other = Exhausted {
            delivery: DeliveryId::new(),
            ..found.clone()
        };
        assert_ne!(exhausted(&found).id, exhausted(&other).id);
        let object: serde_json::Value = serde_json::from_slice(&exhausted(&found).object).unwrap();
        assert_eq!(object["attempts"], 10);
        assert_eq!(object["endpoint_id"], found.endpoint.to_string());
    }

    #[test]
    fn every_recovery_is_another_event() {
        let at = Timestamp::from_unix_millis;
        let first = Recovered {
            account: AccountId::parse("acme").unwrap(),
            endpoint: EndpointId::new(),
            failing_since: at(1_747_147_674_000),
            recovered_at: at(1_747_147_675_000),
        };
        let second = Recovered {
            failing_since: at(1_747_147_676_000),
            ..first.clone()
        };
        assert_ne!(recovered(&first).id, recovered(&second).id);
        let object: serde_json::Value = serde_json::from_slice(&recovered(&first).object).unwrap();
        assert_eq!(object["failing_since"], "2025-05-13T14:47:54.000Z");
    }
}

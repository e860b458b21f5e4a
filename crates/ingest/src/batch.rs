//! A batch of events: decided at once, but those of one id in their order.

use std::collections::HashMap;

use domain::{Problem, Reason};
use futures::{StreamExt as _, stream};
use proto::v1::{PublishError, PublishEventRequest, PublishEventResponse, PublishEventResult};

use crate::accept::{Acceptor, Caller};

/// Items of a batch.
const MAX_BATCH: usize = 1_000;

/// An event, and where it stands in its batch.
type Item = (usize, PublishEventRequest);

/// Accepts the events of a batch, `window` at once; a result for each, in the
/// order of the batch.
///
/// # Errors
///
/// When there is none, or there are too many.
pub(crate) async fn accept(
    acceptor: &Acceptor,
    caller: &Caller,
    events: Vec<PublishEventRequest>,
    window: usize,
) -> Result<Vec<PublishEventResult>, Problem> {
    check_size(events.len())?;
    let decided = stream::iter(by_id(events)).map(|items| async {
        let mut results = Vec::with_capacity(items.len());
        for (place, event) in items {
            results.push((place, result(acceptor.accept(caller, event).await)));
        }
        results
    });
    let decided: Vec<_> = decided.buffer_unordered(window).collect().await;
    let mut results: Vec<(usize, PublishEventResult)> = decided.into_iter().flatten().collect();
    results.sort_unstable_by_key(|(place, _)| *place);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

fn check_size(items: usize) -> Result<(), Problem> {
    if (1..=MAX_BATCH).contains(&items) {
        return Ok(());
    }
    let message = format!("send 1 to {MAX_BATCH} events, not {items}");
    Err(Problem::of_field(Reason::FieldInvalid, "events", message))
}

/// The events by what must not overtake each other: those of one account and
/// id. An event without an id stands alone.
fn by_id(events: Vec<PublishEventRequest>) -> Vec<Vec<Item>> {
    let mut groups: Vec<Vec<Item>> = Vec::with_capacity(events.len());
    let mut known: HashMap<(String, String), usize> = HashMap::new();
    for (place, event) in events.into_iter().enumerate() {
        let group = if event.id.is_empty() {
            groups.len()
        } else {
            let key = (event.account.clone(), event.id.clone());
            *known.entry(key).or_insert(groups.len())
        };
        match groups.get_mut(group) {
            Some(group) => group.push((place, event)),
            None => groups.push(vec![(place, event)]),
        }
    }
    groups
}

fn result(accepted: Result<PublishEventResponse, Problem>) -> PublishEventResult {
    match accepted {
        Ok(PublishEventResponse { id, duplicate }) => PublishEventResult {
            id,
            duplicate,
            error: None,
        },
        Err(problem) => PublishEventResult {
            error: Some(PublishError::from(&problem)),
            ..PublishEventResult::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_one_to_a_thousand_events() {
        for (items, good) in [(0, false), (1, true), (1_000, true), (1_001, false)] {
            assert_eq!(check_size(items).is_ok(), good, "{items}");
        }
    }

    #[test]
    fn events_of_one_account_and_id_stay_in_order() {
        let event = |(account, id): (&str, &str)| PublishEventRequest {
            account: account.to_owned(),
            id: id.to_owned(),
            ..PublishEventRequest::default()
        };
        let batch = [("a", "1"), ("a", ""), ("b", "1"), ("a", "1"), ("a", "")];
        let groups = by_id(batch.map(event).to_vec());
        let places: Vec<Vec<usize>> = groups
            .iter()
            .map(|group| group.iter().map(|(place, _)| *place).collect())
            .collect();
        assert_eq!(places, [vec![0, 3], vec![1], vec![2], vec![4]]);
    }
}

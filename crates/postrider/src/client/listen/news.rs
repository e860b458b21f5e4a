//! Which events are new.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use domain::Timestamp;
use serde_json::Value;

use crate::client::Api;

/// How late an event may be recorded and still be told of.
const REACH: Duration = Duration::from_secs(30);
const PAGE_SIZE: &str = "100";
/// Pages of one question; what is beyond them comes with the next.
const MAX_PAGES: usize = 50;

/// Where a listener stands, by the server's clock.
#[derive(Debug, Default)]
pub(super) struct News {
    /// When the newest event that was seen was accepted.
    newest: Option<Timestamp>,
    /// What was seen within reach of it, by id.
    seen: HashMap<String, Timestamp>,
}

impl News {
    /// Begins behind what there is.
    ///
    /// # Errors
    ///
    /// When the call fails or is refused.
    pub(super) async fn begin(api: &Api, account: &str) -> Result<Self> {
        let mut news = Self::default();
        let path = format!("{account}/events");
        let newest = api
            .get(&path, &[("page_size", Some("1".to_owned()))])
            .await?;
        news.newest = newest["events"].get(0).and_then(accepted_at);
        if news.newest.is_some() {
            news.since(api, account).await?;
        }
        Ok(news)
    }

    /// What came since the last question, oldest first.
    ///
    /// # Errors
    ///
    /// When a call fails or is refused; nothing is taken for seen then.
    pub(super) async fn since(&mut self, api: &Api, account: &str) -> Result<Vec<Value>> {
        let after = self.newest.map(|newest| newest.minus(REACH).rfc3339());
        let mut events = Vec::new();
        let mut page_token = None;
        for _ in 0..MAX_PAGES {
            let query = [
                ("after", after.clone()),
                ("page_size", Some(PAGE_SIZE.to_owned())),
                ("page_token", page_token),
            ];
            let page = api.get(&format!("{account}/events"), &query).await?;
            events.extend(page["events"].as_array().cloned().unwrap_or_default());
            page_token = page["next_page_token"]
                .as_str()
                .filter(|token| !token.is_empty())
                .map(str::to_owned);
            if page_token.is_none() {
                break;
            }
        }
        events.reverse();
        Ok(self.unseen(events))
    }

    /// Those that were not seen; they are from now on.
    fn unseen(&mut self, events: Vec<Value>) -> Vec<Value> {
        let mut new = Vec::new();
        for event in events {
            let (Some(id), Some(at)) = (event["id"].as_str(), accepted_at(&event)) else {
                continue;
            };
            if self.seen.insert(id.to_owned(), at).is_none() {
                self.newest = self.newest.max(Some(at));
                new.push(event);
            }
        }
        if let Some(newest) = self.newest {
            let oldest = newest.minus(REACH);
            self.seen.retain(|_, at| *at >= oldest);
        }
        new
    }
}

fn accepted_at(event: &Value) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(event["created_at"].as_str()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(id: &str, second: u32) -> Value {
        json!({"id": id, "created_at": format!("2026-05-13T12:00:{second:02}Z")})
    }

    fn ids(events: &[Value]) -> Vec<&str> {
        events
            .iter()
            .filter_map(|event| event["id"].as_str())
            .collect()
    }

    #[test]
    fn each_event_is_told_once_also_one_that_is_recorded_late() {
        let mut news = News::default();
        let first = news.unseen(vec![event("a", 1), event("b", 2)]);
        assert_eq!(ids(&first), ["a", "b"]);
        let late = news.unseen(vec![event("a", 1), event("late", 1), event("b", 2)]);
        assert_eq!(ids(&late), ["late"]);
        assert_eq!(ids(&news.unseen(vec![event("c", 40)])), ["c"]);
        assert_eq!(news.seen.len(), 1, "what is out of reach is forgotten");
    }
}

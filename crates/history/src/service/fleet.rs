//! Many endpoints at a glance.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use domain::key::{Need, invalid_key};
use domain::{EndpointId, Problem, Reason, Timestamp};
use proto::time::to_proto;
use proto::v1::{
    BatchGetEndpointActivityRequest, BatchGetEndpointActivityResponse, EndpointActivity,
    HourCounts, ListTroubledEndpointsRequest, ListTroubledEndpointsResponse, TroubledEndpoint,
};
use store::{HourOfEndpoint, Troubled};
use tonic::Request;

use super::{MAX_HEALTH, Service, database};
use crate::health;

const DEFAULT_HOURS: u32 = 24;
/// A week.
const MAX_HOURS: u32 = 168;

impl Service {
    pub(super) async fn activity(
        &self,
        request: Request<BatchGetEndpointActivityRequest>,
    ) -> Result<BatchGetEndpointActivityResponse, Problem> {
        let (_, account) = self
            .open(&request, &request.get_ref().account, Need::Read)
            .await?;
        let message = request.into_inner();
        let invalid = |field, what| Problem::of_field(Reason::FieldInvalid, field, what);
        if message.endpoint_ids.len() > MAX_HEALTH {
            return Err(invalid("endpoint_ids", "name at most 100 endpoints"));
        }
        let count = match message.hours {
            0 => DEFAULT_HOURS,
            hours @ 1..=MAX_HOURS => hours,
            _ => return Err(invalid("hours", "use 1 to 168, a week")),
        };
        let ids: Vec<EndpointId> = message
            .endpoint_ids
            .iter()
            .filter_map(|text| text.parse().ok())
            .filter(|id| self.endpoint(&account, *id).is_ok())
            .collect();
        let now = Timestamp::from(SystemTime::now()).unix_seconds();
        let first = now.div_euclid(3_600) + 1 - i64::from(count);
        let rows = self.0.deps.store.hours(&ids, first).await;
        let rows = rows.map_err(|error| database(&error))?;
        Ok(BatchGetEndpointActivityResponse {
            activity: by_endpoint(&rows, first, count).into_iter().collect(),
        })
    }

    pub(super) async fn troubled(
        &self,
        request: Request<ListTroubledEndpointsRequest>,
    ) -> Result<ListTroubledEndpointsResponse, Problem> {
        let token = proto::metadata::bearer(request.metadata()).ok_or_else(invalid_key)?;
        let now = SystemTime::now().into();
        let identity = self.0.deps.keys.authenticate(token, now).await?;
        identity.authorise_everywhere(Need::Read)?;
        self.see_endpoints().await;
        let found = self.0.deps.store.troubled().await;
        let (trouble, rows) = found.map_err(|error| database(&error))?;
        let mut seen = HashSet::new();
        let endpoints = rows
            .into_iter()
            .filter(|row| seen.insert(row.health.id) && self.is_visible(row.health.id))
            .map(|row| self.show_troubled(row, now));
        Ok(ListTroubledEndpointsResponse {
            endpoints: endpoints.collect(),
            failing: unsigned(trouble.failing),
            throttled: unsigned(trouble.throttled),
            paused: unsigned(trouble.paused),
            waiting: unsigned(trouble.waiting),
        })
    }

    fn show_troubled(&self, row: Troubled, now: Timestamp) -> TroubledEndpoint {
        let id = EndpointId::from_uuid(row.health.id);
        let known = self.0.deps.endpoints.get(id);
        let oldest = row.oldest_pending_at.map(Timestamp::from_unix_millis);
        TroubledEndpoint {
            account: row.account,
            endpoint_id: id.to_string(),
            health: Some(health::health(Some(&row.health), known.as_deref(), now)),
            throttled: unsigned(row.health.throttled),
            paused: unsigned(row.health.paused),
            failures: unsigned(row.failures),
            oldest_pending_at: oldest.map(to_proto),
        }
    }
}

/// A place for each hour, also for those in which nothing was.
fn by_endpoint(
    rows: &[HourOfEndpoint],
    first: i64,
    count: u32,
) -> HashMap<String, EndpointActivity> {
    let mut activity: HashMap<String, EndpointActivity> = HashMap::new();
    for row in rows {
        let id = EndpointId::from_uuid(row.endpoint_id).to_string();
        let hours = &mut activity.entry(id).or_default().hours;
        hours.resize(count as usize, HourCounts::default());
        // What is dated ahead of this clock belongs to the current hour.
        let place = usize::try_from(row.hour - first).unwrap_or(0);
        let hour = &mut hours[place.min(count as usize - 1)];
        hour.successful += unsigned(row.succeeded);
        hour.failed += unsigned(row.failed) + unsigned(row.cancelled);
        hour.pending += unsigned(row.pending);
        hour.retrying += unsigned(row.retrying);
    }
    activity
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_hour_has_a_place_and_the_last_is_the_current_one() {
        let row = |hour, succeeded| HourOfEndpoint {
            endpoint_id: Uuid::nil(),
            hour,
            succeeded,
            failed: 1,
            cancelled: 1,
            pending: 0,
            retrying: 0,
        };
        let told = by_endpoint(&[row(10, 5), row(12, 7), row(13, 1)], 10, 3);
        let hours = &told[&EndpointId::from_uuid(Uuid::nil()).to_string()].hours;
        let counts: Vec<_> = hours.iter().map(|h| (h.successful, h.failed)).collect();
        assert_eq!(counts, [(5, 2), (0, 0), (8, 4)]);
    }
}

//! The calls about replays.

use domain::page::check_span;
use domain::{
    AccountId, Endpoint, EventType, FieldViolation, Problem, Reason, ReplayId, ReplayStatus,
    Timestamp,
};
use proto::time::to_proto as instant;
use proto::v1;
use store::{NewReplay, ReplayRow};

use crate::Shared;
use crate::jobs::now;
use crate::service::{CATCH_UP, broker_down, database};

/// Event types that a replay may name; an endpoint has no more.
const MAX_EVENT_TYPES: usize = 256;

/// What a replay is asked to do.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) after: Option<Timestamp>,
    pub(crate) before: Option<Timestamp>,
    pub(crate) status: String,
    pub(crate) event_types: Vec<String>,
    pub(crate) dry_run: bool,
}

pub(crate) fn not_found() -> Problem {
    let detail = "this account has no replay with this id; starting one answers with its id";
    Problem::new(Reason::ReplayNotFound, detail)
}

impl Asked {
    fn check(
        self,
        account: &AccountId,
        endpoint: &Endpoint,
        now: Timestamp,
    ) -> Result<NewReplay, Problem> {
        let invalid = |field: &str, message: &str| {
            FieldViolation::new(field, message).into_problem(Reason::FieldInvalid)
        };
        let needed = "send an instant in RFC 3339, e.g. 2026-05-13T12:00:00Z";
        let after = self.after.ok_or_else(|| invalid("after", needed))?;
        let before = self.before.ok_or_else(|| invalid("before", needed))?;
        check_span(Some(after), Some(before))?;
        if after >= now {
            let what = "use an instant that is past: what is to come cannot be sent again";
            return Err(invalid("after", what));
        }
        let status: ReplayStatus = self
            .status
            .parse()
            .map_err(|_| invalid("status", "use failed or all"))?;
        if self.event_types.len() > MAX_EVENT_TYPES {
            return Err(invalid("event_types", "name at most 256"));
        }
        for name in &self.event_types {
            EventType::parse(name)
                .map_err(|_| invalid("event_types", "use names of event types"))?;
        }
        Ok(NewReplay {
            id: ReplayId::new(),
            account: account.clone(),
            endpoint: endpoint.id,
            status,
            event_types: self.event_types,
            after,
            // What comes later, it would otherwise send again at once.
            before: before.min(now),
            dry_run: self.dry_run,
            created_at: now,
        })
    }
}

impl Shared {
    /// Starts a replay, or counts only.
    pub(crate) async fn start_replay(
        &self,
        account: &AccountId,
        endpoint: &Endpoint,
        asked: Asked,
    ) -> Result<v1::Replay, Problem> {
        let new = asked.check(account, endpoint, now())?;
        self.check_registered(&new.event_types).await?;
        if endpoint.disabled && !new.dry_run {
            let detail = "the endpoint is disabled; enable it and start the replay then";
            return Err(Problem::new(Reason::EndpointDisabled, detail));
        }
        if endpoint.awaits_verification() && !new.dry_run {
            let detail = "the endpoint is not verified yet; have it echo its challenge first";
            return Err(Problem::new(Reason::EndpointUnverified, detail));
        }
        if !new.dry_run && !self.deps.broker.is_connected() {
            return Err(broker_down());
        }
        let started = self.deps.store.start_replay(&new).await;
        let row = started.map_err(|error| database(&error))?;
        self.replay_started.notify_one();
        Ok(to_proto(row))
    }
}

impl Shared {
    /// Refuses types that no event can have: the name is misspelt.
    async fn check_registered(&self, event_types: &[String]) -> Result<(), Problem> {
        let (known, broker) = (&self.deps.event_types, &self.deps.broker);
        for name in event_types {
            let event_type = EventType::parse_field("event_types", name)?;
            let found = known.comes_to_contain(&event_type, broker, CATCH_UP).await;
            if !found.map_err(|_| broker_down())? {
                let message =
                    format!("{name} is not registered; GET /v1/event-types lists the types");
                return Err(Problem::of_field(
                    Reason::EventTypeUnknown,
                    "event_types",
                    message,
                ));
            }
        }
        Ok(())
    }
}

/// A replay as the API shows it.
pub(crate) fn to_proto(row: ReplayRow) -> v1::Replay {
    let at = |millis| instant(Timestamp::from_unix_millis(millis));
    let count = |value| u64::try_from(value).unwrap_or(0);
    v1::Replay {
        id: ReplayId::from_uuid(row.id).to_string(),
        endpoint_id: domain::EndpointId::from_uuid(row.endpoint_id).to_string(),
        state: row.state,
        matched: count(row.matched),
        sent: count(row.sent),
        succeeded: count(row.succeeded),
        failed: count(row.failed),
        after: Some(at(row.after_at)),
        before: Some(at(row.before_at)),
        status: row.status,
        event_types: row
            .event_types
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        created_at: Some(at(row.created_at)),
        ended_at: row.ended_at.map(at),
    }
}

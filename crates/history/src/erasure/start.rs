//! The calls about erasures.

use std::time::Duration;

use broker::Log;
use domain::{
    AccountId, EndpointId, ErasureId, ErasureScope, ErasureState, Problem, Reason, Timestamp,
};
use proto::time::to_proto as instant;
use proto::v1::{self, start_erasure_request::What};
use store::{ErasureRow, Error};
use tokio::time::sleep;

use super::progress::Progress;
use crate::Shared;
use crate::filters::pair;
use crate::jobs::now;
use crate::service::{broker_down, database};

/// By how much the clocks of two machines may differ. Of an account what was accepted
/// until so long after the call came is meant, and the call takes twice as long: so an
/// event that was answered before is older than that, and one that is published after
/// the call's answer is younger, each by its own ingest's clock.
pub(super) const CLOCKS: Duration = Duration::from_millis(500);

pub(crate) fn not_found() -> Problem {
    let detail = "this account has no erasure with this id; starting one answers with its id";
    Problem::new(Reason::ErasureNotFound, detail)
}

/// What a call asks to be erased.
pub(crate) fn scope(what: Option<What>) -> Result<ErasureScope, Problem> {
    let invalid =
        |field: &str, message: &str| Problem::of_field(Reason::FieldInvalid, field, message);
    match what {
        None => Err(invalid("event_id", "send event_id, tag, or all: true")),
        Some(What::EventId(id)) => {
            let id = id.parse();
            let id = id.map_err(|_| invalid("event_id", "use an id like evt_<uuid>"))?;
            Ok(ErasureScope::Event(id))
        }
        Some(What::Tag(tag)) => {
            let (name, value) = pair(&tag)?;
            Ok(ErasureScope::Tag { name, value })
        }
        Some(What::All(true)) => Ok(ErasureScope::Account),
        Some(What::All(false)) => Err(invalid("all", "send true, or leave it out")),
    }
}

impl Shared {
    /// Begins to erase.
    pub(crate) async fn start_erasure(
        &self,
        account: &AccountId,
        scope: &ErasureScope,
    ) -> Result<v1::Erasure, Problem> {
        let (store, id, asked_at) = (&self.deps.store, ErasureId::new(), now());
        let progress = self.cut(scope).await?;
        let started = store.start_erasure(id, account, scope, &progress, asked_at);
        started.await.map_err(|error| database(&error))?;
        self.erasure_started.notify_one();
        let row = store.erasure(account, id).await;
        let row = row.map_err(|error| database(&error))?;
        row.map(to_proto).ok_or_else(not_found)
    }

    /// Lays down what has been published until now, as an erasure's first progress:
    /// nothing that is published when this has returned is meant.
    async fn cut(&self, scope: &ErasureScope) -> Result<String, Problem> {
        match scope {
            ErasureScope::Tag { .. } => {
                let last = self.deps.broker.last_stored(Log::Events).await;
                let last = last.map_err(|_| broker_down())?;
                Ok(Progress::of_events_until(last).text())
            }
            ErasureScope::Account => {
                sleep(2 * CLOCKS).await;
                Ok(String::new())
            }
            ErasureScope::Event(_) | ErasureScope::Endpoint(_) => Ok(String::new()),
        }
    }

    /// Begins to erase what is left of a deleted endpoint, once.
    pub(crate) async fn erase_deleted(
        &self,
        account: &AccountId,
        endpoint: EndpointId,
    ) -> Result<(), Error> {
        let id = ErasureId::of_endpoint(endpoint);
        let scope = ErasureScope::Endpoint(endpoint);
        let store = &self.deps.store;
        store.start_erasure(id, account, &scope, "", now()).await?;
        self.erasure_started.notify_one();
        Ok(())
    }
}

/// An erasure as the API shows it.
pub(crate) fn to_proto(row: ErasureRow) -> v1::Erasure {
    let at = |millis| instant(Timestamp::from_unix_millis(millis));
    let count = |value| u64::try_from(value).unwrap_or(0);
    let state = match row.ended_at {
        None => ErasureState::Running,
        Some(_) => ErasureState::Done,
    };
    v1::Erasure {
        id: ErasureId::from_uuid(row.id).to_string(),
        state: state.as_str().to_owned(),
        counts: Some(v1::ErasureCounts {
            events: count(row.events),
            deliveries: count(row.deliveries),
            attempts: count(row.attempts),
            messages: count(row.messages),
        }),
        created_at: Some(at(row.created_at)),
        ended_at: row.ended_at.map(at),
    }
}

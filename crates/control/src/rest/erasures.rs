//! Erasures: what was published is forgotten.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::audit::Action;
use domain::key::Need;
use domain::{Problem, Reason};
use proto::status::to_problem;
use proto::v1::start_erasure_request::What;
use proto::v1::{self, GetErasureRequest, StartErasureRequest, Tag};
use serde::Serialize;
use utoipa::ToSchema;

use super::fields::{Fields, invalid};
use super::problem::Answer;
use super::request::{Body, Scope};
use super::shapes::instant;
use crate::core::Control;

/// What to forget: exactly one of these.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "described, not made")]
pub(super) struct StartErasure {
    /// This event.
    #[schema(nullable = false)]
    event_id: Option<String>,
    /// The events that have this tag now: one name and its value.
    #[schema(nullable = false)]
    tag: Option<BTreeMap<String, String>>,
    /// `true`: everything that was published until now. The call takes a second: what
    /// is published after its answer stays.
    #[schema(nullable = false)]
    all: Option<bool>,
}

/// How far an erasure is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Erasure {
    id: String,
    /// `running` or `done`.
    state: String,
    counts: ErasureCounts,
    created_at: Option<String>,
    /// Null while it runs.
    ended_at: Option<String>,
}

/// What is gone so far.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErasureCounts {
    /// Events whose body and tags are no longer recorded.
    events: u64,
    /// Deliveries that were still to be made; of an account, all.
    deliveries: u64,
    /// Recorded attempts.
    attempts: u64,
    /// Messages of streams, removed or rewritten without it.
    messages: u64,
}

impl From<v1::Erasure> for Erasure {
    fn from(erasure: v1::Erasure) -> Self {
        let counts = erasure.counts.unwrap_or_default();
        Self {
            id: erasure.id,
            state: erasure.state,
            counts: ErasureCounts {
                events: counts.events,
                deliveries: counts.deliveries,
                attempts: counts.attempts,
                messages: counts.messages,
            },
            created_at: instant(erasure.created_at),
            ended_at: instant(erasure.ended_at),
        }
    }
}

/// Has events forgotten
///
/// Bodies, tags and attempts go from the history and from every stream, and what
/// is still to be delivered of them ends as `failed` with the reason `erased`. Of
/// single events stays that they were, and what became of their deliveries; of an
/// account's nothing. It takes ten seconds at least; ask how far it is.
#[utoipa::path(post, path = "/v1/accounts/{account}/erasures", tag = "history",
    operation_id = "startErasure", security(("key" = ["admin"])), request_body = StartErasure,
    responses((status = 202, description = "It has begun.", body = Erasure)))]
pub(super) async fn start(
    State(control): State<Control>,
    scope: Scope,
    Body(body): Body,
) -> Answer<(StatusCode, Json<Erasure>)> {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let mut fields = Fields::parse(&body)?;
    let event = fields.optional("event_id", "an event's id")?;
    let tag = fields.optional("tag", "an object with one name and its value")?;
    let all = fields.optional("all", "true")?;
    fields.finish()?;
    let request = StartErasureRequest {
        account: scope.account.to_string(),
        what: Some(what(event, tag, all)?),
    };
    let started = control.history().start_erasure(request).await;
    let started = started.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    let started = started.into_inner();
    scope
        .note(&control, Action::ErasureStarted, &started.id)
        .await;
    Ok((StatusCode::ACCEPTED, Json(started.into())))
}

fn what(
    event: Option<String>,
    tag: Option<BTreeMap<String, String>>,
    all: Option<bool>,
) -> Result<What, Problem> {
    match (event, tag, all) {
        (Some(id), None, None) => Ok(What::EventId(id)),
        (None, Some(tag), None) => {
            let mut pairs = tag.into_iter();
            match (pairs.next(), pairs.next()) {
                (Some((name, value)), None) => Ok(What::Tag(Tag { name, value })),
                _ => Err(invalid(
                    "tag",
                    "name one tag; erase others one by one".to_owned(),
                )),
            }
        }
        (None, None, Some(all)) => Ok(What::All(all)),
        (None, None, None) => {
            let message = "it is missing; send event_id, tag, or all: true".to_owned();
            Err(invalid("event_id", message))
        }
        _ => {
            let message = "send only one of event_id, tag and all".to_owned();
            Err(invalid("event_id", message))
        }
    }
}

/// Shows how far an erasure is
#[utoipa::path(get, path = "/v1/accounts/{account}/erasures/{id}", tag = "history",
    operation_id = "getErasure", security(("key" = ["read"])),
    responses((status = 200, description = "The erasure.", body = Erasure)))]
pub(super) async fn get(State(control): State<Control>, scope: Scope) -> Answer<Json<Erasure>> {
    scope.identity.authorise(&scope.account, Need::Read)?;
    let request = GetErasureRequest {
        account: scope.account.to_string(),
        id: scope.id,
    };
    let erasure = control.history().get_erasure(request).await;
    let erasure = erasure.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    Ok(Json(erasure.into_inner().into()))
}

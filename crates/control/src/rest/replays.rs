//! Replays: a span of events sent to an endpoint again.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::audit::Action;
use domain::key::Need;
use domain::{Problem, Reason, Timestamp};
use proto::status::to_problem;
use proto::v1::{self, CancelReplayRequest, GetReplayRequest, StartReplayRequest};
use serde::Serialize;
use utoipa::ToSchema;

use super::endpoints::endpoint_id;
use super::fields::{Fields, invalid};
use super::problem::Answer;
use super::request::{Body, Scope};
use super::shapes::instant;
use crate::core::Control;

/// Which events to send again.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "described, not made")]
pub(super) struct StartReplay {
    /// Events accepted at or after this instant (RFC 3339), which is past.
    after: String,
    /// Events accepted before this instant (RFC 3339), which is later than
    /// `after`. The future counts as now.
    before: String,
    /// `failed`: events with a failed or cancelled delivery and none that
    /// succeeded. `all`: whatever became of them. Test events are left out.
    status: String,
    /// Only these, which are registered; absent or empty: all.
    #[schema(max_items = 256, nullable = false)]
    event_types: Option<Vec<String>>,
    /// Counts and sends nothing.
    #[schema(default = false, nullable = false)]
    dry_run: Option<bool>,
}

/// How far a replay is. It counts events.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Replay {
    id: String,
    endpoint_id: String,
    /// `dry_run`, `running`, `done` (all that was sent has ended) or
    /// `cancelled`. What was cancelled by a disable counts as ended when no attempt
    /// of it can be under way any more: the attempt's timeout and some seconds later.
    state: String,
    /// Counted when it starts, 100,000 at most; more are counted as they are sent.
    /// Erased events are left out, those too that are erased meanwhile.
    matched: u64,
    /// New deliveries made.
    sent: u64,
    /// Delivered, by the replay or by another delivery meanwhile.
    succeeded: u64,
    /// Retries used up, cancelled, or the body is no longer kept.
    failed: u64,
    after: Option<String>,
    before: Option<String>,
    status: String,
    /// Empty: all.
    event_types: Vec<String>,
    created_at: Option<String>,
    /// Null while something is to be sent or under way.
    ended_at: Option<String>,
}

impl From<v1::Replay> for Replay {
    fn from(replay: v1::Replay) -> Self {
        Self {
            id: replay.id,
            endpoint_id: replay.endpoint_id,
            state: replay.state,
            matched: replay.matched,
            sent: replay.sent,
            succeeded: replay.succeeded,
            failed: replay.failed,
            after: instant(replay.after),
            before: instant(replay.before),
            status: replay.status,
            event_types: replay.event_types,
            created_at: instant(replay.created_at),
            ended_at: instant(replay.ended_at),
        }
    }
}

/// Sends a span of events again
///
/// Each once, as a new delivery with the same `webhook-id`, at the endpoint's
/// rate limit at most and few at once, so that live deliveries get their turn.
/// What succeeds meanwhile is skipped, unless `all` is asked for. A second replay
/// of the same span sends again what is still to be sent. Replays of one endpoint
/// take turns: the next one begins to send when the one before has sent all of its
/// events, or is cancelled, and waits for what that one has under way instead of
/// sending it too.
#[utoipa::path(post, path = "/v1/accounts/{account}/endpoints/{id}/replay", tag = "history",
    operation_id = "startReplay", security(("key" = ["admin"])), request_body = StartReplay,
    responses((status = 202, description = "Accepted, or counted.", body = Replay)))]
pub(super) async fn start(
    State(control): State<Control>,
    scope: Scope,
    Body(body): Body,
) -> Answer<(StatusCode, Json<Replay>)> {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let endpoint = endpoint_id(&scope.id)?;
    let mut fields = Fields::parse(&body)?;
    let dry_run = fields
        .optional("dry_run", "true or false")?
        .unwrap_or(false);
    let request = StartReplayRequest {
        account: scope.account.to_string(),
        endpoint_id: endpoint.to_string(),
        after: Some(take_instant(&mut fields, "after")?),
        before: Some(take_instant(&mut fields, "before")?),
        status: fields.required("status", "failed or all")?,
        event_types: fields
            .optional("event_types", "a list of names")?
            .unwrap_or_default(),
        dry_run,
    };
    fields.finish()?;
    let started = control.history().start_replay(request).await;
    let started = started.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    let started = started.into_inner();
    if !dry_run {
        scope
            .note(&control, Action::ReplayStarted, &started.id)
            .await;
    }
    Ok((StatusCode::ACCEPTED, Json(started.into())))
}

fn take_instant(fields: &mut Fields, name: &str) -> Result<prost_types::Timestamp, Problem> {
    let text: String = fields.required(name, "an instant in RFC 3339")?;
    let at = Timestamp::parse_rfc3339(&text);
    let at = at.ok_or_else(|| {
        let message = "use RFC 3339, e.g. 2026-05-13T12:00:00Z";
        invalid(name, message.to_owned())
    })?;
    Ok(proto::time::to_proto(at))
}

/// Shows how far a replay is
#[utoipa::path(get, path = "/v1/accounts/{account}/replays/{id}", tag = "history",
    operation_id = "getReplay", security(("key" = ["read"])),
    responses((status = 200, description = "The replay.", body = Replay)))]
pub(super) async fn get(State(control): State<Control>, scope: Scope) -> Answer<Json<Replay>> {
    scope.identity.authorise(&scope.account, Need::Read)?;
    let request = GetReplayRequest {
        account: scope.account.to_string(),
        id: scope.id,
    };
    let replay = control.history().get_replay(request).await;
    let replay = replay.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    Ok(Json(replay.into_inner().into()))
}

/// Cancels a replay
///
/// Nothing more is sent; what is under way goes on. Cancelling one that has ended
/// changes nothing.
#[utoipa::path(post, path = "/v1/accounts/{account}/replays/{id}/cancel", tag = "history",
    operation_id = "cancelReplay", security(("key" = ["admin"])),
    responses((status = 200, description = "The replay.", body = Replay)))]
pub(super) async fn cancel(State(control): State<Control>, scope: Scope) -> Answer<Json<Replay>> {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let request = CancelReplayRequest {
        account: scope.account.to_string(),
        id: scope.id.clone(),
    };
    let replay = control.history().cancel_replay(request).await;
    let replay = replay.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    scope
        .note(&control, Action::ReplayCancelled, &scope.id)
        .await;
    Ok(Json(replay.into_inner().into()))
}

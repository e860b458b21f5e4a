//! Attempts as they are made, as server-sent events.

use std::convert::Infallible;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use domain::key::Need;
use domain::{AccountId, Problem, Reason};
use futures::stream::{Stream, StreamExt as _};
use proto::status::to_problem;
use proto::v1::{TailAttemptsRequest, TailAttemptsResponse};
use tonic::Status;
use utoipa::IntoParams;

use super::endpoints::endpoint_id;
use super::problem::{Answer, ProblemDocument};
use super::request::{Query, Scope};
use super::shapes::Attempt;
use crate::core::Control;

/// Which attempts, and since when.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "described, not made")]
pub(super) struct TailQuery {
    /// Those of one endpoint; without it, those of the account.
    endpoint_id: Option<String>,
    /// Goes on behind the event that had this id; so does the header
    /// `Last-Event-ID`. Without either it begins now. One that lies beyond what is
    /// recorded, of before the streams were made anew, is refused.
    cursor: Option<String>,
}

/// Streams attempts as they are made
///
/// Server-sent events, each with a cursor as its `id`: one `cursor` at first, then
/// an `attempt` for each. A `problem` tells why the stream ends. It goes on for as
/// long as the caller reads.
#[utoipa::path(get, path = "/v1/accounts/{account}/attempts/tail", tag = "history",
    operation_id = "tailAttempts", security(("key" = ["read"])), params(TailQuery,
        ("last-event-id" = Option<String>, Header, description = "The same as `cursor`.")),
    responses((status = 200, description = "A stream.", body = Attempt,
        content_type = "text/event-stream")))]
pub(super) async fn attempts(
    State(control): State<Control>,
    scope: Scope,
    headers: HeaderMap,
    mut query: Query,
) -> Answer<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    scope.identity.authorise(&scope.account, Need::Read)?;
    let last = headers.get("last-event-id");
    let last = last
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let request = TailAttemptsRequest {
        account: scope.account.to_string(),
        endpoint_id: match query.text("endpoint_id").as_str() {
            "" => String::new(),
            text => endpoint_id(text)?.to_string(),
        },
        cursor: match query.text("cursor") {
            cursor if cursor.is_empty() => last.to_owned(),
            cursor => cursor,
        },
    };
    query.finish()?;
    let tail = control.history().tail_attempts(request).await;
    let tail = tail.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    let caller = Caller {
        token: proto::metadata::bearer_of(&headers).map(str::to_owned),
        account: scope.account,
        control: control.clone(),
    };
    let events = tail.into_inner().then(move |message| {
        let caller = caller.clone();
        async move { caller.show(message).await }
    });
    let ending = control.ending().cancelled_owned();
    // The first problem is the last event.
    let events = events.scan(false, |ended, (event, is_last)| {
        let shown = (!*ended).then_some(Ok(event));
        *ended = is_last;
        std::future::ready(shown)
    });
    Ok(Sse::new(events.take_until(ending)).keep_alive(KeepAlive::default()))
}

/// Who reads; a key may end before a stream does.
#[derive(Clone)]
struct Caller {
    control: Control,
    account: AccountId,
    token: Option<String>,
}

impl Caller {
    /// The next event, and whether it is the last.
    async fn show(&self, message: Result<TailAttemptsResponse, Status>) -> (Event, bool) {
        let shown = match self.may_read().await {
            Ok(()) => message
                .map_err(|status| to_problem(&status, Reason::HistoryUnavailable))
                .and_then(event),
            Err(problem) => Err(problem),
        };
        match shown {
            Ok(event) => (event, false),
            Err(problem) => (self::problem(problem), true),
        }
    }

    async fn may_read(&self) -> Result<(), Problem> {
        let identity = self.control.authenticate(self.token.as_deref()).await?;
        identity.authorise(&self.account, Need::Read)
    }
}

fn event(message: TailAttemptsResponse) -> Result<Event, Problem> {
    let event = Event::default().id(message.cursor);
    match message.attempt {
        None => Ok(event.event("cursor").data("{}")),
        Some(attempt) => event
            .event("attempt")
            .json_data(Attempt::from(attempt))
            .map_err(|_| Problem::new(Reason::Internal, "an attempt cannot be shown")),
    }
}

fn problem(problem: Problem) -> Event {
    let event = Event::default().event("problem");
    let document = ProblemDocument::from(problem);
    event
        .json_data(document)
        .unwrap_or_else(|_| Event::default().event("problem").data("{}"))
}

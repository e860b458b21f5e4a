//! New rows of "Message History" as they are made, as server-sent events.

use std::convert::Infallible;

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse as _, Sse};
use domain::key::Need;
use domain::{AccountId, Problem, Reason};
use futures::stream::StreamExt as _;
use proto::status::to_problem;
use proto::v1::{TailAttemptsRequest, TailAttemptsResponse};
use tonic::Status;

use super::editor::endpoint_id;
use super::forms::Query;
use super::history::{Filter, Row};
use super::page::Answer;
use super::visitor::{Scope, token};
use crate::core::Control;

#[derive(Template)]
#[template(path = "row.html")]
struct RowFragment<'a> {
    row: Row,
    /// `/accounts/…/attempts`
    attempts: &'a str,
}

/// Streams a `cursor` at first, then a `row` of HTML for each attempt that
/// matches. It ends with the session.
pub(super) async fn rows(
    State(control): State<Control>,
    scope: Scope,
    headers: HeaderMap,
    Query(filter): Query<Filter>,
) -> Answer {
    let last = headers.get("last-event-id");
    let last = last.and_then(|value| value.to_str().ok());
    let request = TailAttemptsRequest {
        account: scope.account.to_string(),
        endpoint_id: endpoint_id(&scope)?.to_string(),
        cursor: last.unwrap_or_default().to_owned(),
    };
    let tail = control.history().tail_attempts(request).await;
    let tail = tail.map_err(|status| to_problem(&status, Reason::HistoryUnavailable))?;
    let reader = Reader {
        attempts: format!("/accounts/{}/attempts", scope.account),
        token: token(&headers).unwrap_or_default().to_owned(),
        account: scope.account,
        control: control.clone(),
        filter,
    };
    let events = tail.into_inner().then(move |message| {
        let reader = reader.clone();
        async move { reader.show(message).await }
    });
    let events = events
        .take_while(|shown| std::future::ready(shown.is_ok()))
        .filter_map(|shown| std::future::ready(shown.ok().flatten()))
        .map(Ok::<_, Infallible>)
        .take_until(control.ending().cancelled_owned());
    Ok(Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response())
}

/// Whoever looks at the table; a session may end before the stream does.
#[derive(Clone)]
struct Reader {
    control: Control,
    token: String,
    account: AccountId,
    filter: Filter,
    attempts: String,
}

impl Reader {
    /// The next event, or nothing if the filter leaves it out.
    ///
    /// # Errors
    ///
    /// When the session or the tail has ended.
    async fn show(
        &self,
        message: Result<TailAttemptsResponse, Status>,
    ) -> Result<Option<Event>, Problem> {
        let session = self.control.session(&self.token).await?;
        session.identity.authorise(&self.account, Need::Read)?;
        let unavailable = |status| to_problem(&status, Reason::HistoryUnavailable);
        let TailAttemptsResponse { attempt, cursor } = message.map_err(unavailable)?;
        let event = Event::default().id(cursor);
        let Some(attempt) = attempt else {
            return Ok(Some(event.event("cursor").data("")));
        };
        if !self.filter.matches(&attempt) {
            return Ok(None);
        }
        let fragment = RowFragment {
            row: attempt.into(),
            attempts: &self.attempts,
        };
        let html = fragment.render().map_err(|_| {
            let detail = "a row cannot be shown";
            Problem::new(Reason::Internal, detail)
        })?;
        Ok(Some(event.event("row").data(html)))
    }
}

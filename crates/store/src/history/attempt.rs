//! One attempt.

use domain::{AccountId, AttemptId, Timestamp};
use sqlx::AssertSqlSafe;

use super::attempts::SUMMARY;
use super::span::Span;
use super::{AttemptRow, AttemptSummary, History, texts};
use crate::Error;

#[derive(Debug, sqlx::FromRow)]
struct DetailColumns {
    url: String,
    request_headers: String,
    response_headers: String,
    response_body: Vec<u8>,
    response_truncated: bool,
    failure_message: String,
    trace_id: String,
    span_id: String,
}

#[derive(Debug, sqlx::FromRow)]
struct AttemptColumns {
    #[sqlx(flatten)]
    summary: AttemptSummary,
    #[sqlx(flatten)]
    detail: DetailColumns,
}

/// What an attempt is shown with: where its delivery stands, and the event as it
/// was POSTed. Each may be gone.
#[derive(Debug, Default, sqlx::FromRow)]
struct Beside {
    state: Option<String>,
    reason: Option<String>,
    last_number: Option<i64>,
    next_attempt_at: Option<i64>,
    body: Option<Vec<u8>>,
    tags: Option<String>,
}

impl History {
    /// One attempt of an account.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn attempt(
        &self,
        account: &AccountId,
        id: AttemptId,
    ) -> Result<Option<AttemptRow>, Error> {
        let Some(AttemptColumns { summary, detail }) = self.attempt_columns(account, id).await?
        else {
            return Ok(None);
        };
        let beside = self.beside(account, &summary).await?;
        let pending = beside.state.is_none() || beside.state.as_deref() == Some("pending");
        let is_latest = beside.last_number == Some(summary.number);
        let next = beside.next_attempt_at.filter(|_| pending && is_latest);
        Ok(Some(AttemptRow {
            url: detail.url,
            request_headers: texts(&detail.request_headers),
            request_body: beside.body,
            response_headers: texts(&detail.response_headers),
            response_body: detail.response_body,
            response_truncated: detail.response_truncated,
            failure_message: detail.failure_message,
            next_attempt_at: next.map(Timestamp::from_unix_millis),
            delivery_state: beside.state.unwrap_or_else(|| "pending".to_owned()),
            delivery_reason: beside.reason.unwrap_or_default(),
            tags: beside.tags.as_deref().map(texts).unwrap_or_default(),
            trace_id: detail.trace_id,
            span_id: detail.span_id,
            summary,
        }))
    }

    async fn attempt_columns(
        &self,
        account: &AccountId,
        id: AttemptId,
    ) -> Result<Option<AttemptColumns>, Error> {
        let text = format!(
            "SELECT {SUMMARY}, url, request_headers, response_headers, response_body, \
             response_truncated, failure_message, trace_id, span_id FROM attempts \
             WHERE id = $1 AND (account = $2) IS TRUE"
        );
        self.named(&text, "started_at", account, id.uuid()).await
    }

    /// Both at once: each question more is a way to the database more.
    async fn beside(&self, account: &AccountId, attempt: &AttemptSummary) -> Result<Beside, Error> {
        let of_deliveries = Span::guesses(attempt.event_id, "d.accepted_at");
        let of_events = Span::guesses(attempt.event_id, "e.accepted_at");
        for (delivery, event) in of_deliveries.zip(of_events) {
            let (in_deliveries, in_events) = (delivery.bounds, event.bounds);
            let text = format!(
                "SELECT d.state, d.reason, d.last_number, d.next_attempt_at, e.body, e.tags \
                 FROM (VALUES (1)) AS told \
                 LEFT JOIN deliveries AS d ON d.event_id = $1 AND d.id = $2{in_deliveries} \
                 LEFT JOIN events AS e ON e.id = $1 AND (e.account = $3) IS TRUE{in_events}"
            );
            let found: Beside = reading!(self.pool, connection => {
                Ok(sqlx::query_as(AssertSqlSafe(text))
                    .bind(attempt.event_id)
                    .bind(attempt.delivery_id)
                    .bind(account.as_str())
                    .persistent(delivery.is_everywhere)
                    .fetch_one(&mut *connection)
                    .await?)
            })?;
            if found.state.is_some() || found.body.is_some() {
                return Ok(found);
            }
        }
        Ok(Beside::default())
    }
}

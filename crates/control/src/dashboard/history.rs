//! "Message History": cards, filters that live in the address, a table.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use domain::{Problem, Reason, Timestamp};
use proto::status::to_problem;
use proto::v1::{Attempt, EndpointStats, GetEndpointStatsRequest, ListAttemptsRequest};
use serde::Deserialize;
use url::form_urlencoded;

use super::editor::{self, endpoint_id};
use super::forms::Query;
use super::page::{Answer, Frame, render};
use super::plain::shown;
use super::visitor::Scope;
use crate::core::{Control, EndpointView};

const PAGE_SIZE: u32 = 20;

/// The time ranges offered: a word of the address, its name, its seconds.
const RANGES: [(&str, &str, u64); 4] = [
    ("1h", "Last hour", 3_600),
    ("24h", "Last 24 hours", 86_400),
    ("7d", "Last 7 days", 7 * 86_400),
    ("30d", "Last 30 days", 30 * 86_400),
];

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    status: String,
    event_type: String,
    range: String,
    /// The HTTP status of the answer.
    response: String,
    event_id: String,
    page: String,
}

impl Filter {
    fn is_set(&self) -> bool {
        !self.to_page("").is_empty()
    }

    /// An empty field matches any.
    pub(super) fn matches(&self, attempt: &Attempt) -> bool {
        let is = |wanted: &str, is: &str| wanted.trim().is_empty() || wanted.trim() == is;
        let status = attempt.response_status.map(|status| status.to_string());
        is(&self.status, &attempt.status)
            && is(&self.event_type, &attempt.event_type)
            && is(&self.event_id, &attempt.event_id)
            && is(&self.response, status.as_deref().unwrap_or_default())
    }

    /// The address of another page under the same filter.
    fn to_page(&self, token: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let fields = [
            ("status", self.status.as_str()),
            ("event_type", &self.event_type),
            ("range", &self.range),
            ("response", &self.response),
            ("event_id", &self.event_id),
            ("page", token),
        ];
        query.extend_pairs(fields.iter().filter(|(_, value)| !value.is_empty()));
        query.finish()
    }

    fn after(&self) -> Option<prost_types::Timestamp> {
        let (.., seconds) = RANGES.iter().find(|(word, ..)| *word == self.range)?;
        let now = Timestamp::from(std::time::SystemTime::now());
        Some(proto::time::to_proto(
            now.minus(Duration::from_secs(*seconds)),
        ))
    }
}

pub(super) struct Row {
    pub(super) id: String,
    pub(super) event_type: String,
    pub(super) succeeded: bool,
    pub(super) response: String,
    pub(super) at: String,
    pub(super) event_id: String,
}

impl From<Attempt> for Row {
    fn from(attempt: Attempt) -> Self {
        Self {
            succeeded: attempt.status == "succeeded",
            response: response(attempt.response_status, &attempt.failure_class),
            at: shown_time(attempt.started_at.as_ref()),
            id: attempt.id,
            event_type: attempt.event_type,
            event_id: attempt.event_id,
        }
    }
}

/// The status, and what went wrong beside it: a 200 whose body never ends is a timeout.
pub(super) fn response(status: Option<u32>, failure_class: &str) -> String {
    let class = failure_class.replace('_', " ");
    match (status, failure_class) {
        (Some(status), "" | "http_status") => status.to_string(),
        (Some(status), _) => format!("{status}, {class}"),
        (None, _) => class,
    }
}

/// `2026-05-13 12:54:54 UTC`
pub(super) fn shown_time(at: Option<&prost_types::Timestamp>) -> String {
    let at = at.and_then(proto::time::from_proto);
    at.map_or_else(String::new, shown)
}

struct Cards {
    total: u64,
    successful: u64,
    failed: u64,
    retrying: u64,
    rate: String,
}

impl From<EndpointStats> for Cards {
    fn from(stats: EndpointStats) -> Self {
        let rate = stats.success_rate;
        Self {
            total: stats.total_messages,
            successful: stats.successful,
            failed: stats.failed,
            retrying: stats.retrying,
            rate: rate.map_or_else(|| "–".to_owned(), |rate| format!("{:.1} %", rate * 100.0)),
        }
    }
}

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    frame: Frame,
    editor: String,
    view: EndpointView,
    /// `/accounts/…/attempts`
    attempts: String,
    cards: Cards,
    filter: Filter,
    ranges: [(&'static str, &'static str, u64); 4],
    rows: Vec<Row>,
    next: Option<String>,
    previous: Option<String>,
    /// Where new rows come from; only the newest page has any.
    live: Option<String>,
    page_size: u32,
}

fn response_status(filter: &str) -> Result<Option<u32>, Problem> {
    match filter.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            let what = "use a number from 100 to 999";
            Problem::of_field(Reason::RequestMalformed, "response", what)
        }),
    }
}

pub(super) async fn show(
    State(control): State<Control>,
    scope: Scope,
    Query(filter): Query<Filter>,
) -> Answer {
    let id = endpoint_id(&scope)?;
    let view = control
        .get_endpoint(&scope.identity, &scope.account, id)
        .await?;
    let after = filter.after();
    let request = ListAttemptsRequest {
        account: scope.account.to_string(),
        endpoint_id: id.to_string(),
        status: filter.status.clone(),
        event_type: filter.event_type.trim().to_owned(),
        event_id: filter.event_id.trim().to_owned(),
        response_status: response_status(&filter.response)?,
        after,
        before: None,
        page_size: PAGE_SIZE,
        page_token: filter.page.clone(),
        ..ListAttemptsRequest::default()
    };
    let counted = GetEndpointStatsRequest {
        account: scope.account.to_string(),
        endpoint_id: id.to_string(),
        after,
        before: None,
    };
    let (mut lists, mut counts) = (control.history(), control.history());
    let listing = lists.list_attempts(request);
    let (listed, stats) = tokio::join!(listing, counts.get_endpoint_stats(counted));
    let unavailable =
        |status: tonic::Status| -> Problem { to_problem(&status, Reason::HistoryUnavailable) };
    let listed = listed.map_err(unavailable)?.into_inner();
    let stats = stats.map_err(unavailable)?.into_inner();
    let link = |token: &str| (!token.is_empty()).then(|| filter.to_page(token));
    let page = HistoryPage {
        frame: Frame::of("Message History", &scope),
        editor: editor::base(&scope),
        attempts: format!("/accounts/{}/attempts", scope.account),
        cards: stats.into(),
        next: link(&listed.next_page_token),
        previous: link(&listed.prev_page_token),
        rows: listed.attempts.into_iter().map(Into::into).collect(),
        live: filter.page.is_empty().then(|| {
            let query = filter.to_page("");
            format!("{}/messages/live?{query}", editor::base(&scope))
        }),
        page_size: PAGE_SIZE,
        ranges: RANGES,
        view,
        filter,
    };
    Ok(render(StatusCode::OK, &page))
}

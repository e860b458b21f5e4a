//! Lists of attempts.

use domain::page::Cursor;
use domain::{AccountId, DeliveryId, EndpointId, EventId, Timestamp};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::page::{Found, LOOKED_AT, is_backwards, missing};
use super::span::Span;
use super::{AttemptSummary, History};
use crate::Error;

/// Which attempts; what is empty or `None` means any.
#[derive(Debug, Clone, Default)]
pub struct AttemptFilter {
    pub endpoint: Option<EndpointId>,
    pub event: Option<EventId>,
    pub delivery: Option<DeliveryId>,
    pub event_type: String,
    /// 32 hex digits.
    pub trace_id: String,
    pub succeeded: Option<bool>,
    /// The HTTP status of the answer.
    pub response_status: Option<u16>,
    pub failure_class: String,
    /// Started at or after.
    pub after: Option<Timestamp>,
    /// Started before.
    pub before: Option<Timestamp>,
}

impl AttemptFilter {
    fn span(&self) -> Span {
        let last = self
            .before
            .map(|before| before.unix_millis().saturating_sub(1));
        let after = self.after.map_or(i64::MIN, Timestamp::unix_millis);
        // None was made before its event was.
        let event = self.event.and_then(|event| Span::near(event.uuid()));
        Span {
            first: event.map_or(after, |event| after.max(event.first)),
            last: last.unwrap_or(i64::MAX),
        }
    }

    /// Whether only attempts that failed can match.
    fn is_of_failures(&self) -> bool {
        let status = self.response_status;
        self.succeeded == Some(false)
            || !self.failure_class.is_empty()
            || status.is_some_and(|status| !(200..300).contains(&status))
    }
}

pub(super) const SUMMARY: &str = "id, number, event_id, event_type, delivery_id, endpoint_id, succeeded, response_status, \
     failure_class, started_at, duration_ms";

/// The index that a list goes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Event,
    Trace,
    FailedOfEndpoint,
    TypeOfEndpoint,
    Endpoint,
    Class,
    Status,
    Failed,
    Account,
}

impl Path {
    /// The one with the fewest rows.
    fn of(filter: &AttemptFilter) -> Self {
        let failures = filter.is_of_failures();
        if filter.event.is_some() {
            return Self::Event;
        }
        if !filter.trace_id.is_empty() {
            return Self::Trace;
        }
        if filter.endpoint.is_some() {
            return match (failures, filter.event_type.is_empty()) {
                (true, _) => Self::FailedOfEndpoint,
                (false, false) => Self::TypeOfEndpoint,
                (false, true) => Self::Endpoint,
            };
        }
        match (
            failures,
            filter.failure_class.is_empty(),
            filter.response_status,
        ) {
            (true, false, _) => Self::Class,
            (true, true, Some(_)) => Self::Status,
            (true, true, None) => Self::Failed,
            (false, ..) => Self::Account,
        }
    }

    /// Whether the index tells everything apart that the filter asks for.
    fn tells_all(self, filter: &AttemptFilter) -> bool {
        let told = AttemptFilter {
            event_type: String::new(),
            after: None,
            before: None,
            succeeded: None,
            endpoint: None,
            ..filter.clone()
        };
        let nothing_else = Self::of(&told) == Self::Account && told.response_status.is_none();
        match self {
            Self::FailedOfEndpoint => nothing_else && filter.event_type.is_empty(),
            Self::TypeOfEndpoint => nothing_else && filter.succeeded.is_none(),
            Self::Endpoint | Self::Account => {
                nothing_else && filter.succeeded.is_none() && filter.event_type.is_empty()
            }
            Self::Failed => filter.event_type.is_empty(),
            Self::Class => filter.event_type.is_empty() && filter.response_status.is_none(),
            Self::Status => filter.event_type.is_empty(),
            Self::Event | Self::Trace => false,
        }
    }
}

/// Adds the conditions that choose an index.
macro_rules! along {
    ($query:ident, $path:expr, $account:expr, $filter:expr) => {{
        let (path, filter): (Path, &AttemptFilter) = ($path, $filter);
        match path {
            Path::Event => {
                let event = filter.event.map(EventId::uuid);
                $query.push("event_id = ").push_bind(event)
            }
            Path::Trace => $query
                .push("trace_id = ")
                .push_bind(filter.trace_id.as_str()),
            Path::FailedOfEndpoint | Path::TypeOfEndpoint | Path::Endpoint => {
                let endpoint = filter.endpoint.map(EndpointId::uuid);
                $query.push("endpoint_id = ").push_bind(endpoint)
            }
            Path::Class | Path::Status | Path::Failed | Path::Account => {
                $query.push("account = ").push_bind($account.as_str())
            }
        };
        match path {
            Path::TypeOfEndpoint => {
                $query
                    .push(" AND event_type = ")
                    .push_bind(filter.event_type.as_str());
            }
            Path::Class => {
                let class = filter.failure_class.as_str();
                $query.push(" AND failure_class = ").push_bind(class);
            }
            Path::Status => {
                let status = filter.response_status.map(i64::from);
                $query.push(" AND response_status = ").push_bind(status);
            }
            _ => {}
        }
        if matches!(
            path,
            Path::FailedOfEndpoint | Path::Class | Path::Status | Path::Failed
        ) {
            // A literal: the indexes of failures are known by it.
            $query.push(" AND succeeded = FALSE");
        }
    }};
}

impl History {
    /// Attempts of an account beyond a cursor, nearest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn attempts(
        &self,
        account: &AccountId,
        filter: &AttemptFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Found<AttemptSummary>, Error> {
        let mut filter = filter.clone();
        if let (Some(delivery), None) = (filter.delivery, filter.event) {
            let Some((_, delivery)) = self.delivery(account, delivery).await? else {
                return Ok(Found {
                    rows: Vec::new(),
                    ended_at: None,
                });
            };
            filter.event = Some(EventId::from_uuid(delivery.event_id));
        }
        let path = Path::of(&filter);
        let exact = path.tells_all(&filter);
        let span = filter.span().beyond(cursor);
        let parts = self.parts(span, cursor, exact);
        let backwards = is_backwards(cursor);
        let limit = limit as usize;
        reading!(self.pool, connection => {
            let mut rows: Vec<AttemptSummary> = Vec::new();
            for part in parts {
                let mut query = QueryBuilder::new(format!(
                    "SELECT {SUMMARY} FROM (SELECT {SUMMARY}, account, trace_id FROM attempts WHERE "
                ));
                along!(query, path, account, &filter);
                let kept = span!(query, "started_at", "id", part, cursor);
                query.push(" LIMIT ").push_bind(LOOKED_AT).push(") AS near WHERE TRUE");
                beside!(query, "account", account.as_str());
                if let Some(endpoint) = filter.endpoint {
                    beside!(query, "endpoint_id", endpoint.uuid());
                }
                if let Some(delivery) = filter.delivery {
                    beside!(query, "delivery_id", delivery.uuid());
                }
                if !filter.event_type.is_empty() {
                    beside!(query, "event_type", filter.event_type.as_str());
                }
                if !filter.trace_id.is_empty() {
                    beside!(query, "trace_id", filter.trace_id.as_str());
                }
                if let Some(succeeded) = filter.succeeded {
                    beside!(query, "succeeded", succeeded);
                }
                if let Some(status) = filter.response_status {
                    beside!(query, "response_status", i64::from(status));
                }
                if !filter.failure_class.is_empty() {
                    beside!(query, "failure_class", filter.failure_class.as_str());
                }
                order!(query, "started_at", "id", backwards);
                query.push(" LIMIT ").push_bind(missing(limit, &rows));
                let found: Vec<AttemptSummary> =
                    query.build_query_as().persistent(kept).fetch_all(&mut *connection).await?;
                rows.extend(found);
                if rows.len() >= limit {
                    return Ok(Found { rows, ended_at: None });
                }
            }
            if exact {
                return Ok(Found { rows, ended_at: None });
            }
            let mut query = QueryBuilder::new("SELECT started_at, id FROM attempts WHERE ");
            along!(query, path, account, &filter);
            let kept = span!(query, "started_at", "id", span, cursor);
            query.push(" LIMIT 1 OFFSET ").push_bind(LOOKED_AT - 1);
            let ended_at: Option<(i64, Uuid)> =
                query.build_query_as().persistent(kept).fetch_optional(&mut *connection).await?;
            Ok(Found { rows, ended_at })
        })
    }
}

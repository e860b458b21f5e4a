//! Lists of attempts.

use domain::page::{Cursor, Direction};
use domain::{AccountId, DeliveryId, EndpointId, EventId, Timestamp};
use sqlx::QueryBuilder;

use super::closed::DayKey;
use super::page::{Found, LOOKED_AT, at_most, is_backwards};
use super::span::{Reach, Span};
use super::{AttemptSummary, DeliveryRow, History};
use crate::Error;

/// Which attempts; what is empty or `None` means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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

    /// How far to look for it, and on which days. Days have events' ids in the order of
    /// time: those of later ones have nothing before their first row.
    fn reach(self, filter: &AttemptFilter) -> Reach<'_> {
        match (self, filter.endpoint) {
            (Self::Event, _) => Reach::OF_ALL,
            (Self::Trace, _) => Reach::OF_ONE.of(DayKey::Trace(&filter.trace_id)),
            (Self::TypeOfEndpoint, Some(endpoint)) => {
                Reach::OF_MANY.of(DayKey::TypeOfEndpoint(endpoint, &filter.event_type))
            }
            _ => Reach::OF_MANY,
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

/// Adds everything that is asked for, beside the index that is chosen.
macro_rules! meant {
    ($query:ident, $account:expr, $filter:expr) => {{
        let filter: &AttemptFilter = $filter;
        beside!($query, "account", $account.as_str());
        if let Some(endpoint) = filter.endpoint {
            beside!($query, "endpoint_id", endpoint.uuid());
        }
        if let Some(delivery) = filter.delivery {
            beside!($query, "delivery_id", delivery.uuid());
        }
        if !filter.event_type.is_empty() {
            beside!($query, "event_type", filter.event_type.as_str());
        }
        if !filter.trace_id.is_empty() {
            beside!($query, "trace_id", filter.trace_id.as_str());
        }
        if let Some(succeeded) = filter.succeeded {
            beside!($query, "succeeded", succeeded);
        }
        if let Some(status) = filter.response_status {
            beside!($query, "response_status", i64::from(status));
        }
        if !filter.failure_class.is_empty() {
            beside!($query, "failure_class", filter.failure_class.as_str());
        }
    }};
}

/// A row of the index that a list goes along.
#[derive(Debug, sqlx::FromRow)]
struct LookedAt {
    #[sqlx(flatten)]
    summary: AttemptSummary,
    /// From 1 on.
    place: i64,
    /// Of those that were looked at; given whether it is meant or not.
    is_last: bool,
    is_meant: bool,
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
                return Ok(Found::default());
            };
            filter.event = Some(EventId::from_uuid(delivery.event_id));
            if let Some(all) = self
                .first_days(account, &filter, cursor, limit, &delivery)
                .await?
            {
                return Ok(all);
            }
        }
        let path = Path::of(&filter);
        let span = filter.span().beyond(cursor);
        let filter = &filter;
        let look =
            move |part, lacking| self.look_along(path, account, filter, part, cursor, lacking);
        self.page(span, cursor, path.reach(filter), limit as usize, look)
            .await
    }

    /// All attempts of a delivery, if its first days have as many as were made. It may be
    /// sent again as long as it is kept, but that is seldom.
    async fn first_days(
        &self,
        account: &AccountId,
        filter: &AttemptFilter,
        cursor: Option<&Cursor>,
        limit: u32,
        delivery: &DeliveryRow,
    ) -> Result<Option<Found<AttemptSummary>>, Error> {
        let nothing_else = AttemptFilter {
            event: filter.event,
            delivery: filter.delivery,
            ..AttemptFilter::default()
        };
        let made = usize::try_from(delivery.attempts).unwrap_or(usize::MAX);
        if *filter != nothing_else || cursor.is_some() || made > limit as usize {
            return Ok(None);
        }
        let days = filter.span().first_days();
        let found = self.look_along(Path::Event, account, filter, days, None, made + 1);
        let found = found.await?;
        Ok(Some(found).filter(|found| found.rows.len() == made && found.ended_at.is_none()))
    }

    /// What an index has in `part` beyond a cursor, nearest first, at most `limit`
    /// rows that are meant.
    async fn look_along(
        &self,
        path: Path,
        account: &AccountId,
        filter: &AttemptFilter,
        part: Span,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Found<AttemptSummary>, Error> {
        let exact = path.tells_all(filter);
        let backwards = is_backwards(cursor);
        let mut cursor = cursor.copied();
        let mut rows_at_once = if exact {
            at_most(limit)
        } else {
            self.first_look()
        };
        reading!(self.pool, connection => {
            let (mut rows, mut left) = (Vec::new(), LOOKED_AT);
            loop {
                let mut query = QueryBuilder::new(format!(
                    "SELECT {SUMMARY}, place, is_last, is_meant FROM (SELECT {SUMMARY}, \
                     row_number() OVER looking AS place, lead(id) OVER looking IS NULL AS is_last, \
                     (TRUE"
                ));
                meant!(query, account, filter);
                query.push(format!(
                    ") AS is_meant FROM (SELECT {SUMMARY}, account, trace_id FROM attempts WHERE "
                ));
                along!(query, path, account, filter);
                span!(query, "started_at", "id", part, cursor.as_ref());
                query.push(" LIMIT ").push_bind(rows_at_once);
                query.push(") AS looked_at WINDOW looking AS (");
                order!(query, "started_at", "id", backwards);
                query.push(")) AS told WHERE is_meant OR is_last");
                order!(query, "started_at", "id", backwards);
                query.push(" LIMIT ").push_bind(at_most(limit - rows.len()) + 1);
                let query = query.build_query_as().persistent(!part.is_short());
                let found: Vec<LookedAt> = query.fetch_all(&mut *connection).await?;
                let last = found.iter().find(|row| row.is_last);
                let last = last.map(|row| (row.place, row.summary.started_at, row.summary.id));
                let meant = found.into_iter().filter(|row| row.is_meant);
                rows.extend(meant.map(|row| row.summary).take(limit - rows.len()));
                let (looked_at, at, id) = last.unwrap_or_default();
                let is_through = exact || looked_at < rows_at_once;
                left -= looked_at;
                if rows.len() >= limit || is_through {
                    return Ok(Found { rows, ended_at: None });
                }
                if left <= 0 {
                    return Ok(Found { rows, ended_at: Some((at, id)) });
                }
                let direction = cursor.map_or(Direction::Next, |cursor| cursor.direction);
                cursor = Some(Cursor { at, id, direction });
                rows_at_once = left;
            }
        })
    }
}

//! Which deliveries a replay is about.

use uuid::Uuid;

use super::ReplayRow;

/// What is left of a replay's span.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    pub(super) endpoint: Uuid,
    /// Events beyond this one, in the order of their time.
    pub(super) cursor: (i64, Uuid),
    pub(super) before: i64,
    pub(super) failed: bool,
    /// Empty: every one.
    pub(super) event_types: Vec<&'a str>,
}

impl<'a> Selection<'a> {
    pub(super) fn of(row: &'a ReplayRow) -> Self {
        Self {
            endpoint: row.endpoint_id,
            cursor: (row.cursor_at, row.cursor_event),
            before: row.before_at,
            failed: row.status == domain::ReplayStatus::Failed.as_str(),
            event_types: row.event_types.split_whitespace().collect(),
        }
    }
}

/// Adds the deliveries `d` of a [`Selection`]. The instant is there beside the
/// pair of instant and id, because only an instant alone tells PostgreSQL which
/// days it need not look at.
macro_rules! which {
    ($query:ident, $selection:expr) => {{
        let selection: &Selection<'_> = &$selection;
        let (at, event) = selection.cursor;
        $query
            .push("FROM deliveries AS d WHERE d.endpoint_id = ")
            .push_bind(selection.endpoint)
            .push(" AND d.accepted_at >= ")
            .push_bind(at)
            .push(" AND (d.accepted_at, d.event_id) > (")
            .push_bind(at)
            .push(", ")
            .push_bind(event)
            .push(") AND d.accepted_at < ")
            .push_bind(selection.before)
            .push(" AND d.cause <> 'test'");
        if selection.failed {
            $query.push(" AND d.state IN ('failed', 'cancelled')");
        }
        if !selection.event_types.is_empty() {
            $query.push(" AND d.event_type IN (");
            let mut names = $query.separated(", ");
            for name in &selection.event_types {
                names.push_bind(*name);
            }
            $query.push(")");
        }
    }};
}
pub(super) use which;

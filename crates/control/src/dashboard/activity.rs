//! What endpoints did in the last 24 hours, as a small chart of the server's.

use std::collections::HashMap;
use std::time::Duration;

use domain::AccountId;
use proto::v1::{BatchGetEndpointActivityRequest, EndpointActivity, HourCounts};
use tokio::time::timeout;
use tracing::debug;

use crate::core::{Control, EndpointView};

const HOURS: u32 = 24;
/// A list does not wait longer for its charts.
const PATIENCE: Duration = Duration::from_secs(2);

/// The chart's measures; each hour has a bar and a gap beside it.
const HEIGHT: u64 = 28;
const PITCH: u64 = 5;

/// A bar for each hour, successes below and failures above.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chart {
    pub(super) bars: Vec<Bar>,
    /// The same in words.
    pub(super) label: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) x: u64,
    pub(super) good_y: u64,
    pub(super) good_height: u64,
    pub(super) bad_y: u64,
    pub(super) bad_height: u64,
}

impl Chart {
    pub(super) fn of(activity: Option<&EndpointActivity>) -> Self {
        let nothing = vec![HourCounts::default(); HOURS as usize];
        let hours = activity.map_or(&nothing, |activity| &activity.hours);
        // What fails and is retried is trouble already.
        let counts: Vec<(u64, u64)> = hours
            .iter()
            .map(|hour| (hour.successful, hour.failed + hour.retrying))
            .collect();
        let tallest = counts.iter().map(|(good, bad)| good + bad).max();
        let tallest = tallest.unwrap_or(0).max(1);
        let bars = counts.iter().zip(0..).map(|(counts, number)| {
            let (good_height, bad_height) = heights(*counts, tallest);
            Bar {
                x: number * PITCH,
                good_y: HEIGHT - good_height,
                good_height,
                bad_y: HEIGHT - good_height - bad_height,
                bad_height,
            }
        });
        let (good, bad) = counts
            .iter()
            .fold((0, 0), |(good, bad), hour| (good + hour.0, bad + hour.1));
        let label = match (good, bad) {
            (0, 0) => "Last 24 hours: no messages".to_owned(),
            _ => format!("Last 24 hours: {good} delivered, {bad} failed or retrying"),
        };
        Self {
            bars: bars.collect(),
            label,
        }
    }
}

/// What there is at all can be seen.
fn heights((good, bad): (u64, u64), tallest: u64) -> (u64, u64) {
    let height = |count: u64| match count {
        0 => 0,
        count => (count * HEIGHT / tallest).max(2),
    };
    let bad_height = height(bad);
    (
        height(good).min(HEIGHT - bad_height.min(HEIGHT)),
        bad_height,
    )
}

/// The charts of these endpoints; without history's help there is none.
pub(super) async fn charts(
    control: &Control,
    account: &AccountId,
    views: &[EndpointView],
) -> HashMap<String, Chart> {
    if views.is_empty() {
        return HashMap::new();
    }
    let request = BatchGetEndpointActivityRequest {
        account: account.to_string(),
        endpoint_ids: views.iter().map(|view| view.id.to_string()).collect(),
        hours: HOURS,
    };
    let mut history = control.history();
    let told = timeout(PATIENCE, history.batch_get_endpoint_activity(request)).await;
    match told {
        Ok(Ok(told)) => {
            let activity = told.into_inner().activity;
            let chart = |view: &EndpointView| {
                let id = view.id.to_string();
                let chart = Chart::of(activity.get(&id));
                (id, chart)
            };
            views.iter().map(chart).collect()
        }
        Ok(Err(status)) => {
            debug!(%status, "history does not tell the activity of endpoints");
            HashMap::new()
        }
        Err(_) => HashMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_the_ground_and_stay_within_the_chart() {
        let hour = |successful, failed, retrying| HourCounts {
            successful,
            failed,
            pending: retrying,
            retrying,
        };
        let hours = vec![
            hour(0, 0, 0),
            hour(1_000, 1, 0),
            hour(1, 0, 500),
            hour(0, 2_000, 0),
        ];
        let chart = Chart::of(Some(&EndpointActivity { hours }));
        assert_eq!(
            chart.label,
            "Last 24 hours: 1001 delivered, 2501 failed or retrying"
        );
        let drawn: Vec<_> = chart
            .bars
            .iter()
            .map(|bar| (bar.good_height, bar.bad_height))
            .collect();
        assert_eq!(drawn, [(0, 0), (14, 2), (2, 7), (0, 28)]);
        for bar in &chart.bars {
            assert_eq!(bar.good_y + bar.good_height, HEIGHT);
            assert_eq!(bar.bad_y + bar.bad_height, bar.good_y);
        }
        assert_eq!(Chart::of(None).label, "Last 24 hours: no messages");
    }
}

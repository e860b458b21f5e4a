//! What the process tells of itself, seen from outside: an OTLP receiver for
//! spans and metrics, `/metrics`, and the logs.

mod agent;
mod levels;
mod metrics;
mod secrets;
mod traces;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use harness::collector::Collector;
use harness::deployment::{Deployment, Mode};
use harness::suite::Scenario;

static COLLECTOR: OnceLock<Collector> = OnceLock::new();

/// Where everything is sent to.
fn collector() -> &'static Collector {
    COLLECTOR.get_or_init(|| Collector::start().expect("a free port can be had"))
}

fn main() -> ExitCode {
    let endpoint: &'static str = collector().endpoint().leak();
    let settings = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        // A batch of 500 events is 2,501 spans at once.
        ("OTEL_BSP_MAX_QUEUE_SIZE", "16384"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
        ("POSTRIDER_RETRY_SCHEDULE", "1s,1s,1s"),
        ("POSTRIDER_LOG", "debug"),
        ("POSTRIDER_LOG_FORMAT", "json"),
    ];
    let ended = harness::suite::run_in_modes(
        settings.leak(),
        &[
            (Mode::Standalone, everything),
            (Mode::Processes, everything),
        ],
    );
    match nothing_secret_was_sent() {
        true => ended,
        false => ExitCode::FAILURE,
    }
}

/// The logs are searched by the suite; this is what was sent beside them.
#[expect(clippy::print_stderr, reason = "this is what the test program reports")]
fn nothing_secret_was_sent() -> bool {
    let told = match collector().secrets_told() {
        Ok(told) => told,
        Err(error) => vec![format!("what was sent cannot be searched: {error:#}")],
    };
    told.iter().for_each(|one| eprintln!("{one}"));
    told.is_empty()
}

fn everything() -> Vec<Scenario<Arc<Deployment>>> {
    let mut scenarios = Vec::new();
    scenarios.extend(traces::scenarios());
    scenarios.extend(metrics::scenarios());
    scenarios.extend(levels::scenarios());
    scenarios.extend(secrets::scenarios());
    scenarios.extend(agent::scenarios());
    scenarios
}

//! The dashboard as people see it: its doors without a browser, and everything
//! else in one, in standalone and as five processes.

mod audit;
mod browser;
mod doors;
mod pages;
mod recipes;
mod snippets;
mod visitor;

use std::process::ExitCode;
use std::sync::Arc;

use harness::deployment::{Deployment, Mode};
use harness::suite::Scenario;

fn main() -> ExitCode {
    harness::suite::run_in_modes(
        &[
            // A failure is seen, and what comes next is far enough away to be read.
            ("POSTRIDER_RETRY_SCHEDULE", "1s,1h"),
            ("POSTRIDER_DELIVERY_TIMEOUT", "3s"),
            ("POSTRIDER_FRAME_ORIGINS", "http://localhost:*"),
            (
                "POSTRIDER_TRACE_URL_TEMPLATE",
                "https://traces.example.com/trace/{trace_id}",
            ),
            (
                "POSTRIDER_BANNER",
                "Pre launch preview: rely on the names of events and fields, not on their order.",
            ),
            ("POSTRIDER_EGRESS_ADDRESSES", "192.0.2.10, 192.0.2.11"),
        ],
        &[
            (Mode::Standalone, everything),
            (Mode::Processes, everything),
        ],
    )
}

fn everything() -> Vec<Scenario<Arc<Deployment>>> {
    let mut scenarios = Vec::new();
    scenarios.extend(doors::scenarios());
    scenarios.extend(audit::scenarios());
    scenarios.extend(pages::scenarios());
    scenarios.extend(recipes::scenarios());
    scenarios.extend(snippets::scenarios());
    scenarios.extend(browser::scenarios());
    scenarios
}

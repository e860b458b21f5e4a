//! The whole line as its users see it: the same scenarios in standalone on
//! SQLite and as five processes on nats-server and PostgreSQL; many of them
//! also as the production overlay runs the roles, on three nats-servers.

mod audit;
mod bad_input;
mod bad_input_grpc;
mod customers;
mod delivery;
mod doors;
mod endpoints;
mod erase;
mod history;
mod keys;
mod listen;
mod openapi;
mod operational;
mod pods;
mod policy;
mod publish;
mod readme;
mod reflection;
mod replay;
mod retention;
mod retry;
mod shell;
mod story;
mod tail;

use std::process::ExitCode;
use std::sync::Arc;

use harness::deployment::{Deployment, Mode};
use harness::suite::{Scenario, run_in_modes};

fn main() -> ExitCode {
    run_in_modes(
        &[
            ("POSTRIDER_RETRY_SCHEDULE", "1s,2s,3s"),
            ("POSTRIDER_DELIVERY_TIMEOUT", "3s"),
        ],
        &[
            (Mode::Standalone, everything),
            (Mode::Processes, everything),
            (Mode::Overlay, what_roles_do_together),
        ],
    )
}

fn everything() -> Vec<Scenario<Arc<Deployment>>> {
    let mut scenarios = Vec::new();
    scenarios.extend(audit::scenarios());
    scenarios.extend(bad_input::scenarios());
    scenarios.extend(bad_input_grpc::scenarios());
    scenarios.extend(customers::scenarios());
    scenarios.extend(delivery::scenarios());
    scenarios.extend(doors::scenarios());
    scenarios.extend(endpoints::scenarios());
    scenarios.extend(erase::scenarios());
    scenarios.extend(history::scenarios());
    scenarios.extend(keys::scenarios());
    scenarios.extend(listen::scenarios());
    scenarios.extend(openapi::scenarios());
    scenarios.extend(operational::scenarios());
    scenarios.extend(policy::scenarios());
    scenarios.extend(publish::scenarios());
    scenarios.extend(readme::scenarios());
    scenarios.extend(reflection::scenarios());
    scenarios.extend(replay::scenarios());
    scenarios.extend(retention::scenarios());
    scenarios.extend(retry::scenarios());
    scenarios.extend(shell::scenarios());
    scenarios.extend(story::scenarios());
    scenarios.extend(tail::scenarios());
    scenarios
}

/// What depends on how the roles are put together; how a call is read does not.
fn what_roles_do_together() -> Vec<Scenario<Arc<Deployment>>> {
    let mut scenarios = pods::scenarios();
    scenarios.extend(delivery::scenarios());
    scenarios.extend(endpoints::scenarios());
    scenarios.extend(history::scenarios());
    scenarios.extend(keys::scenarios());
    scenarios.extend(operational::scenarios());
    scenarios.extend(publish::scenarios());
    scenarios.extend(replay::scenarios());
    scenarios.extend(retry::scenarios());
    scenarios.extend(tail::scenarios());
    // As many endpoints at once keep three servers on one disk busy for longer
    // than a call may take.
    scenarios.retain(|one| !one.name.contains("a_thousand_events_right_after"));
    scenarios
}

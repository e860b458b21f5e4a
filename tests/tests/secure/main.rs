//! What keeps strangers out and secrets in. Each scenario has a deployment of
//! its own.

mod described;
mod limits;
mod planted;
mod rotation;
mod tls;

use std::process::ExitCode;
use std::sync::Arc;

use harness::deployment::Mode;
use harness::suite::{Scenario, runtime, trial};
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One at a time: each wants its own peace.
    arguments.test_threads = Some(1);
    let runtime = runtime();
    let mut trials = Vec::new();
    for mode in [Mode::Standalone, Mode::Processes] {
        trials.extend(in_mode(&runtime, mode, planted::scenarios()));
        trials.extend(in_mode(&runtime, mode, rotation::scenarios()));
    }
    trials.extend(in_mode(&runtime, Mode::Standalone, described::scenarios()));
    trials.extend(in_mode(&runtime, Mode::Standalone, limits::scenarios()));
    trials.extend(in_mode(&runtime, Mode::Processes, tls::scenarios()));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn in_mode(runtime: &Arc<Runtime>, mode: Mode, scenarios: Vec<Scenario<Mode>>) -> Vec<Trial> {
    scenarios
        .into_iter()
        .map(|scenario| trial(runtime, mode.name(), scenario, move || Ok(mode)))
        .collect()
}

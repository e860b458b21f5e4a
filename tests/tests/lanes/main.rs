//! The dispatcher's promises, shown with real processes: one customer's server,
//! limit or backlog is felt by nobody else, and several dispatchers share the
//! work and lose none of it.

#![expect(
    clippy::print_stdout,
    reason = "figures for whoever reads the test's output"
)]

mod backlog;
mod breaker;
mod gone;
mod hostile;
mod load;
mod operational;
mod owners;
mod pace;
mod partitions;
mod share;
mod world;

use std::process::ExitCode;

use harness::suite::{runtime, trial};
use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One at a time: each watches times, and wants its own peace.
    arguments.test_threads = Some(1);
    let runtime = runtime();
    let scenarios = [
        ("pace", pace::scenarios()),
        ("partitions", partitions::scenarios()),
        ("owners", owners::scenarios()),
        ("hostile", hostile::scenarios()),
        ("breaker", breaker::scenarios()),
        ("gone", gone::scenarios()),
        ("operational", operational::scenarios()),
        ("backlog", backlog::scenarios()),
        ("share", share::scenarios()),
    ];
    let trials = scenarios.into_iter().flat_map(|(group, scenarios)| {
        let runtime = &runtime;
        let trials = scenarios.into_iter();
        trials.map(move |scenario| trial(runtime, group, scenario, || Ok(())))
    });
    harness::suite::run(&arguments, trials.collect())
}

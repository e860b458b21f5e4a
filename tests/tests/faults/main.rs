//! What a deployment lives through: processes killed, nats-server away, the
//! database away. Each scenario has a deployment of its own.

#![expect(
    clippy::print_stdout,
    reason = "figures for whoever reads the test's output"
)]

mod chaos;
mod cluster;
mod disk;
mod erasure;
mod outages;
mod quarantine;
mod repartition;
mod replay;
mod rolling;
mod sweep;
mod tails;

use std::process::ExitCode;

use harness::deployment::Mode;
use harness::suite::{in_mode, runtime};
use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One at a time: each wants the whole machine, and its own peace.
    arguments.test_threads = Some(1);
    let runtime = runtime();
    let mut trials = Vec::new();
    for mode in [Mode::Standalone, Mode::Processes] {
        trials.extend(in_mode(&runtime, mode, chaos::scenarios()));
        trials.extend(in_mode(&runtime, mode, outages::in_both_modes()));
        trials.extend(in_mode(&runtime, mode, replay::scenarios()));
        trials.extend(in_mode(&runtime, mode, erasure::scenarios()));
        trials.extend(in_mode(&runtime, mode, sweep::in_both_modes()));
        trials.extend(in_mode(&runtime, mode, quarantine::scenarios()));
        trials.extend(in_mode(&runtime, mode, tails::scenarios()));
    }
    trials.extend(in_mode(
        &runtime,
        Mode::Processes,
        outages::with_processes(),
    ));
    trials.extend(in_mode(&runtime, Mode::Processes, sweep::with_processes()));
    trials.extend(in_mode(&runtime, Mode::Standalone, disk::in_standalone()));
    trials.extend(in_mode(&runtime, Mode::Processes, disk::with_processes()));
    trials.extend(in_mode(&runtime, Mode::Overlay, disk::in_the_overlay()));
    for mode in [Mode::Processes, Mode::Overlay] {
        trials.extend(in_mode(&runtime, mode, repartition::scenarios()));
    }
    trials.extend(in_mode(&runtime, Mode::Processes, rolling::scenarios()));
    trials.extend(in_mode(&runtime, Mode::Overlay, cluster::scenarios()));
    harness::suite::run(&arguments, trials)
}

//! What keeps strangers out and secrets in. Each scenario has a deployment of
//! its own.

mod described;
mod limits;
mod planted;
mod proxies;
mod rotation;
mod slow;
mod tls;
mod verification;

use std::process::ExitCode;

use harness::deployment::Mode;
use harness::suite::{in_mode, runtime};
use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One at a time: each wants its own peace.
    arguments.test_threads = Some(1);
    let runtime = runtime();
    let mut trials = Vec::new();
    for mode in [Mode::Standalone, Mode::Processes] {
        trials.extend(in_mode(&runtime, mode, planted::scenarios()));
        trials.extend(in_mode(&runtime, mode, rotation::scenarios()));
        trials.extend(in_mode(&runtime, mode, verification::scenarios()));
    }
    trials.extend(in_mode(&runtime, Mode::Standalone, described::scenarios()));
    trials.extend(in_mode(&runtime, Mode::Standalone, limits::scenarios()));
    trials.extend(in_mode(&runtime, Mode::Standalone, proxies::scenarios()));
    trials.extend(in_mode(&runtime, Mode::Standalone, slow::scenarios()));
    trials.extend(in_mode(&runtime, Mode::Processes, tls::scenarios()));
    harness::suite::run(&arguments, trials)
}

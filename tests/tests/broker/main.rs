//! What JetStream promises the dispatchers, against a real nats-server:
//! leases, consumers that belong to an owner, parking, records read back, and what a replica that lags says.

mod leases;
mod owned;
mod park;
mod records;
mod replicas;
mod world;

use std::process::ExitCode;

use harness::suite::{Scenario, runtime, trial};
use libtest_mimic::{Arguments, Trial};
use world::World;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // These measure, and each has a server of its own.
    arguments.test_threads = Some(1);
    let runtime = runtime();
    let mut trials: Vec<Trial> = Vec::new();
    for (prefix, scenarios) in [
        ("leases", leases::scenarios()),
        ("owned", owned::scenarios()),
        ("park", park::scenarios()),
        ("records", records::scenarios()),
        ("replicas", replicas::scenarios()),
    ] {
        let scenarios: Vec<Scenario<World>> = scenarios;
        for scenario in scenarios {
            let handle = runtime.clone();
            trials.push(trial(&runtime, prefix, scenario, move || {
                handle.block_on(World::start())
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

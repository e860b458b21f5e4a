//! `make bench`: what Postrider does a second and what that costs, each figure
//! beside what the bare HTTP client and sink do in the same run.
//!
//! Three kinds of process take part besides Postrider's own: this one, which
//! publishes; the sink, which is all endpoints; and the raw client. The latter
//! two are this program too, under a hidden subcommand.

mod arrivals;
mod beside;
mod chart;
mod clock;
mod docs;
mod machine;
mod measured;
mod meter;
mod options;
mod outcome;
mod payload;
mod perf;
mod publish;
mod raw;
mod report;
mod scenarios;
mod sink;
mod streams;
mod world;

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::machine::Machine;
use crate::options::Options;
use crate::outcome::Outcome;
use crate::scenarios::Scenario;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(sink::SUBCOMMAND) => sink::main(),
        Some(raw::SUBCOMMAND) => {
            let _runtime = harness::suite::runtime();
            raw::main(&arguments[1..])
        }
        _ => bench(&Options::parse(arguments)?),
    }
}

#[expect(clippy::print_stdout, reason = "this is what the program reports")]
fn bench(options: &Options) -> Result<()> {
    if options.list {
        for scenario in scenarios::ALL {
            println!("{:<18} {}", scenario.name, scenario.about);
        }
        return Ok(());
    }
    let chosen = chosen(options)?;
    let runtime = harness::suite::runtime();
    let machine = Machine::this();
    println!("{}", machine.line());
    let path = report::json_path()?;
    let started = Instant::now();
    let mut outcomes = Vec::new();
    for scenario in chosen {
        let found = runtime.block_on(run(scenario, options))?;
        found
            .iter()
            .for_each(|one| println!("{}", report::table(one)));
        outcomes.extend(found);
        // After each, so that a later failure costs nothing.
        report::write_json(&path, &machine, options, &outcomes)?;
    }
    if options.write_docs {
        let docs = docs::write(&machine, options, &outcomes)?;
        println!("written to {}", docs.display());
    }
    println!(
        "{:.0} s in all; written to {}",
        started.elapsed().as_secs_f64(),
        path.display()
    );
    Ok(())
}

fn chosen(options: &Options) -> Result<Vec<Scenario>> {
    let all = scenarios::ALL;
    for name in &options.scenarios {
        let known = all.iter().any(|scenario| scenario.name == name);
        ensure!(known, "there is no scenario `{name}`; --list names them");
    }
    let wanted = |scenario: &&Scenario| {
        options.scenarios.is_empty() || options.scenarios.iter().any(|name| name == scenario.name)
    };
    Ok(all.iter().filter(wanted).copied().collect())
}

/// Runs it as often as asked for; an outcome for each of its setups.
async fn run(scenario: Scenario, options: &Options) -> Result<Vec<Outcome>> {
    let mut runs = Vec::new();
    for _ in 0..options.runs {
        runs.push((scenario.run)(options.clone()).await?);
    }
    let setups = runs.first().map_or(0, Vec::len);
    let of_setup = |index: usize| -> Vec<Outcome> {
        runs.iter()
            .map(|outcomes| outcomes[index].clone())
            .collect()
    };
    Ok((0..setups)
        .map(|index| outcome::median(&of_setup(index)))
        .collect())
}

//! The figures in `docs/performance.md`, between two marks, and their chart.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::chart;
use crate::machine::Machine;
use crate::options::Options;
use crate::outcome::Outcome;
use crate::report::{number, wanted};

const BEGIN: &str = "<!-- figures: written by `make bench SCENARIOS=--write-docs` -->";
const END: &str = "<!-- end of figures -->";

/// Replaces the figures and the chart; which file was written.
///
/// # Errors
///
/// When the marks are not there or a file cannot be written.
pub(crate) fn write(machine: &Machine, options: &Options, outcomes: &[Outcome]) -> Result<PathBuf> {
    let docs = harness::repository().join("docs");
    let path = docs.join("performance.md");
    let text = std::fs::read_to_string(&path)?;
    let (before, rest) = text.split_once(BEGIN).context("the mark before figures")?;
    let (_, after) = rest.split_once(END).context("the mark behind figures")?;
    let figures = figures(machine, options, outcomes);
    std::fs::write(&path, format!("{before}{BEGIN}\n{figures}\n{END}{after}"))?;
    std::fs::write(docs.join("performance.svg"), chart::svg(outcomes))?;
    Ok(path)
}

fn figures(machine: &Machine, options: &Options, outcomes: &[Outcome]) -> String {
    let mut text = format!(
        "\nMeasured on {}. {}.\n\n![The main figures](performance.svg)\n",
        machine.line(),
        match options.runs {
            1 => "One run".to_owned(),
            runs => format!("Medians of {runs} runs"),
        }
    );
    for outcome in outcomes {
        text += &table(outcome);
    }
    text
}

fn table(outcome: &Outcome) -> String {
    let mut text = format!(
        "\n### {}: {}\nLoad average before: {:.2}\n\n| figure | value | target |\n| --- | ---: | --- |\n",
        outcome.scenario, outcome.variant, outcome.load_before
    );
    for figure in &outcome.figures {
        let target = figure.target.map_or(String::new(), |target| {
            let met = if target.is_met(figure.value) {
                "met"
            } else {
                "**missed**"
            };
            format!("{}: {met}", wanted(target))
        });
        let _ = writeln!(
            text,
            "| {} | {} {} | {target} |",
            figure.name,
            number(figure.value),
            figure.unit
        );
    }
    for note in &outcome.notes {
        let _ = writeln!(text, "\n{note}");
    }
    text
}

//! The figures in `docs/performance.md`, between two marks, and their chart.
//! `docs/performance.json` holds what was measured last of each scenario, so that
//! measuring some again leaves the others as they are.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::chart;
use crate::machine::Machine;
use crate::measured::{Measured, MeasuredFigure};
use crate::options::Options;
use crate::outcome::Outcome;
use crate::report::number;
use crate::scenarios;

const BEGIN: &str = "<!-- figures: written by `make bench SCENARIOS=--write-docs` -->";
const END: &str = "<!-- end of figures -->";

fn table(measured: &Measured) -> String {
    let runs = match measured.runs {
        1 => "One run".to_owned(),
        runs => format!("Medians of {runs} runs, with the lowest and the highest"),
    };
    let mut text = format!(
        "\n### {}: {}\n{runs}, on {}; load average before: {:.2}\n\n\
         | figure | value | target |\n| --- | ---: | --- |\n",
        measured.scenario, measured.variant, measured.machine, measured.load_before
    );
    for figure in &measured.figures {
        let _ = writeln!(text, "{}", row(figure));
    }
    for note in &measured.notes {
        let _ = writeln!(text, "\n{note}");
    }
    text
}

fn row(figure: &MeasuredFigure) -> String {
    let value = number(figure.value.unwrap_or(f64::NAN));
    let runs = || figure.runs.iter().copied();
    let range = runs().reduce(f64::min).zip(runs().reduce(f64::max));
    let range = range.map_or(String::new(), |(lowest, highest)| {
        format!(" ({} to {})", number(lowest), number(highest))
    });
    let target = match (&figure.target, figure.met) {
        (Some(wanted), Some(true)) => format!("{wanted}: met"),
        (Some(wanted), _) => format!("{wanted}: **missed**"),
        (None, _) => String::new(),
    };
    format!(
        "| {} | {value}{range} {} | {target} |",
        figure.name, figure.unit
    )
}

/// Replaces the figures of these scenarios in these setups, and draws the chart anew; which page
/// was written.
///
/// # Errors
///
/// When the marks are not there, or a file cannot be read or written.
pub(crate) fn write(machine: &Machine, options: &Options, outcomes: &[Outcome]) -> Result<PathBuf> {
    let docs = harness::repository().join("docs");
    let kept = docs.join("performance.json");
    let mut all: Vec<Measured> = match std::fs::read(&kept) {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(_) => Vec::new(),
    };
    let is_new = |one: &Measured| {
        let same = |new: &Outcome| new.scenario == one.scenario && new.variant == one.variant;
        outcomes.iter().any(same)
    };
    all.retain(|one| !is_new(one));
    let new = outcomes.iter();
    all.extend(new.map(|outcome| Measured::of(outcome, machine, options)));
    all.sort_by_key(|one| scenarios::ALL.iter().position(|of| of.name == one.scenario));
    std::fs::write(&kept, serde_json::to_string_pretty(&all)? + "\n")?;

    let path = docs.join("performance.md");
    let text = std::fs::read_to_string(&path)?;
    let (before, rest) = text.split_once(BEGIN).context("the mark before figures")?;
    let (_, after) = rest.split_once(END).context("the mark behind figures")?;
    let tables: String = all.iter().map(table).collect();
    let figures = format!("\n![The main figures](performance.svg)\n{tables}");
    std::fs::write(&path, format!("{before}{BEGIN}\n{figures}\n{END}{after}"))?;
    std::fs::write(docs.join("performance.svg"), chart::svg(&all))?;
    Ok(path)
}

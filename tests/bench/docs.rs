//! The figures in `docs/performance.md`, between two marks, and their chart.
//! `docs/performance.json` holds what was measured last of each scenario, so that
//! measuring some again leaves the others as they are.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::chart;
use crate::machine::Machine;
use crate::options::Options;
use crate::outcome::{Figure, Outcome};
use crate::report::{number, wanted};
use crate::scenarios;

const BEGIN: &str = "<!-- figures: written by `make bench SCENARIOS=--write-docs` -->";
const END: &str = "<!-- end of figures -->";

/// What was measured of a scenario in one setup.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) scenario: String,
    pub(crate) variant: String,
    machine: String,
    load_before: f64,
    /// The values are medians of so many runs.
    runs: usize,
    figures: Vec<MeasuredFigure>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct MeasuredFigure {
    name: String,
    /// `None`: there was none.
    value: Option<f64>,
    unit: String,
    /// The lowest and the highest of several runs.
    range: Option<(f64, f64)>,
    /// In words, and whether it was met.
    target: Option<(String, bool)>,
}

impl Measured {
    fn of(outcome: &Outcome, machine: &Machine, options: &Options) -> Self {
        Self {
            scenario: outcome.scenario.to_owned(),
            variant: outcome.variant.clone(),
            machine: machine.line(),
            load_before: outcome.load_before,
            runs: options.runs,
            figures: outcome.figures.iter().map(MeasuredFigure::of).collect(),
            notes: outcome.notes.clone(),
        }
    }

    /// A figure's value, NaN if there is none.
    pub(crate) fn value(&self, name: &str) -> f64 {
        let figure = self.figures.iter().find(|figure| figure.name == name);
        figure.and_then(|figure| figure.value).unwrap_or(f64::NAN)
    }

    fn table(&self) -> String {
        let runs = match self.runs {
            1 => "One run".to_owned(),
            runs => format!("Medians of {runs} runs, with the lowest and the highest"),
        };
        let mut text = format!(
            "\n### {}: {}\n{runs}, on {}; load average before: {:.2}\n\n\
             | figure | value | target |\n| --- | ---: | --- |\n",
            self.scenario, self.variant, self.machine, self.load_before
        );
        for figure in &self.figures {
            let _ = writeln!(text, "{}", figure.row());
        }
        for note in &self.notes {
            let _ = writeln!(text, "\n{note}");
        }
        text
    }
}

impl MeasuredFigure {
    fn of(figure: &Figure) -> Self {
        let finite = |value: f64| value.is_finite().then_some(value);
        let lowest = figure.runs.iter().copied().reduce(f64::min);
        let highest = figure.runs.iter().copied().reduce(f64::max);
        Self {
            name: figure.name.clone(),
            value: finite(figure.value),
            unit: figure.unit.to_owned(),
            range: lowest.and_then(finite).zip(highest.and_then(finite)),
            target: figure
                .target
                .map(|target| (wanted(target), target.is_met(figure.value))),
        }
    }

    fn row(&self) -> String {
        let value = number(self.value.unwrap_or(f64::NAN));
        let range = self.range.map_or(String::new(), |(lowest, highest)| {
            format!(" ({} to {})", number(lowest), number(highest))
        });
        let target = match &self.target {
            None => String::new(),
            Some((wanted, true)) => format!("{wanted}: met"),
            Some((wanted, false)) => format!("{wanted}: **missed**"),
        };
        format!(
            "| {} | {value}{range} {} | {target} |",
            self.name, self.unit
        )
    }
}

/// Replaces the figures of these scenarios, and draws the chart anew; which page
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
    all.retain(|one| outcomes.iter().all(|new| new.scenario != one.scenario));
    let new = outcomes.iter();
    all.extend(new.map(|outcome| Measured::of(outcome, machine, options)));
    all.sort_by_key(|one| scenarios::ALL.iter().position(|of| of.name == one.scenario));
    std::fs::write(&kept, serde_json::to_string_pretty(&all)? + "\n")?;

    let path = docs.join("performance.md");
    let text = std::fs::read_to_string(&path)?;
    let (before, rest) = text.split_once(BEGIN).context("the mark before figures")?;
    let (_, after) = rest.split_once(END).context("the mark behind figures")?;
    let tables: String = all.iter().map(Measured::table).collect();
    let figures = format!("\n![The main figures](performance.svg)\n{tables}");
    std::fs::write(&path, format!("{before}{BEGIN}\n{figures}\n{END}{after}"))?;
    std::fs::write(docs.join("performance.svg"), chart::svg(&all))?;
    Ok(path)
}

//! What was measured, as it is kept: in the JSON of a run, and for the docs.

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::options::Options;
use crate::outcome::{Figure, Outcome};
use crate::report::wanted;

/// What was measured of a scenario in one setup.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) scenario: String,
    pub(crate) variant: String,
    /// In one line.
    pub(crate) machine: String,
    pub(crate) load_before: f64,
    /// The values are medians of so many runs.
    pub(crate) runs: usize,
    pub(crate) figures: Vec<MeasuredFigure>,
    pub(crate) notes: Vec<String>,
}

/// One of its figures.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MeasuredFigure {
    pub(crate) name: String,
    /// `None`: there was none.
    pub(crate) value: Option<f64>,
    pub(crate) unit: String,
    /// In words.
    pub(crate) target: Option<String>,
    pub(crate) met: Option<bool>,
    /// Of each run, if there were several.
    pub(crate) runs: Vec<f64>,
}

impl Measured {
    pub(crate) fn of(outcome: &Outcome, machine: &Machine, options: &Options) -> Self {
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
}

impl MeasuredFigure {
    fn of(figure: &Figure) -> Self {
        let runs = figure.runs.iter().copied();
        Self {
            name: figure.name.clone(),
            value: figure.value.is_finite().then_some(figure.value),
            unit: figure.unit.to_owned(),
            target: figure.target.map(wanted),
            met: figure.target.map(|target| target.is_met(figure.value)),
            runs: runs.filter(|value| value.is_finite()).collect(),
        }
    }
}

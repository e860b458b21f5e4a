//! What a scenario found.

use std::path::PathBuf;

use anyhow::Result;
use harness::deployment::Deployment;

use crate::meter::{Disk, Usage};
use crate::options::Options;

/// One row of a table.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) target: Option<Target>,
    /// Of each run, if there were several; `value` is their median then.
    pub(crate) runs: Vec<f64>,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    /// Whether the value is as it should be. NaN never is.
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(limit) => value >= limit,
            Self::AtMost(limit) => value <= limit,
        }
    }
}

/// A scenario's figures in one setup.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) scenario: &'static str,
    /// How it was deployed, and what else sets it apart.
    pub(crate) variant: String,
    pub(crate) load_before: f64,
    pub(crate) figures: Vec<Figure>,
    /// What went wrong or has to be known.
    pub(crate) notes: Vec<String>,
    /// Profiles, if they were asked for.
    pub(crate) profiles: Vec<PathBuf>,
}

impl Outcome {
    /// Nothing yet.
    pub(crate) fn new(scenario: &'static str, variant: String, load_before: f64) -> Self {
        Self {
            scenario,
            variant,
            load_before,
            figures: Vec::new(),
            notes: Vec::new(),
            profiles: Vec::new(),
        }
    }

    /// Adds a figure.
    pub(crate) fn figure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.against(name, value, unit, None);
    }

    /// Adds a figure that should be as `target` says.
    pub(crate) fn against(
        &mut self,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        target: impl Into<Option<Target>>,
    ) {
        self.figures.push(Figure {
            name: name.into(),
            value,
            unit,
            target: target.into(),
            runs: Vec::new(),
        });
    }

    /// Adds a note.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Notes that [`Options::scaled_or_part`] took a part, if it did.
    pub(crate) fn part(&mut self, options: &Options) {
        if options.scenarios.is_empty() {
            self.note("a part of it, since everything is run; by name it is the whole");
        }
    }

    /// Notes the first errors that the logs hold.
    ///
    /// # Errors
    ///
    /// When a log cannot be read.
    pub(crate) fn errors(&mut self, deployment: &Deployment) -> Result<()> {
        let errors = deployment.errors_logged()?;
        self.figure("errors logged", errors.len() as f64, "");
        self.notes.extend(errors.into_iter().take(3));
        Ok(())
    }

    /// Notes if something had not come to its end when nothing moved any more.
    pub(crate) fn ended(&mut self, all: bool) {
        if !all {
            self.note("it stood still before all had arrived and been recorded");
        }
    }

    /// Adds what the processes used for so many deliveries, with a target for
    /// the CPU seconds of all of them for 1,000 deliveries.
    pub(crate) fn usage(&mut self, usage: &[Usage], deliveries: usize, target: Option<Target>) {
        let thousands = deliveries as f64 / 1_000.0;
        let all: f64 = usage.iter().map(|usage| usage.cpu_seconds).sum();
        let unit = "CPU s / 1,000";
        self.against("cpu, all", all / thousands, unit, target);
        for usage in usage {
            let name = format!("cpu, {}", usage.process);
            self.figure(name, usage.cpu_seconds / thousands, unit);
        }
        self.memory(usage);
    }

    /// Adds the peak memory of each process.
    pub(crate) fn memory(&mut self, usage: &[Usage]) {
        for usage in usage {
            let megabytes = usage.peak_memory_bytes as f64 / 1e6;
            self.figure(format!("peak memory, {}", usage.process), megabytes, "MB");
        }
    }

    /// Adds what came to the disk for so many events.
    pub(crate) fn disk(&mut self, disk: Disk, events: u32) {
        let per_event = |bytes: u64| bytes as f64 / f64::from(events);
        self.figure(
            "disk, jetstream",
            per_event(disk.jetstream_bytes),
            "B / event",
        );
        self.figure(
            "disk, database",
            per_event(disk.database_bytes),
            "B / event",
        );
    }

    /// A figure's value, NaN if there is none.
    pub(crate) fn value(&self, name: &str) -> f64 {
        let figure = self.figures.iter().find(|figure| figure.name == name);
        figure.map_or(f64::NAN, |figure| figure.value)
    }
}

/// One outcome whose figures are the medians of those of several runs.
///
/// # Panics
///
/// When there is none.
pub(crate) fn median(outcomes: &[Outcome]) -> Outcome {
    let mut median = outcomes.first().expect("at least one run").clone();
    if outcomes.len() == 1 {
        return median;
    }
    for figure in &mut median.figures {
        let mut values: Vec<f64> = outcomes
            .iter()
            .map(|outcome| outcome.value(&figure.name))
            .collect();
        figure.runs.clone_from(&values);
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        figure.value = match values.len() % 2 {
            0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
    }
    let notes = outcomes.iter().flat_map(|outcome| outcome.notes.clone());
    median.notes = notes.collect();
    let profiles = outcomes.iter().flat_map(|outcome| outcome.profiles.clone());
    median.profiles = profiles.collect();
    median
}

//! The command line.

use anyhow::{Context, Result, bail};

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Names of scenarios; none means all.
    pub(crate) scenarios: Vec<String>,
    /// How often each is run.
    pub(crate) runs: usize,
    /// Multiplies the number of events.
    pub(crate) scale: f64,
    /// Keep a profile of each server process.
    pub(crate) perf: bool,
    /// Names a deployment to stay with: `1s`, `always` or `processes`.
    pub(crate) only: Option<String>,
    pub(crate) list: bool,
    pub(crate) write_docs: bool,
}

pub(crate) const USAGE: &str = "\
usage: make bench SCENARIOS=\"[scenario ...] [option ...]\"
  --list         names the scenarios
  --runs N       runs each N times and prints medians
  --scale F      multiplies the number of events, e.g. 0.1
  --only SETUP   of a scenario with several setups: 1s, always or processes
  --perf         keeps a profile (perf record -g) of each server process
  --write-docs   writes the figures into docs/performance.md and .svg";

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    ///
    /// Names the argument that is not right.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            scenarios: Vec::new(),
            runs: 1,
            scale: 1.0,
            perf: false,
            only: None,
            list: false,
            write_docs: false,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .with_context(|| format!("{argument} what?"))
            };
            match argument.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--list" => options.list = true,
                "--perf" => options.perf = true,
                "--write-docs" => options.write_docs = true,
                "--runs" => options.runs = value()?.parse().context("--runs")?,
                "--scale" => options.scale = value()?.parse().context("--scale")?,
                "--only" => options.only = Some(value()?),
                name if !name.starts_with('-') => options.scenarios.push(name.to_owned()),
                _ => bail!("`{argument}` is not an option\n{USAGE}"),
            }
        }
        Ok(options)
    }

    /// A number of events, scaled.
    pub(crate) fn scaled(&self, count: u32) -> u32 {
        ((f64::from(count) * self.scale) as u32).max(1)
    }

    /// The same, but a `part` of it when every scenario is run, to stay within
    /// the time for that.
    pub(crate) fn scaled_or_part(&self, count: u32, part: f64) -> u32 {
        let part = if self.scenarios.is_empty() { part } else { 1.0 };
        self.scaled((f64::from(count) * part) as u32)
    }

    /// Whether a setup of this name is wanted.
    pub(crate) fn wants(&self, setup: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == setup)
    }
}

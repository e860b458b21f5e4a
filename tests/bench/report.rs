//! What the bench program prints and writes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde_json::json;

use crate::machine::Machine;
use crate::measured::Measured;
use crate::options::Options;
use crate::outcome::{Figure, Outcome, Target};

/// Where the program writes: `bench` in the build's own folder.
///
/// # Errors
///
/// When it cannot be made.
pub(crate) fn output_dir() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own
        .ancestors()
        .nth(3)
        .context("it runs from target/<profile>/deps")?;
    let dir = target.join("bench");
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// An outcome as a table for people.
pub(crate) fn table(outcome: &Outcome) -> String {
    let mut text = format!(
        "\n{} · {} · load before {:.2}\n",
        outcome.scenario, outcome.variant, outcome.load_before
    );
    for figure in &outcome.figures {
        let _ = writeln!(
            text,
            "  {:<34} {:>12} {:<14} {}",
            figure.name,
            number(figure.value),
            figure.unit,
            judged(figure)
        );
    }
    for note in &outcome.notes {
        let _ = writeln!(text, "  ! {note}");
    }
    for profile in &outcome.profiles {
        let _ = writeln!(text, "  profile: {}", profile.display());
    }
    text
}

fn judged(figure: &Figure) -> String {
    let Some(target) = figure.target else {
        return String::new();
    };
    let met = if target.is_met(figure.value) {
        "pass"
    } else {
        "FAIL"
    };
    format!("{met}: {}", wanted(target))
}

/// A target in words.
pub(crate) fn wanted(target: Target) -> String {
    match target {
        Target::AtLeast(limit) => format!("at least {limit}"),
        Target::AtMost(limit) => format!("at most {limit}"),
    }
}

/// Three digits, or all of those in front of the point, in groups.
pub(crate) fn number(value: f64) -> String {
    if value.is_nan() {
        return "none".to_owned();
    }
    if value.is_infinite() {
        return "never".to_owned();
    }
    let size = value.abs();
    if size >= 1_000.0 {
        return grouped(value);
    }
    if value.fract() == 0.0 {
        return format!("{value:.0}");
    }
    match size {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 {
        format!("-{text}")
    } else {
        text
    }
}

/// The JSON file of this run of the program.
///
/// # Errors
///
/// When its folder cannot be made.
pub(crate) fn json_path() -> Result<PathBuf> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(output_dir()?.join(format!("{}.json", now.as_secs())))
}

/// Writes all outcomes as JSON.
///
/// # Errors
///
/// When the file cannot be written.
pub(crate) fn write_json(
    path: &Path,
    machine: &Machine,
    options: &Options,
    outcomes: &[Outcome],
) -> Result<()> {
    let measured = outcomes.iter();
    let measured: Vec<Measured> = measured
        .map(|outcome| Measured::of(outcome, machine, options))
        .collect();
    let report = json!({
        "machine": machine.to_json(),
        "scale": options.scale,
        "scenarios": measured,
    });
    std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    Ok(())
}

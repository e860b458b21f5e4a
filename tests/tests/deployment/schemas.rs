//! The objects against the schemas of three Kubernetes versions.

use std::process::Command;

use anyhow::{Context, Result};

use harness::manifest::{everything, succeeded};

/// The oldest that still gets fixes where clusters are rented out, one in
/// between, and the newest that the validator knows.
const VERSIONS: [&str; 3] = ["1.32", "1.34", "1.37"];

#[test]
fn everything_that_is_rendered_fits_the_schemas_of_three_versions() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut files = Vec::new();
    for (name, yaml) in everything()? {
        let file = folder.path().join(format!("{name}.yaml"));
        std::fs::write(&file, yaml)?;
        files.push(file);
    }
    for version in VERSIONS {
        let output = validate(version).args(&files).output()?;
        succeeded(output).with_context(|| format!("Kubernetes {version}"))?;
    }
    Ok(())
}

#[test]
fn the_validator_finds_a_misspelt_key() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("wrong.yaml");
    let (_, yaml) = everything()?.into_iter().next().context("the base")?;
    std::fs::write(&file, yaml.replace("readinessProbe:", "readynessProbe:"))?;
    let output = validate(VERSIONS[0]).arg(&file).output()?;
    assert!(!output.status.success());
    Ok(())
}

/// Custom resources have no schema there: it warns of them and goes on.
fn validate(version: &str) -> Command {
    let mut command = Command::new("kubernetes-validate");
    command.args(["--quiet", "--no-warn", "--strict", "-k", version]);
    command
}

//! The image's recipe, and the files around compose.yaml. No image is built.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use harness::deployment::{ROLES, binary};
use harness::repository;
use serde_json::Value;

use harness::manifest::{list, parse, succeeded};

#[test]
fn the_dockerfile_has_nothing_to_complain_about() -> Result<()> {
    let file = repository().join("deploy/Dockerfile");
    succeeded(Command::new("hadolint").arg(file).output()?)?;
    Ok(())
}

/// What the image's build leaves out must not be missed by Cargo.
#[test]
fn the_images_build_sees_every_file_that_cargo_asks_for() -> Result<()> {
    let list = repository().join("deploy/Dockerfile.dockerignore");
    let list = std::fs::read_to_string(list)?;
    let context = tempfile::tempdir()?;
    for kept in list.lines().filter_map(|line| line.strip_prefix('!')) {
        let to = context.path().join(kept);
        std::fs::create_dir_all(to.parent().context("it is below")?)?;
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(repository().join(kept)).arg(&to);
        succeeded(copy.output()?)?;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut read = Command::new(cargo);
    read.args(["metadata", "--no-deps", "--format-version=1", "--offline"]);
    succeeded(read.current_dir(context.path()).output()?)?;
    Ok(())
}

#[test]
fn compose_mounts_what_is_there_and_starts_each_role_with_valid_settings() -> Result<()> {
    let folder = repository().join("deploy");
    let text = std::fs::read_to_string(folder.join("compose.yaml"))?;
    let compose = parse(&text)?.pop().context("a document")?;
    let services = compose["services"].as_object().context("services")?;
    for (name, service) in services {
        for volume in list(&service["volumes"]) {
            let volume = volume.as_str().context("in short form")?;
            let source = volume.split(':').next().unwrap_or_default();
            if source.starts_with('.') {
                let path = folder.join(source);
                ensure!(path.exists(), "{name} mounts {source}, which is not there");
            }
        }
    }
    for role in ROLES {
        let service = &services[role];
        ensure!(service["command"] == serde_json::json!([role]), "{role}");
        let output = Command::new(binary()?)
            .args(["config", "check", role])
            .env_clear()
            .envs(variables(&service["environment"]))
            .output()?;
        let text = String::from_utf8(succeeded(output)?)?;
        ensure!(!text.contains("warning: POSTRIDER_"), "{role}: {text}");
    }
    Ok(())
}

fn variables(environment: &Value) -> impl Iterator<Item = (&String, &str)> {
    let pairs = environment.as_object().into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((name, value.as_str()?)))
}
